"""Recipient domains that want less mail: what a drain makes of limits and slow-downs."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from delivery.models import Attempt, Event, Message
from delivery.queue.pacing import LONGEST, Horizons
from delivery.queue.sweep import sweep
from delivery.states import Lane
from providers.domain_limits import create_limit
from providers.models import DomainSlowdown, Provider, ProviderHealth
from providers.routing import Pace, Slowdown
from providers.selectors import forget_snapshot
from tests.support.drains import drains
from tests.support.mail import drain, make_due, queue, simulator, smtp_account
from tests.support.smtp_server import FaultyServer

pytestmark = pytest.mark.django_db

TOO_FAST = "450 4.7.1 Too many messages, slow down"
FLOOD = "421 4.7.28 Our system has detected an unusual rate of mail, rate limited"
SLOW, QUICK = "ann@slow.example", "bob@quick.example"
THROTTLING = {
    "match": "*@slow.example",
    "outcome": "not_accepted",
    "reason": "throttled",
    "code": 450,
    "text": "slow down",
}


def queue_to(user: User, address: str, count: int, **fields: Any) -> list[Message]:
    return [queue(user, to=address, **{"email_type": "marketing"} | fields) for _ in range(count)]


def states() -> Counter[tuple[str, str]]:
    """Count messages by recipient domain and state."""
    found = Message.objects.values_list("addresses", "status")
    return Counter((addresses[0].split("@")[1], status) for addresses, status in found)


def reopen(seconds_ago: float = 0) -> None:
    """Let the wait of every slow-down be over since so long."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE providers_domainslowdown SET "
            "recovered_at = recovered_at - closed_until + clock_timestamp() "
            "- make_interval(secs => %s), "
            "closed_until = clock_timestamp() - make_interval(secs => %s)",
            [seconds_ago, seconds_ago],
        )
    forget_snapshot()


def all_due() -> None:
    make_due(*Message.objects.filter(status="retry").values_list("pk", flat=True))
    sweep()


def slow_simulator(
    *, match: str = "*@slow.example", latency_ms: int = 50, **fields: Any
) -> Provider:
    """An account that takes its time to be put off by a domain."""
    account = simulator(THROTTLING | {"match": match}, **fields)
    account.settings["latency_ms"] = latency_ms
    account.save()
    return account


def slowdown() -> DomainSlowdown:
    return DomainSlowdown.objects.get()


# --- slow-down ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [TOO_FAST, FLOOD])
def test_one_domain_that_wants_less_waits_and_the_others_flow(user: User, reply: str) -> None:
    with FaultyServer(({f"RCPT {SLOW}": reply},)) as server:
        account = smtp_account(server.port, max_connections=1)
        queue_to(user, SLOW, 90)
        queue_to(user, QUICK, 15)
        drain(Lane.BULK, seconds=5)
        tried = sum(SLOW in line for line in server.lines)
    assert states() == {("quick.example", "sent"): 15, ("slow.example", "retry"): 90}
    found = slowdown()
    assert (found.provider_id, found.domain, found.failures) == (account.pk, "slow.example", 1)
    assert "4.7." in found.detail
    wait = (found.closed_until - timezone.now()).total_seconds()
    assert 20 < wait <= 30
    # The first, and what had set out before its answer was looked at.
    assert 1 <= tried <= 45
    put_off = Message.objects.filter(status="retry", attempt_count=0)
    assert put_off.count() == 90 - tried
    assert {message.error for message in put_off} == {
        "Waiting: every open account is slowed down for this recipient domain."
    }
    assert not ProviderHealth.objects.exists()


def test_mail_that_waits_for_a_closed_domain_is_spread_over_how_it_will_open(user: User) -> None:
    slow_simulator(max_connections=1)
    queue_to(user, SLOW, 10)
    drain(Lane.BULK, seconds=5)
    closed_until = slowdown().closed_until
    waiting = Message.objects.filter(attempt_count=0).order_by("due_at")
    after = [(each.due_at - closed_until).total_seconds() for each in waiting]
    # One a second when it reopens, and a little more each second.
    assert after[0] == pytest.approx(1, abs=0.3)
    steps = [later - sooner for sooner, later in pairwise(after)]
    assert all(0.75 < step <= 1 for step in steps)
    assert steps == sorted(steps, reverse=True)


