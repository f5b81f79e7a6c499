"""Slow-downs of recipient domains and their limits: the pure parts, the row, the services."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.ids import uuid7
from mailservice.core.sql import database_now
from providers.domain_limits import create_limit, delete_limit, end_slowdowns, update_limit
from providers.models import DomainLimit, DomainSlowdown, Provider
from providers.ports import Outcome, Reason, RecipientResult, Reply, Scope, SendResult
from providers.routing import DomainPaces, MessageFacts, Pace, Skip, Slowdown
from providers.routing.paces import (
    FULL_RATE,
    LEAST_RATE,
    LONGEST_WAIT_SECONDS,
    MAX_FAILURES,
    first_rate,
    rate_after,
    recovery_seconds,
    wait_seconds,
)
from providers.selectors import forget_snapshot, take_snapshot
from providers.services import delete_provider
from providers.throttles import (
    MANY_REFUSALS,
    MAX_WATCHED,
    WATCH_SECONDS,
    Signal,
    Watch,
    delete_old,
    signals_of,
    slow_down,
)
from tests.support.mail import simulator

NOW = datetime(2026, 3, 1, tzinfo=UTC)
THROTTLED = SendResult(Outcome.NOT_ACCEPTED, Reason.THROTTLED, reply=Reply(450, "4.7.1", "slow"))
OTHER = SendResult(Outcome.NOT_ACCEPTED, Reason.OTHER, reply=Reply(451, "", "later"))
ACCEPTED = SendResult(Outcome.ACCEPTED)
PLAIN = Signal("slow.example", Reply(450, "4.7.1", "slow"), is_plain=True)
VAGUE = Signal("slow.example", Reply(451, "", "later"), is_plain=False)
failures_ = st.integers(1, 50)


# --- how long and how much ------------------------------------------------------------------------


def test_the_wait_doubles_up_to_a_quarter_of_an_hour() -> None:
    assert [wait_seconds(failures) for failures in range(1, 8)] == [
        30,
        60,
        120,
        240,
        480,
        900,
        900,
    ]


def test_the_rate_starts_at_one_and_doubles_every_half_minute_until_it_is_none() -> None:
    rates = [rate_after(seconds, 1) for seconds in (0, 30, 60, 90, 120, 150, 179.9, 180)]
    assert rates == [1, 2, 4, 8, 16, 32, pytest.approx(64, rel=0.01), math.inf]


@given(failures_, st.floats(-1e6, 1e6), st.floats(0, 1e4))
def test_the_rate_never_falls_and_is_never_nothing(
    failures: int, moment: float, later: float
) -> None:
    rate, after = rate_after(moment, failures), rate_after(moment + later, failures)
    assert LEAST_RATE <= rate <= after
    assert after <= FULL_RATE or math.isinf(after)


@given(failures_, st.floats(0, 1e4))
def test_more_signals_never_mean_more_mail_or_a_shorter_wait(
    failures: int, open_seconds: float
) -> None:
    assert rate_after(open_seconds, failures + 1) <= rate_after(open_seconds, failures)
    assert wait_seconds(failures) <= wait_seconds(failures + 1) <= LONGEST_WAIT_SECONDS
    assert recovery_seconds(failures) <= recovery_seconds(failures + 1)
    assert first_rate(failures + 1) <= first_rate(failures)


def test_before_it_reopens_the_rate_is_what_it_will_be_then() -> None:
    slowdown = Slowdown(NOW, 2)
    assert slowdown.rate_at(NOW - timedelta(hours=1)) == slowdown.rate_at(NOW) == 0.5


def test_the_closest_limit_counts_and_the_accounts_own_before_all() -> None:
    own = {"*.example": Pace("own", 1)}
    shared = {
        "mail.a.example": Pace("exact", 2),
        "*.a.example": Pace("near", 3),
        "*.example": Pace("far", 4),
    }
    found = DomainPaces(shared_limits=shared)
    names = ["mail.a.example", "b.a.example", "x.mail.a.example", "a.example", "example", "a.test"]
    paces = [found.limit_for(name) for name in names]
    assert [pace and pace.key for pace in paces] == ["exact", "near", "near", "far", None, None]
    both = DomainPaces(own_limits=own, shared_limits=shared)
    pace = both.limit_for("mail.a.example")
    assert pace is not None
    assert pace.key == "own"


def test_a_recovered_domain_needs_no_turn() -> None:
    slowdown = Slowdown(NOW, 1)
    paces = DomainPaces(slowdowns={"a.example": Pace("a", math.inf, slowdown)})
    assert paces.of("a.example") == []


# --- what speaks of speed -------------------------------------------------------------------------


def test_a_plain_signal_names_each_domain_once() -> None:
    found = signals_of(["a@slow.example", "b@SLOW.example", "c@other.example"], THROTTLED)
    assert [(each.domain, each.is_plain) for each in found] == [
        ("slow.example", True),
        ("other.example", True),
    ]


def test_of_a_mail_taken_in_part_only_who_refused_counts() -> None:
    differing = (
        RecipientResult("a@slow.example", Outcome.NOT_ACCEPTED, Reason.OTHER, Reply(451)),
        RecipientResult("b@slow.example", Outcome.NOT_ACCEPTED, Reason.THROTTLED, Reply(450)),
        RecipientResult("c@full.example", Outcome.NOT_ACCEPTED, Reason.MAILBOX, Reply(452)),
        RecipientResult("d@gone.example", Outcome.REJECTED, Reason.BAD_RECIPIENT, Reply(550)),
    )
    result = SendResult(Outcome.ACCEPTED, recipients=differing, retry_after_seconds=60)
    (found,) = signals_of(["a@slow.example", "e@fine.example"], result)
    assert found == Signal("slow.example", Reply(450), is_plain=True)


@pytest.mark.parametrize(
    "result",
    [
        ACCEPTED,
        SendResult(Outcome.REJECTED, Reason.CONTENT),
        SendResult(Outcome.UNKNOWN, Reason.LOST_AFTER_DATA),
        SendResult(Outcome.NOT_ACCEPTED, Reason.THROTTLED, Scope.PROVIDER),
        SendResult(Outcome.NOT_ACCEPTED, Reason.GREYLISTED),
        SendResult(Outcome.NOT_ACCEPTED, Reason.MAILBOX),
        SendResult(Outcome.NOT_ACCEPTED, Reason.CONTENT),
    ],
)
def test_all_else_says_nothing(result: SendResult) -> None:
    assert signals_of(["a@slow.example"], result) == []


def told(watch: Watch, account: UUID, signals: list[Signal], now: float) -> int:
    return len(watch.note(account, ["a@slow.example"], signals, now))


def test_vague_refusals_count_once_there_are_enough_within_a_minute() -> None:
    watch, account = Watch(), uuid7()
    assert [told(watch, account, [VAGUE], now) for now in range(MANY_REFUSALS)] == [0, 0, 0, 0, 1]
    # Then counting begins anew, for other accounts it never began.
    assert told(watch, account, [VAGUE], 6) == 0
    assert told(watch, uuid7(), [VAGUE], 6) == 0


def test_vague_refusals_that_come_slowly_never_count() -> None:
    watch, account = Watch(), uuid7()
    step = WATCH_SECONDS / (MANY_REFUSALS - 1)
    assert sum(told(watch, account, [VAGUE], step * number) for number in range(40)) == 0


def test_vague_refusals_among_more_mail_that_is_taken_never_count() -> None:
    watch, account = Watch(), uuid7()
    for number in range(20):
        assert told(watch, account, [VAGUE], number / 10) == 0
        assert [told(watch, account, [], number / 10) for _ in range(2)] == [0, 0]


def test_plain_signals_count_at_once_and_nothing_is_kept_of_them() -> None:
    watch = Watch()
    assert watch.note(uuid7(), ["a@slow.example"], [PLAIN], 0) == [PLAIN]
    assert not watch


def test_no_more_is_watched_than_fits() -> None:
    watch, account = Watch(), uuid7()
    for number in range(MAX_WATCHED + 50):
        domain = f"{number}.example"
        watch.note(account, [f"a@{domain}"], [Signal(domain, Reply(), is_plain=False)], 0)
    assert len(watch._seen) == MAX_WATCHED
    watch.note(account, ["a@fine.example"], [], WATCH_SECONDS)
    assert not watch
    watch.note(
        account, ["a@new.example"], [Signal("new.example", Reply(), is_plain=False)], WATCH_SECONDS
    )
    assert len(watch._seen) == 1


# --- the row --------------------------------------------------------------------------------------


@pytest.fixture
def account(db: None) -> Provider:
    return simulator()


def row() -> DomainSlowdown:
    return DomainSlowdown.objects.get()


def moved(seconds: float) -> None:
    """Let so much time pass for every row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE providers_domainslowdown SET since = since - make_interval(secs => %(by)s), "
            "closed_until = closed_until - make_interval(secs => %(by)s), "
            "recovered_at = recovered_at - make_interval(secs => %(by)s)",
            {"by": seconds},
        )


