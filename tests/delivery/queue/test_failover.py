"""For each fault of an account: what becomes of the message, the account and its quota."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from accounts.models import User
from alerts.models import Alert
from delivery.email_types import forget_email_types
from delivery.models import Attempt, EmailType, Message
from delivery.queue.sweep import sweep
from delivery.states import Lane
from mailservice.core.sql import database_now
from providers import health, quotas
from providers.models import Provider, ProviderHealth, ProviderMinute, ProviderUsage
from providers.ports import Outcome, Reason, Scope, SendResult
from providers.selectors import recent_snapshot
from providers.watch import watch
from tests.support.failover import (
    AUTHENTICATION,
    CONNECTION,
    TAKEN,
    THROTTLED,
    Case,
    Fate,
    breaker_of,
    check_fate,
    copied,
    drain_twice,
    in_doubt,
    let_wait_pass,
    moved,
)
from tests.support.mail import drain, make_due, queue, simulator, smtp_account, unwritable
from tests.support.smtp_server import Drop, FaultyServer, Say, Stall

pytestmark = pytest.mark.django_db

AUTH = {"secrets": {"password": "secret"}, "settings": {"username": "me"}}
EXTENSIONS_WITH_AUTH = ("PIPELINING", "8BITMIME", "AUTH PLAIN LOGIN", "ENHANCEDSTATUSCODES")


CASES = [
    Case("drop at connect", {"CONNECT": Drop()}, moved(breaker=CONNECTION)),
    Case("reset at connect", {"CONNECT": Drop(reset=True)}, moved(breaker=CONNECTION)),
    Case("refusal at connect", {"CONNECT": "554 no service"}, moved(breaker=CONNECTION)),
    Case("421 at connect", {"CONNECT": "421 4.3.2 busy"}, moved(breaker=THROTTLED)),
    Case(
        "silence at connect",
        {"CONNECT": Stall()},
        moved(breaker=CONNECTION),
        {"settings": {"timeout_seconds": 1}},
    ),
    Case("nonsense at connect", {"CONNECT": Say(b"\xff\xfe\r\n")}, moved(breaker=CONNECTION)),
    Case(
        "no TLS where TLS is asked for",
        {},
        moved(breaker=CONNECTION, says="STARTTLS is required but not offered"),
        {"settings": {"use_tls": True}},
    ),
    Case("login refused", {"AUTH": "535 5.7.8 no"}, moved(breaker=AUTHENTICATION), AUTH),
    Case("login put off", {"AUTH": "454 4.7.0 later"}, moved(breaker=CONNECTION), AUTH),
    Case("421 at MAIL", {"MAIL": "421 4.7.0 slow down"}, moved(breaker=THROTTLED)),
    # It speaks of the sender, so of the account.
    Case("4xx at MAIL", {"MAIL": "451 4.3.0 later"}, moved(breaker=("open", "other"))),
    # Another may send for this sender; the account is well.
    Case("5xx at MAIL", {"MAIL": "550 5.7.1 not you"}, moved(figure="refused")),
    Case(
        "sender refused at RCPT",
        {"RCPT": "553 5.7.1 <a@example.com>: Sender address rejected: not owned by user bob"},
        moved(figure="refused"),
    ),
    Case(
        "sender refused after the data",
        {"END": "554 5.2.252 SendAsDenied"},
        moved(figure="refused", seen=1),
    ),
    Case(
        "relaying denied",
        {"RCPT": "554 5.7.1 <bob@example.net>: Relay access denied"},
        moved(breaker=("open", "other")),
    ),
    Case(
        "account suspended",
        {"MAIL": "554 Your account is suspended"},
        moved(breaker=("open", "other")),
    ),
    Case("421 at RCPT", {"RCPT": "421 4.7.0 slow down"}, moved(breaker=THROTTLED)),
    Case("4xx at RCPT", {"RCPT": "450 4.2.1 busy"}, Fate("retry", figure="deferred")),
    Case("5xx at RCPT", {"RCPT": "550 5.1.1 who?"}, Fate("bounced", figure="rejected")),
    Case("4xx at DATA", {"DATA": "451 4.3.0 later"}, Fate("retry", figure="deferred")),
    Case("5xx at DATA", {"DATA": "554 5.6.0 no"}, Fate("failed", figure="refused")),
    Case("drop at DATA", {"DATA": Drop()}, moved(breaker=CONNECTION)),
    Case("drop before the final dot", {"BODY": Drop(after_bytes=50)}, in_doubt()),
    Case("drop after the final dot", {"END": Drop()}, in_doubt(seen=1)),
    Case(
        "silence after the final dot",
        {"END": Stall()},
        in_doubt(seen=1),
        {"settings": {"timeout_seconds": 1, "final_timeout_seconds": 1}},
    ),
    Case("421 after the final dot", {"END": "421 4.3.0 no"}, moved(breaker=THROTTLED, seen=1)),
    Case(
        "4xx after the final dot",
        {"END": "451 4.3.0 later"},
        Fate("retry", figure="deferred", seen=1),
    ),
    Case(
        "5xx after the final dot",
        {"END": "554 5.7.1 spam"},
        Fate("failed", figure="refused", seen=1),
    ),
    Case("all well", {}, TAKEN),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_fault_means_for_message_account_and_quota(user: User, case: Case) -> None:
    extensions = EXTENSIONS_WITH_AUTH if case.account is AUTH else FaultyServer.extensions
    with FaultyServer((case.does,), extensions=extensions) as first, FaultyServer() as second:
        account = smtp_account(
            first.port, position=1, hourly_limit=10, max_connections=1, **copied(case.account)
        )
        smtp_account(second.port, position=2)
        message = queue(user, email_type="marketing")
        drain_twice()
        seen = (len(first.mails), len(second.mails))
    check_fate(message, account, case.fate, seen)


@dataclass(frozen=True)
class Refusal:
    """What a simulated account answers, and what follows for its breaker and the mail."""

    name: str
    rule: dict[str, Any]
    breaker: tuple[str, str] = ("", "")
    #: Seconds for which it opens.
    wait: int = 0
    status: str = "sent"
    used: int = 0


PROVIDER = {"outcome": "not_accepted", "scope": "provider"}
REFUSALS = [
    Refusal("429", PROVIDER | {"reason": "throttled", "code": 429}, ("open", "throttled"), 5),
    Refusal(
        "429 with Retry-After",
        PROVIDER | {"reason": "throttled", "code": 429, "retry_after_seconds": 90},
        ("open", "throttled"),
        90,
    ),
    Refusal("500", PROVIDER | {"code": 500}, ("open", "other"), 5),
    Refusal(
        "401", PROVIDER | {"reason": "authentication", "code": 401}, ("open", "authentication"), 300
    ),
    Refusal("what this mail needs is lacking", PROVIDER | {"reason": "content"}),
    Refusal("no answer to the request", {"outcome": "unknown"}, status="unknown", used=1),
    Refusal("refused for good", {"outcome": "rejected"}, status="failed"),
    Refusal("refused for now", {"outcome": "not_accepted"}, status="retry"),
]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_what_a_refusal_by_an_api_means(user: User, case: Refusal) -> None:
    account = simulator({"match": "*", **case.rule}, position=1, hourly_limit=10)
    simulator(position=2, name="second")
    message = queue(user, email_type="marketing")
    drain(Lane.BULK)
    message.refresh_from_db()
    assert (message.status, breaker_of(account)) == (case.status, case.breaker)
    if case.wait:
        retry_at = ProviderHealth.objects.get().retry_at
        assert retry_at is not None
        assert (retry_at - database_now()).total_seconds() == pytest.approx(case.wait, abs=2)
    usage = ProviderUsage.objects.get(provider=account)
    assert (usage.hour_count, usage.reserved) == (case.used, 0)


def test_mail_waits_while_its_only_account_is_open_and_nothing_is_failed_by_it(user: User) -> None:
    with FaultyServer(({"CONNECT": "421 busy"}, {})) as server:
        account = smtp_account(server.port, max_connections=1)
        first = queue(user)
        drain()
        assert breaker_of(account) == ("open", "throttled")
        others = [queue(user) for _ in range(4)]
        drain()
        assert (len(server.conversations), Attempt.objects.count()) == (1, 1)
        retry_at = ProviderHealth.objects.get().retry_at
        assert retry_at is not None
        assert set(Message.objects.values_list("status", flat=True)) == {"retry"}
        # All come back when the account does; that it refused us is no attempt at any mail.
        assert set(Message.objects.values_list("attempt_count", flat=True)) == {0}
        for message in Message.objects.all():
            assert abs(message.due_at - retry_at) < timedelta(seconds=1)
        messages = [first, *others]
        # In the meantime nothing goes there, not even what is due.
        make_due(*[message.pk for message in messages])
        sweep()
        drain()
        assert len(server.conversations) == 1
        let_wait_pass()
        make_due(*[message.pk for message in messages])
        sweep()
        drain()
        # The probe went, and the others when it was back, or two seconds later.
        assert breaker_of(account)[0] == "closed"
        make_due(*Message.objects.filter(status="retry").values_list("pk", flat=True))
        sweep()
        drain()
    assert set(Message.objects.values_list("status", flat=True)) == {"sent"}
    assert len(server.mails) == 5


def test_mail_that_no_account_takes_ends_within_its_attempts_with_the_last_ones_words(
    user: User,
) -> None:
    EmailType.objects.update(max_attempts=4)
    forget_email_types()
    denied = {"RCPT": "553 5.7.1 Sender address rejected: not owned by user one"}
    unverified = {"END": "554 Message rejected: Email address is not verified"}
    with FaultyServer((denied,)) as first, FaultyServer((unverified,)) as second:
        accounts = [
            smtp_account(first.port, position=1, hourly_limit=9),
            smtp_account(second.port, position=2),
        ]
        message = queue(user)
        for _ in range(3):
            drain()
            make_due(message.pk)
            sweep()
    message.refresh_from_db()
    assert (message.status, Attempt.objects.count()) == ("failed", 4)
    assert message.error.startswith("Given up after ")
    assert message.error.endswith("554 Message rejected: Email address is not verified")
    assert [breaker_of(account) for account in accounts] == [("", "")] * 2
    assert not ProviderUsage.objects.filter(reserved__gt=0).exists()


def test_an_account_that_relays_for_us_no_more_loses_no_mail_and_is_told_of(user: User) -> None:
    with (
        FaultyServer(({"RCPT": "554 5.7.1 Relay access denied"},)) as first,
        FaultyServer() as second,
    ):
        account = smtp_account(first.port, position=1, name="Relay")
        smtp_account(second.port, position=2)
        for _ in range(20):
            queue(user)
        drain()
    assert set(Message.objects.values_list("status", flat=True)) == {"sent"}
    assert len(second.mails) == 20
    assert breaker_of(account) == ("open", "other")
    ProviderHealth.objects.update(since=F("since") - timedelta(minutes=3))
    watch(timezone.now())
    alert = Alert.objects.get()
    assert (alert.kind, alert.title) == (
        "provider.down",
        "Relay is down: it takes no mail from us",
    )
    assert "It said: 554 Relay access denied" in alert.detail


def test_only_one_mail_finds_out_that_the_account_still_fails(user: User) -> None:
    with FaultyServer(({"CONNECT": "421 busy"},)) as first, FaultyServer() as second:
        account = smtp_account(first.port, position=1, hourly_limit=50)
        smtp_account(second.port, position=2)
        queue(user)
        drain()
        assert len(first.conversations) == 1
        let_wait_pass()
        for _ in range(10):
            queue(user)
        drain()
    assert (len(first.conversations), len(second.mails)) == (2, 11)
    row = ProviderHealth.objects.get()
    assert (row.provider_id, row.state, row.failures) == (account.pk, "open", 2)
    usage = ProviderUsage.objects.get(provider=account)
    assert (usage.hour_count, usage.reserved) == (0, 0)


def test_a_probe_that_succeeds_lets_mail_pass_again(user: User) -> None:
    with FaultyServer(({"CONNECT": "421 busy"}, {})) as first, FaultyServer() as second:
        smtp_account(first.port, position=1)
        smtp_account(second.port, position=2)
        queue(user)
        drain()
        let_wait_pass()
        queue(user)
        drain()
        assert breaker_of(Provider.objects.get(position=1))[0] == "closed"
        for _ in range(5):
            queue(user)
        drain()
    assert (len(first.mails), len(second.mails)) == (6, 1)


def test_a_probe_that_cannot_be_composed_leaves_its_turn_to_another(user: User) -> None:
    with FaultyServer() as server:
        account = smtp_account(server.port)
        health.open_breaker(
            account.pk, SendResult(Outcome.NOT_ACCEPTED, Reason.CONNECTION, Scope.PROVIDER)
        )
        let_wait_pass()
        unwritable(user, priority=1)
        drain()
        assert breaker_of(account)[0] == "open"
        good = queue(user)
        drain()
    good.refresh_from_db()
    assert (good.status, breaker_of(account)[0]) == ("sent", "closed")


def test_a_probe_whose_outcome_is_unknown_proves_nothing(user: User) -> None:
    with FaultyServer(({"END": Drop()},)) as server:
        account = smtp_account(server.port)
        health.open_breaker(
            account.pk, SendResult(Outcome.NOT_ACCEPTED, Reason.CONNECTION, Scope.PROVIDER)
        )
        let_wait_pass()
        message = queue(user)
        drain()
    message.refresh_from_db()
    row = ProviderHealth.objects.get()
    assert (message.status, row.state, row.failures) == ("unknown", "open", 2)


def test_another_workers_probe_keeps_everybody_else_off(user: User) -> None:
    with FaultyServer() as server:
        account = smtp_account(server.port, hourly_limit=9)
        health.open_breaker(
            account.pk, SendResult(Outcome.NOT_ACCEPTED, Reason.CONNECTION, Scope.PROVIDER)
        )
        let_wait_pass()
        recent_snapshot()
        assert health.take_probe(account.pk)
        message = queue(user)
        drain()
    message.refresh_from_db()
    assert (message.status, server.conversations) == ("retry", [])
    assert message.due_at - timezone.now() < timedelta(seconds=3)
    assert not ProviderUsage.objects.filter(reserved__gt=0).exists()


def test_test_mode_moves_no_breaker(user: User) -> None:
    account = simulator(hourly_limit=5)
    health.open_breaker(
        account.pk, SendResult(Outcome.NOT_ACCEPTED, Reason.CONNECTION, Scope.PROVIDER)
    )
    let_wait_pass()
    message = queue(user, is_test=True)
    drain()
    message.refresh_from_db()
    assert (message.status, breaker_of(account)[0]) == ("sent", "open")
    assert not ProviderMinute.objects.exists()


def test_while_all_is_well_no_breaker_is_written(user: User) -> None:
    simulator()
    for _ in range(3):
        queue(user)
    drain()
    assert not ProviderHealth.objects.exists()


def test_urgent_mail_uses_what_other_mail_may_not(user: User) -> None:
    with FaultyServer() as server:
        account = smtp_account(server.port, hourly_limit=10, priority_reserve=20)
        for _ in range(9):
            queue(user, priority=3)
        drain()
        assert (len(server.mails), quota_left(account)) == (8, 2)
        urgent = [queue(user, priority=1) for _ in range(3)]
        drain()
    assert len(server.mails) == 10
    states = [Message.objects.get(pk=message.pk).status for message in urgent]
    assert sorted(states) == ["retry", "sent", "sent"]
    assert Message.objects.filter(status="retry", priority=3).count() == 1


def quota_left(account: Provider) -> int | None:
    return quotas.left(account, ProviderUsage.objects.get(), timezone.now()).remaining