def test_a_domain_that_has_reopened_trickles_without_an_attempt_lost(user: User) -> None:
    with FaultyServer() as server:
        account = smtp_account(server.port)
        slow_down(account)
        reopen(seconds_ago=60)
        queue_to(user, SLOW, 30)
        queue_to(user, QUICK, 20)
        drain(Lane.BULK, seconds=2.5)
        taken = Counter(mail.recipients[0] for mail in server.mails)
    assert taken[QUICK] == 20
    # Four a second a minute later.
    assert 4 <= taken[SLOW] <= 15
    assert states()["slow.example", "sent"] == taken[SLOW]
    waiting = Message.objects.exclude(status="sent")
    assert {message.attempt_count for message in waiting} == {0}


def test_after_recovery_all_is_as_before(user: User) -> None:
    simulator()
    account = Provider.objects.get()
    slow_down(account)
    reopen(seconds_ago=180)
    queue_to(user, SLOW, 30)
    drain(Lane.BULK, seconds=3)
    assert states() == {("slow.example", "sent"): 30}
    assert slowdown().failures == 1


def test_a_signal_after_it_reopened_doubles_the_wait(user: User) -> None:
    simulator(THROTTLING, max_connections=1)
    queue_to(user, SLOW, 3)
    drain(Lane.BULK, seconds=2)
    reopen()
    all_due()
    drain(Lane.BULK, seconds=2)
    found = slowdown()
    assert found.failures == 2
    assert 50 < (found.closed_until - timezone.now()).total_seconds() <= 60


def test_what_was_on_the_wire_when_it_closed_counts_once(user: User) -> None:
    slow_simulator(max_connections=10)
    queue_to(user, SLOW, 40)
    drain(Lane.BULK, seconds=5)
    assert slowdown().failures == 1
    assert 1 <= Attempt.objects.count() <= 20


def test_the_wish_of_the_domain_is_honoured(user: User) -> None:
    simulator(THROTTLING | {"retry_after_seconds": 600})
    queue_to(user, SLOW, 1)
    drain(Lane.BULK, seconds=2)
    assert 590 < (slowdown().closed_until - timezone.now()).total_seconds() <= 600


def test_another_account_takes_what_one_is_slowed_down_for(user: User) -> None:
    with FaultyServer(({f"RCPT {SLOW}": TOO_FAST},)) as first, FaultyServer() as second:
        smtp_account(first.port, position=1, max_connections=1)
        smtp_account(second.port, position=2)
        queue_to(user, SLOW, 90)
        queue_to(user, QUICK, 5)
        drain(Lane.BULK, seconds=5)
        taken = [Counter(mail.recipients[0] for mail in each.mails) for each in (first, second)]
    # Those that were put off themselves wait as after any temporary refusal.
    put_off = Message.objects.filter(status="retry")
    assert taken == [{QUICK: 5}, {SLOW: 90 - put_off.count()}]
    assert {message.attempt_count for message in put_off} == {1}
    assert 1 <= put_off.count() <= 45


def test_pinned_mail_waits_for_its_account(user: User) -> None:
    slow = simulator(name="slow", position=1)
    simulator(name="other", position=2)
    slow_down(slow)
    queue_to(user, SLOW, 1)
    Message.objects.update(pinned_provider_id=slow.pk)
    drain(Lane.BULK, seconds=2)
    message = Message.objects.get()
    assert (message.status, message.attempt_count) == ("retry", 0)


def test_mail_to_several_domains_waits_for_the_closed_one(user: User) -> None:
    slow_down(simulator())
    queue(user, to=[QUICK, SLOW])
    queue(user, to=[QUICK, "carl@quick.example"])
    drain(seconds=2)
    assert dict(Message.objects.order_by("pk").values_list("pk", "status")) == dict(
        zip(
            Message.objects.order_by("pk").values_list("pk", flat=True),
            ["retry", "sent"],
            strict=True,
        )
    )


def test_test_mode_pays_no_heed(user: User) -> None:
    slow_down(simulator())
    queue(user, to=SLOW, is_test=True)
    drain(seconds=2)
    assert Message.objects.get().status == "sent"