def left() -> float:
    return (row().closed_until - database_now()).total_seconds()


def test_a_signal_closes_and_what_was_on_the_wire_changes_nothing(account: Provider) -> None:
    assert slow_down(account.pk, PLAIN, age_seconds=1)
    assert not slow_down(account.pk, PLAIN, age_seconds=1)
    assert left() == pytest.approx(30, abs=2)
    assert (row().failures, row().detail) == (1, "450 4.7.1 slow")
    # It answers after the domain reopened, but had set out before.
    moved(31)
    assert not slow_down(account.pk, PLAIN, age_seconds=20)
    assert slow_down(account.pk, PLAIN, age_seconds=0)
    assert row().failures == 2
    assert left() == pytest.approx(60, abs=2)


def test_signals_soon_after_reopening_double_the_wait(account: Provider) -> None:
    waits = []
    for _ in range(8):
        slow_down(account.pk, PLAIN, age_seconds=0)
        waits.append(round(left(), -1))
        moved(left() + 1)
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]
    assert row().failures == MAX_FAILURES


def test_a_domain_that_took_mail_as_long_as_it_was_closed_is_not_closed_longer(
    account: Provider,
) -> None:
    slow_down(account.pk, PLAIN, age_seconds=0)
    moved(31)
    slow_down(account.pk, PLAIN, age_seconds=0)
    moved(60 + 61)
    slow_down(account.pk, PLAIN, age_seconds=0)
    assert (row().failures, round(left(), -1)) == (2, 60)


def test_after_recovery_all_begins_anew(account: Provider) -> None:
    slow_down(account.pk, PLAIN, age_seconds=0)
    moved(31)
    slow_down(account.pk, PLAIN, age_seconds=0)
    began = row().since
    moved(60 + recovery_seconds(2) + 1)
    slow_down(account.pk, PLAIN, age_seconds=0)
    assert (row().failures, round(left(), -1)) == (1, 30)
    assert row().since > began


@pytest.mark.parametrize(("wish", "wait"), [(600, 600), (10, 30), (86_400, 3_600), (-5, 30)])
def test_a_wish_is_honoured_up_to_an_hour(account: Provider, wish: float, wait: float) -> None:
    slow_down(account.pk, Signal("slow.example", Reply(), wish, is_plain=True), age_seconds=0)
    assert left() == pytest.approx(wait, abs=2)
    assert (row().recovered_at - row().closed_until).total_seconds() == pytest.approx(180)


def test_a_wish_of_mail_on_the_wire_prolongs_the_wait_only(account: Provider) -> None:
    slow_down(account.pk, PLAIN, age_seconds=0)
    assert not slow_down(
        account.pk, Signal("slow.example", Reply(), 300, is_plain=True), age_seconds=0
    )
    assert left() == pytest.approx(300, abs=2)
    assert not slow_down(
        account.pk, Signal("slow.example", Reply(), 60, is_plain=True), age_seconds=0
    )
    assert left() == pytest.approx(300, abs=2)
    assert row().failures == 1
    assert (row().recovered_at - row().closed_until).total_seconds() == pytest.approx(180)


def test_hostile_replies_fit_the_row(account: Provider) -> None:
    text = "\x00 \udcff\r\n" + "ä" * 600
    slow_down(
        account.pk, Signal("slow.example", Reply(450, "4.7.1", text), is_plain=True), age_seconds=0
    )
    assert len(row().detail) == 500
    assert "\n" not in row().detail


def test_an_account_that_is_gone_is_not_slowed_down(db: None) -> None:
    assert not slow_down(uuid7(), PLAIN, age_seconds=0)


def test_accounts_and_domains_are_apart(account: Provider) -> None:
    other = simulator(name="other")
    slow_down(account.pk, PLAIN, age_seconds=0)
    snapshot = take_snapshot(timezone.now())
    assert list(snapshot.by_id[account.pk].throttled) == ["slow.example"]
    assert not snapshot.by_id[other.pk].throttled
    facts = MessageFacts(
        owner_id=uuid7(),
        email_type="transactional",
        from_email="shop@example.com",
        recipient_domains=frozenset({"slow.example"}),
        pinned_provider_id=account.pk,
    )
    decision = snapshot.decide(facts)
    assert decision.provider_id is None
    skips = {candidate.provider_id: candidate.skipped for candidate in decision.candidates}
    assert skips[account.pk] is Skip.THROTTLED
    assert decision.retry_at is not None
    assert (decision.retry_at - timezone.now()).total_seconds() == pytest.approx(30, abs=2)