def test_a_sequence_keeps_its_order_behind_a_mail_that_waits(user: User) -> None:
    slow_down(simulator())
    first = queue(user, to=SLOW, sequence_key="order-1")
    second = queue(user, to=QUICK, sequence_key="order-1")
    drain(seconds=2)
    assert Message.objects.get(pk=second.pk).status == "queued"
    reopen()
    all_due()
    drain(seconds=3)
    sent = list(Attempt.objects.order_by("started_at").values_list("message_id", flat=True))
    assert sent == [first.pk, second.pk]


def test_refusals_for_other_reasons_count_when_they_are_most_of_what_is_sent(user: User) -> None:
    vague = {"match": "*@slow.example", "outcome": "not_accepted", "text": "try later"}
    simulator(vague, max_connections=1)
    queue_to(user, SLOW, 4)
    drain(Lane.BULK, seconds=2)
    assert not DomainSlowdown.objects.exists()
    queue_to(user, SLOW, 4)
    drain(Lane.BULK, seconds=2)
    assert slowdown().domain == "slow.example"
    # The fifth refusal closed it.
    assert 5 <= Attempt.objects.count() <= 8


@pytest.mark.parametrize("reason", ["greylisted", "mailbox", "content"])
def test_refusals_that_say_nothing_about_speed_never_count(user: User, reason: str) -> None:
    simulator(THROTTLING | {"reason": reason})
    queue_to(user, SLOW, 8)
    drain(Lane.BULK, seconds=2)
    assert not DomainSlowdown.objects.exists()
    assert Attempt.objects.count() == 8


def test_an_account_that_is_told_to_slow_down_blames_no_domain(user: User) -> None:
    simulator(THROTTLING | {"scope": "provider"})
    queue_to(user, SLOW, 2)
    drain(Lane.BULK, seconds=2)
    assert not DomainSlowdown.objects.exists()
    assert ProviderHealth.objects.get().state == "open"


def test_being_put_off_again_and_again_is_one_event(user: User) -> None:
    slow_down(simulator())
    queue_to(user, SLOW, 1)
    for _ in range(3):
        drain(Lane.BULK, seconds=1)
        all_due()
    assert Event.objects.filter(kind="deferred").count() == 1
    assert Message.objects.get().attempt_count == 0


# --- limits ---------------------------------------------------------------------------------------


def test_a_limit_is_kept_and_other_domains_are_not_held_up(user: User) -> None:
    with FaultyServer() as server:
        smtp_account(server.port)
        create_limit(pattern="slow.example", rate_per_second=5)
        queue_to(user, SLOW, 60)
        queue_to(user, QUICK, 30)
        drain(Lane.BULK, seconds=2)
        taken = Counter(mail.recipients[0] for mail in server.mails)
    assert taken[QUICK] == 30
    # A full bucket of 5 and at most two seconds' worth.
    assert 5 <= taken[SLOW] <= 16
    waiting = Message.objects.exclude(status="sent").order_by("due_at")
    assert {message.attempt_count for message in waiting} == {0}
    dues = [message.due_at for message in waiting.filter(status="retry")]
    assert (dues[-1] - dues[0]).total_seconds() == pytest.approx((len(dues) - 1) / 5, abs=2)


def test_a_long_queue_to_a_slow_domain_does_not_come_by_again_and_again(user: User) -> None:
    simulator()
    create_limit(pattern="slow.example", rate_per_second=0.5)
    queue_to(user, SLOW, 150)
    first = drain(Lane.BULK, seconds=1.5)
    second = drain(Lane.BULK, seconds=1)
    assert first.claimed + second.claimed <= 155
    dues = list(Message.objects.filter(status="retry").values_list("due_at", flat=True))
    assert max(dues) - timezone.now() > timedelta(minutes=4)


def test_what_is_beyond_a_limit_goes_to_the_next_account(user: User) -> None:
    with FaultyServer() as first, FaultyServer() as second:
        limited = smtp_account(first.port, position=1)
        smtp_account(second.port, position=2)
        create_limit(pattern="*.wide.example", rate_per_second=3, provider_id=limited.pk)
        queue_to(user, "ann@a.wide.example", 10)
        queue_to(user, "bob@b.wide.example", 10)
        drain(Lane.BULK, seconds=2)
    # Both domains share the bucket of the pattern.
    assert 3 <= len(first.mails) <= 4
    assert len(first.mails) + len(second.mails) == 20