def test_what_is_over_is_not_read_and_is_deleted(account: Provider) -> None:
    slow_down(account.pk, PLAIN, age_seconds=0)
    assert delete_old(timezone.now()) == 0
    moved(30 + 179)
    assert take_snapshot(timezone.now()).by_id[account.pk].paces
    moved(2)
    assert not take_snapshot(timezone.now()).by_id[account.pk].paces
    assert delete_old(timezone.now()) == 1
    assert not DomainSlowdown.objects.exists()


def test_a_snapshot_asks_for_recipients_only_while_a_domain_is_closed(account: Provider) -> None:
    create_limit(pattern="*.example.com", rate_per_second=1)
    assert not take_snapshot(timezone.now()).asks.recipient_domains
    slow_down(account.pk, PLAIN, age_seconds=0)
    assert take_snapshot(timezone.now()).asks.recipient_domains == {"slow.example"}
    moved(31)
    assert not take_snapshot(timezone.now()).asks.recipient_domains


def test_an_operator_ends_a_slow_down(account: Provider) -> None:
    slow_down(account.pk, PLAIN, age_seconds=0)
    assert end_slowdowns([row().pk, 0]) == 1
    assert not take_snapshot(timezone.now()).by_id[account.pk].throttled


# --- limits ---------------------------------------------------------------------------------------


def test_limits_reach_the_snapshot_with_a_bucket_per_account(account: Provider) -> None:
    other = simulator(name="other")
    shared = create_limit(pattern="*.Example.COM ", rate_per_second=5)
    create_limit(pattern="a.example.com", rate_per_second=2, provider_id=other.pk)
    create_limit(pattern="off.example.com", rate_per_second=1, is_active=False)
    snapshot = take_snapshot(timezone.now())
    paces = [snapshot.by_id[each.pk].paces for each in (account, other)]
    assert [list(each.own_limits) for each in paces] == [[], ["a.example.com"]]
    keys = [each.shared_limits["*.example.com"].key for each in paces]
    assert keys == [f"{each.pk}:limit:{shared.pk}" for each in (account, other)]


def test_a_limit_is_changed_and_deleted(account: Provider) -> None:
    limit = create_limit(pattern="example.com", rate_per_second=5)
    assert update_limit(limit.pk, rate_per_second=7, provider_id=account.pk).rate_per_second == 7
    limit.refresh_from_db()
    assert (limit.pattern, limit.rate_per_second, limit.provider) == ("example.com", 7, account)
    delete_limit(limit.pk)
    with pytest.raises(NotFoundError):
        delete_limit(limit.pk)
    with pytest.raises(NotFoundError):
        update_limit(limit.pk, is_active=False)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"pattern": "*"}, ("pattern", "invalid_domain")),
        ({"pattern": ""}, ("pattern", "invalid_domain")),
        ({"pattern": "a@b.example"}, ("pattern", "invalid_domain")),
        ({"rate_per_second": 0}, ("rate_per_second", "out_of_range")),
        ({"rate_per_second": math.nan}, ("rate_per_second", "out_of_range")),
        ({"rate_per_second": math.inf}, ("rate_per_second", "out_of_range")),
        ({"provider_id": UUID(int=7)}, ("provider_id", "not_found")),
        ({"pattern": "TAKEN.example"}, ("pattern", "exists")),
    ],
)
def test_faults_name_the_field(db: None, fields: dict[str, Any], fault: tuple[str, str]) -> None:
    create_limit(pattern="taken.example", rate_per_second=1)
    given_fields: dict[str, Any] = {"pattern": "example.com", "rate_per_second": 1} | fields
    with pytest.raises(InvalidInputError) as refused:
        create_limit(**given_fields)
    found = refused.value.details.items()
    assert [(field, each["code"]) for field, faults in found for each in faults] == [fault]
    assert DomainLimit.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_deleting_an_account_takes_its_limits_and_slow_downs_along(db: None) -> None:
    account = simulator()
    slow_down(account.pk, PLAIN, age_seconds=0)
    create_limit(pattern="example.com", rate_per_second=1, provider_id=account.pk)
    kept = create_limit(pattern="example.com", rate_per_second=1)
    delete_provider(account.pk)
    assert not DomainSlowdown.objects.exists()
    assert list(DomainLimit.objects.all()) == [kept]
    forget_snapshot()