def test_a_limit_for_all_is_each_accounts_own(user: User) -> None:
    with FaultyServer() as first, FaultyServer() as second:
        smtp_account(first.port, position=1)
        smtp_account(second.port, position=2)
        create_limit(pattern="slow.example", rate_per_second=2)
        queue_to(user, SLOW, 10)
        drain(Lane.BULK, seconds=0.3)
    assert [len(each.mails) for each in (first, second)] == [2, 2]


def test_transactional_mail_has_the_first_turns(user: User) -> None:
    simulator()
    create_limit(pattern="slow.example", rate_per_second=2)
    queue_to(user, SLOW, 5)
    urgent = queue_to(user, SLOW, 2, email_type="transactional")
    drain(Lane.BULK, seconds=0.3)
    assert set(Message.objects.filter(status="sent").values_list("pk", flat=True)) == {
        each.pk for each in urgent
    }


def test_an_accounts_own_rate_holds_beside_a_limit(user: User) -> None:
    with FaultyServer() as server:
        smtp_account(server.port, rate_per_second=10)
        create_limit(pattern="slow.example", rate_per_second=2)
        queue_to(user, SLOW, 20)
        queue_to(user, QUICK, 60)
        drain(Lane.BULK, seconds=2)
        taken = Counter(mail.recipients[0] for mail in server.mails)
    assert 2 <= taken[SLOW] <= 7
    assert 14 <= taken.total() <= 26


@pytest.mark.django_db(transaction=True)
def test_two_processes_share_limit_and_slow_down(user: User) -> None:
    slow_simulator(match="*@closed.example", latency_ms=20, max_connections=4)
    create_limit(pattern="slow.example", rate_per_second=5)
    queue_to(user, SLOW, 60)
    queue_to(user, QUICK, 60)
    queue_to(user, "dan@closed.example", 100)
    with drains("one", "two") as processes:
        assert [process.wait(30) for process in processes] == [0, 0]
    taken = states()
    assert taken["quick.example", "sent"] == 60
    assert 5 <= taken["slow.example", "sent"] <= 16
    assert slowdown().failures == 1
    # Each process had four of its mails on the wire, and some more before it heard of the answer.
    put_off = Message.objects.filter(addresses=["dan@closed.example"], status="retry")
    assert 1 <= put_off.filter(attempt_count=1).count() <= 30


# --- horizons -------------------------------------------------------------------------------------


def test_a_backlog_of_100_000_is_spread_over_the_recovery_of_the_domain() -> None:
    now = timezone.now()
    pace = Pace("a", 1.0, Slowdown(now + timedelta(seconds=30), 1))
    horizons = Horizons()
    dues = [horizons.put_off(pace, Lane.BULK, now) for _ in range(100_000)]
    assert dues == sorted(dues)
    after = Counter(int((due - now).total_seconds()) // 30 for due in dues)
    # Nothing while it is closed, then 30 s of about 1.4 a second, and twice as many each time.
    assert [after[slot] for slot in range(7)] == [
        0,
        pytest.approx(43, abs=2),
        pytest.approx(87, abs=3),
        pytest.approx(173, abs=4),
        pytest.approx(346, abs=5),
        pytest.approx(692, abs=6),
        pytest.approx(1385, abs=9),
    ]
    assert max(dues) - now < timedelta(seconds=211)


def test_a_domain_closed_for_an_hour_has_a_horizon_behind_it() -> None:
    now = timezone.now()
    pace = Pace("a", 1.0, Slowdown(now + LONGEST, 6))
    horizons = Horizons()
    dues = [horizons.put_off(pace, Lane.BULK, now) for _ in range(1_000)]
    assert now + LONGEST < min(dues) <= max(dues) <= now + 2 * LONGEST


def slow_down(account: Provider) -> None:
    """Have the account be put off by slow.example, as a worker would note it."""
    now = timezone.now()
    DomainSlowdown.objects.create(
        provider=account,
        domain="slow.example",
        since=now,
        closed_until=now + timedelta(seconds=30),
        recovered_at=now + timedelta(seconds=210),
    )
    forget_snapshot()
