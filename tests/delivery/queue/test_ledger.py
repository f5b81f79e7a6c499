from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from accounts.services import NewApiKey
from delivery.intake import Limits, parse_message
from delivery.models import Attempt, Lease, Message, Suppression
from delivery.queue.claims import Claimed, LeaseHolder, claim
from delivery.queue.journal import WireJournal, journal_folder, journal_of
from delivery.queue.outcomes import Step
from delivery.queue.record import Ended, LeaseLostError, Recorder, Tried
from delivery.queue.recovery import recover_dead
from delivery.queue.sweep import sweep
from delivery.services.accept import Sender, queue_message
from delivery.states import EventKind, Lane, Status
from mailservice.core.ids import uuid7
from providers import ledger, quotas
from providers.errors import ProviderInUseError
from providers.ledger import Carried
from providers.models import CostDay, Provider, ProviderUsage
from providers.ports import Outcome, RecipientResult, Reply, SendResult
from providers.pricing import Pricing
from providers.quotas import Settlement, SettlementBook
from providers.routing import Decision
from providers.services import delete_provider
from tests.support.mail import drain, make_due, queue, simulator

NOW = datetime(2026, 11, 21, 12, 34, 56, 789, tzinfo=UTC)
LEASE = uuid7()
ACCEPTED = SendResult(Outcome.ACCEPTED, reply=Reply(250))
TIERS = [{"above": 25, "price_per_thousand": "0.8"}, {"above": 60, "price_per_thousand": "0.5"}]
#: Nanos of a mail at one unit per thousand.
UNIT = 1_000_000


def account(name: str = "account", **fields: Any) -> Provider:
    defaults = {"kind": "simulator", "from_email": "shop@example.com", "price_per_thousand": 1}
    return Provider.objects.create(name=name, **defaults | fields)


def carry(provider: Provider, mails: list[int], *, now: datetime = NOW, **who: Any) -> list[int]:
    """Settle and book messages as a recorder does; return what each costs."""
    item = Settlement(provider.pk, provider.time_zone, 0, sum(mails))
    with transaction.atomic():
        places = quotas.settle(lease_id=LEASE, settlements=[item], now=now)
        return ledger.book([carried(provider, count, **who) for count in mails], places)


def carried(provider: Provider, mails: int, **who: Any) -> Carried:
    values: dict[str, Any] = {"owner_id": UUID(int=1), "api_key_id": None, "email_type": "news"}
    return Carried(provider_id=provider.pk, mails=mails, **values | who)


def rows() -> list[tuple[Any, ...]]:
    """Return day, type, messages, mails and nanos of the whole ledger."""
    found = CostDay.objects.order_by("day", "provider_id", "email_type", "pk")
    return list(found.values_list("day", "email_type", "messages", "mails", "nanos"))


def month_nanos(provider: Provider, first: date) -> int:
    after = (first + timedelta(days=31)).replace(day=1)
    found = CostDay.objects.filter(provider=provider, day__gte=first, day__lt=after)
    return sum(found.values_list("nanos", flat=True))


# --- places and prices ----------------------------------------------------------------------------


@pytest.mark.django_db
def test_each_mail_costs_what_its_place_in_the_month_costs() -> None:
    provider = account(free_per_month=3, price_tiers=TIERS)
    assert carry(provider, [1, 1]) == [0, 0]
    assert carry(provider, [2, 1, 0]) == [UNIT, UNIT, 0]
    # The 6th to the 25th at 1.0, then 5 at 0.8.
    assert carry(provider, [25]) == [20 * UNIT + 5 * UNIT * 8 // 10]
    assert rows() == [(date(2026, 11, 21), "news", 5, 30, 26 * UNIT)]
    assert month_nanos(provider, date(2026, 11, 1)) == provider.pricing.nanos_for(30)


@pytest.mark.django_db
def test_the_ledger_has_a_row_for_each_day_owner_key_and_type() -> None:
    provider, key, owner = account(), uuid7(), uuid7()
    carry(provider, [1])
    carry(provider, [1], api_key_id=key)
    carry(provider, [2], api_key_id=key)
    carry(provider, [1], owner_id=owner)
    carry(provider, [1], email_type="alerts")
    carry(provider, [1], now=NOW + timedelta(days=1))
    carry(account("other"), [1])
    assert sorted(CostDay.objects.values_list("messages", "mails")) == [(1, 1)] * 5 + [(2, 3)]


@pytest.mark.django_db
def test_a_free_account_has_its_mails_in_the_ledger_too() -> None:
    assert carry(account(price_per_thousand=0), [1, 2]) == [0, 0]
    assert rows() == [(date(2026, 11, 21), "news", 2, 3, 0)]


@pytest.mark.django_db
def test_nothing_taken_no_row() -> None:
    assert carry(account(), [0, 0]) == [0, 0]
    assert rows() == []


@pytest.mark.django_db
def test_an_account_that_is_gone_costs_nothing() -> None:
    provider = account()
    Provider.objects.all().delete()
    assert carry(provider, [1]) == [0]
    assert rows() == []


@pytest.mark.django_db
def test_a_changed_price_counts_at_once() -> None:
    provider = account()
    carry(provider, [1])
    Provider.objects.update(price_per_thousand=Decimal("0.000001"))
    assert carry(provider, [1]) == [1]


@pytest.mark.django_db
def test_a_new_month_begins_with_the_free_mails() -> None:
    provider = account(free_per_month=2, time_zone="Asia/Tokyo")
    last, first = datetime(2026, 11, 30, 14, 59, tzinfo=UTC), datetime(2026, 11, 30, 15, tzinfo=UTC)
    assert carry(provider, [3], now=last) == [UNIT]
    assert carry(provider, [3], now=first) == [UNIT]
    assert [row[0] for row in rows()] == [date(2026, 11, 30), date(2026, 12, 1)]


@pytest.mark.django_db
def test_who_comes_late_over_midnight_counts_in_the_new_month() -> None:
    provider = account(free_per_month=1, hourly_limit=100, daily_limit=100)
    first = datetime(2026, 12, 1, tzinfo=UTC)
    assert carry(provider, [2], now=first) == [UNIT]
    # This one waited for the other, with the clock of before.
    assert carry(provider, [2], now=first - timedelta(milliseconds=5)) == [2 * UNIT]
    usage = ProviderUsage.objects.get()
    assert (usage.hour_count, usage.day_count, usage.month_count) == (4, 4, 4)
    assert (usage.hour_start, usage.day_start, usage.month_start) == (first, first, first)
    assert rows() == [(date(2026, 12, 1), "news", 2, 4, 3 * UNIT)]


@pytest.mark.django_db
def test_who_reserves_late_over_midnight_turns_nothing_back() -> None:
    provider = account(daily_limit=3)
    first = datetime(2026, 12, 1, tzinfo=UTC)
    carry(provider, [2], now=first)
    granted = quotas.reserve(
        provider_id=provider.pk,
        time_zone="UTC",
        lease_id=LEASE,
        wanted=9,
        now=first - timedelta(milliseconds=5),
    )
    usage = ProviderUsage.objects.get()
    assert (granted, usage.day_count, usage.day_start) == (1, 2, first)


@pytest.mark.django_db
def test_a_clock_that_was_far_ahead_does_not_keep_the_windows() -> None:
    provider = account()
    carry(provider, [5], now=NOW + timedelta(days=40))
    carry(provider, [1])
    usage = ProviderUsage.objects.get()
    assert (usage.month_count, usage.month_start) == (1, datetime(2026, 11, 1, tzinfo=UTC))


@pytest.mark.django_db
def test_what_dead_workers_had_reserved_takes_places_without_cost() -> None:
    provider = account(free_per_month=2, hourly_limit=10)
    quotas.reserve(provider_id=provider.pk, time_zone="UTC", lease_id=LEASE, wanted=2, now=NOW)
    quotas.abandon([LEASE])
    assert carry(provider, [1]) == [UNIT]


prices = st.decimals(0, 3, places=6)


@st.composite
def price_lists(draw: st.DrawFn) -> dict[str, Any]:
    """Return columns of an account: free mails and tiers within reach of a few batches."""
    free = draw(st.integers(0, 20))
    steps = draw(st.lists(st.integers(free + 1, 80), unique=True, max_size=3).map(sorted))
    tiers = [{"above": step, "price_per_thousand": str(draw(prices))} for step in steps]
    return {
        "price_per_thousand": draw(prices),
        "free_per_month": free,
        "price_tiers": tiers,
        "time_zone": draw(st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York"])),
    }


@pytest.mark.django_db
@given(
    lists=st.lists(price_lists(), min_size=2, max_size=2),
    batches=st.lists(
        st.tuples(
            st.integers(0, 1),
            st.lists(st.integers(0, 9), max_size=6),
            st.sampled_from(["news", "alerts"]),
            st.integers(0, 30),
        ),
        max_size=12,
    ),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_months_ledger_is_what_the_price_list_says_for_its_count(
    lists: list[dict[str, Any]], batches: list[tuple[int, list[int], str, int]]
) -> None:
    start = datetime(2026, 11, 29, 18, tzinfo=UTC)
    both = [account(str(uuid7()), **fields) for fields in lists]
    counts: dict[tuple[UUID, date], int] = {}
    costs = 0
    now = start
    for which, mails, kind, hours in batches:
        provider = both[which]
        now += timedelta(hours=hours)
        costs += sum(carry(provider, mails, now=now, email_type=kind))
        month = quotas.windows(now, provider.time_zone).today.replace(day=1)
        counts[provider.pk, month] = counts.get((provider.pk, month), 0) + sum(mails)
    for provider in both:
        for (provider_id, month), count in counts.items():
            if provider_id == provider.pk:
                assert month_nanos(provider, month) == provider.pricing.nanos_for(count)
    assert costs == sum(CostDay.objects.filter(provider__in=both).values_list("nanos", flat=True))


@pytest.mark.django_db(transaction=True)
def test_recorders_beside_each_other_book_each_place_once() -> None:
    both = [
        account("one", free_per_month=30, price_tiers=[TIERS[1]]),
        account("two", price_tiers=TIERS),
    ]
    midnight = datetime(2026, 12, 1, tzinfo=UTC)
    rounds, start = 40, threading.Barrier(4)

    def record(worker: int) -> int:
        """Both accounts in each transaction; two workers have their clocks before midnight."""
        costs = 0
        now = midnight - timedelta(seconds=1 - worker % 2)
        start.wait()
        try:
            for number in range(rounds):
                mails = [1 + (number + worker) % 3, 2]
                items = [Settlement(each.pk, "UTC", 0, sum(mails)) for each in reversed(both)]
                uses = [
                    carried(each, count, email_type=f"type {worker % 2}")
                    for each in both
                    for count in mails
                ]
                with transaction.atomic():
                    places = quotas.settle(lease_id=uuid7(), settlements=items, now=now)
                    costs += sum(ledger.book(uses, places))
        finally:
            connections.close_all()
        return costs

    with ThreadPoolExecutor(4) as pool:
        costs = sum(pool.map(record, range(4)))
    for provider in both:
        usage = ProviderUsage.objects.get(provider=provider)
        total = sum(CostDay.objects.filter(provider=provider).values_list("mails", flat=True))
        assert usage.total_count == total
        before = total - usage.month_count
        assert month_nanos(provider, date(2026, 11, 1)) == provider.pricing.nanos_for(before)
        assert month_nanos(provider, date(2026, 12, 1)) == provider.pricing.nanos_for(
            usage.month_count
        )
    assert costs == sum(CostDay.objects.values_list("nanos", flat=True))


# --- through the drain ----------------------------------------------------------------------------


def usage() -> tuple[int, int]:
    row = ProviderUsage.objects.get()
    return row.total_count, row.reserved


def attempts() -> list[tuple[str, int]]:
    return list(Attempt.objects.order_by("pk").values_list("outcome", "cost_nanos"))


@pytest.mark.django_db
def test_a_message_costs_one_mail_per_recipient(user: User) -> None:
    simulator(price_per_thousand=1, hourly_limit=100)
    queue(user, to=["a@example.net", "b@example.net"], bcc="c@example.net")
    drain()
    assert (attempts(), usage()) == ([("accepted", 3 * UNIT)], (3, 0))
    (row,) = CostDay.objects.all()
    assert (row.owner_id, row.api_key_id, row.email_type) == (user.pk, None, "transactional")
    assert (row.messages, row.mails, row.nanos) == (1, 3, 3 * UNIT)
    assert row.day == timezone.now().date()


@pytest.mark.django_db
def test_the_ledger_tells_the_key(user: User, api_key: NewApiKey) -> None:
    simulator(price_per_thousand=1)
    key_id = api_key.api_key.pk
    for each in (key_id, None, key_id):
        data = {"to": "bob@example.net", "subject": "Hello", "text": "Hi"}
        message = parse_message(data, now=timezone.now(), limits=Limits())
        queue_message(message=message, sender=Sender(user.pk, api_key_id=each))
    drain()
    found = CostDay.objects.order_by("mails").values_list("api_key_id", "mails", "nanos")
    assert list(found) == [(None, 1, UNIT), (key_id, 2, 2 * UNIT)]


@pytest.mark.django_db
def test_refused_recipients_cost_nothing_and_the_rest_is_billed_when_it_is_taken(
    user: User,
) -> None:
    simulator(
        {"match": "bad@*", "outcome": "rejected", "reason": "bad_recipient"},
        {"match": "busy@*", "outcome": "not_accepted", "times": 1},
        price_per_thousand=1,
        hourly_limit=100,
    )
    message = queue(user, to=["good@example.net", "bad@example.net", "busy@example.net"])
    drain()
    assert (attempts(), usage()) == ([("accepted", UNIT)], (1, 0))
    make_due(message.pk)
    sweep()
    drain()
    assert (attempts(), usage()) == ([("accepted", UNIT), ("accepted", UNIT)], (2, 0))
    assert rows()[0][2:] == (2, 2, 2 * UNIT)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("outcome", "count"), [("unknown", 2), ("rejected", 0), ("not_accepted", 0)]
)
def test_what_may_have_been_sent_is_booked_and_what_was_refused_is_not(
    user: User, outcome: str, count: int
) -> None:
    simulator({"match": "*", "outcome": outcome}, price_per_thousand=1, hourly_limit=100)
    queue(user, to=["a@example.net", "b@example.net"])
    drain()
    assert (attempts(), usage()) == ([(outcome, count * UNIT)], (count, 0))
    assert sum(row[3] for row in rows()) == count


@pytest.mark.django_db
def test_an_account_that_refuses_us_costs_nothing_and_the_next_is_billed(user: User) -> None:
    simulator(
        {"match": "*", "outcome": "not_accepted", "scope": "provider"},
        name="first",
        position=1,
        price_per_thousand=5,
        hourly_limit=100,
    )
    second = simulator(name="second", position=2, price_per_thousand=1)
    queue(user, to=["a@example.net", "b@example.net"])
    drain()
    assert attempts() == [("not_accepted", 0), ("accepted", 2 * UNIT)]
    assert CostDay.objects.get().provider_id == second.pk
    assert not ProviderUsage.objects.exclude(reserved=0).exists()


@pytest.mark.django_db
def test_test_mode_costs_nothing(user: User) -> None:
    simulator(price_per_thousand=1, hourly_limit=100)
    queue(user, is_test=True)
    drain()
    assert attempts() == [("accepted", 0)]
    assert (rows(), ProviderUsage.objects.count()) == ([], 0)


@pytest.mark.django_db
def test_suppressed_recipients_cost_nothing(user: User) -> None:
    Suppression.objects.create(address="gone@example.net")
    simulator(price_per_thousand=1, hourly_limit=100)
    queue(user, to=["a@example.net", "gone@example.net"])
    drain()
    assert (attempts(), usage()) == ([("accepted", UNIT)], (1, 0))


@pytest.mark.django_db
def test_many_messages_of_a_batch_share_the_months_places(user: User) -> None:
    provider = simulator(price_per_thousand=1, free_per_month=7, price_tiers=TIERS)
    for number in range(40):
        queue(user, to=[f"{number}@example.net"] + ["b@example.net"] * (number % 2))
    drain()
    costs = [cost for _, cost in attempts()]
    assert sum(costs) == provider.pricing.nanos_for(60)
    assert (rows()[0][2:], usage()[0]) == ((40, 60, sum(costs)), 60)


@pytest.mark.django_db
def test_an_account_with_costs_is_not_deleted() -> None:
    provider = account()
    carry(provider, [1])
    with pytest.raises(ProviderInUseError, match="it has carried mail"):
        delete_provider(provider.pk)


# --- recording again, and recovery ----------------------------------------------------------------


def claimed_one(user: User, **fields: Any) -> tuple[LeaseHolder, Claimed]:
    queue(user, **fields)
    lease = LeaseHolder(worker="w:1", lane=Lane.TRANSACTIONAL)
    (message,) = claim(lease_id=lease.id, lane=Lane.TRANSACTIONAL, limit=1)
    return lease, message


def sent(message: Claimed, provider: Provider) -> Ended:
    tried = Tried(
        provider_id=provider.pk,
        decision_id=uuid7(),
        number=1,
        started_at=timezone.now(),
        duration_ms=1,
        result=ACCEPTED,
        mails=len(message.addresses),
        decision=Decision(provider.pk, "only one", ()),
    )
    return Ended(message, Step(Status.SENT), (tried,))


def settled(provider: Provider, mails: int, sent: int) -> list[Settlement]:
    book = SettlementBook()
    book.note(provider, mails=mails, sent=sent)
    return book.take()


@pytest.mark.django_db
def test_a_batch_whose_commit_went_unconfirmed_is_not_counted_twice(user: User) -> None:
    provider = simulator(price_per_thousand=1)
    lease, message = claimed_one(user, to=["a@example.net", "b@example.net"])
    batch: dict[str, Any] = {
        "lease_id": lease.id,
        "ended": [sent(message, provider)],
        "settlements": settled(provider, 2, 2),
        "now": timezone.now(),
    }
    recorder = Recorder(worker="w:1")
    recorder.record(**batch)
    recorder.record(**batch, is_repeat=True)
    assert (attempts(), usage()) == ([("accepted", 2 * UNIT)], (2, 0))
    assert rows()[0][2:] == (1, 2, 2 * UNIT)
    assert Message.objects.get().status == "sent"


@pytest.mark.django_db
def test_a_batch_that_was_rolled_back_is_written_when_it_is_repeated(user: User) -> None:
    provider = simulator(price_per_thousand=1)
    lease, message = claimed_one(user)
    Recorder(worker="w:1").record(
        lease_id=lease.id,
        ended=[sent(message, provider)],
        settlements=settled(provider, 1, 1),
        now=timezone.now(),
        is_repeat=True,
    )
    assert (attempts(), usage()) == ([("accepted", UNIT)], (1, 0))


@pytest.mark.django_db
@pytest.mark.parametrize("is_repeat", [False, True])
def test_a_batch_of_a_lost_lease_is_refused_as_a_whole(user: User, *, is_repeat: bool) -> None:
    provider = simulator(price_per_thousand=1)
    lease, message = claimed_one(user)
    Message.objects.update(lease_id=uuid7())
    with pytest.raises(LeaseLostError):
        Recorder(worker="w:1").record(
            lease_id=lease.id,
            ended=[sent(message, provider)],
            settlements=settled(provider, 1, 1),
            now=timezone.now(),
            is_repeat=is_repeat,
        )
    assert (attempts(), rows(), ProviderUsage.objects.count()) == ([], [], 0)


@pytest.mark.django_db
def test_reservations_are_not_given_back_twice(user: User) -> None:
    provider = simulator(hourly_limit=100)
    lease = uuid7()
    quotas.reserve(
        provider_id=provider.pk, time_zone="UTC", lease_id=lease, wanted=9, now=timezone.now()
    )
    batch: dict[str, Any] = {
        "lease_id": lease,
        "ended": [],
        "settlements": settled(provider, 4, 0),
        "now": timezone.now(),
    }
    recorder = Recorder(worker="w:1")
    recorder.record(**batch)
    recorder.record(**batch, is_repeat=True)
    assert usage() == (0, 5)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("result", "count"),
    [
        (None, 2),
        (ACCEPTED, 2),
        (
            SendResult(
                Outcome.ACCEPTED,
                recipients=(RecipientResult("b@example.net", Outcome.REJECTED),),
            ),
            1,
        ),
        (SendResult(Outcome.REJECTED), 0),
    ],
)
def test_recovery_books_what_the_worker_would_have_booked(
    user: User, result: SendResult | None, count: int
) -> None:
    """A third recipient was suppressed when it was sent, which nobody could tell by now."""
    provider = simulator(price_per_thousand=1, hourly_limit=100)
    lease, message = claimed_one(user, to=["a@example.net", "b@example.net", "c@example.net"])
    quotas.reserve(
        provider_id=provider.pk, time_zone="UTC", lease_id=lease.id, wanted=2, now=timezone.now()
    )
    journal = WireJournal(journal_folder(), lease_id=lease.id, capacity=4)
    entry = journal.hold(
        message.id, provider_id=provider.pk, decision_id=uuid7(), number=1, recipients=2
    )
    entry.begin()
    entry.hand_over()
    if result is not None:
        entry.end(result, 1)
    journal.pages.close()
    assert recover_dead() == 1
    assert usage() == (count, 0)
    assert [cost for _, cost in attempts()] == [count * UNIT]
    assert sum(row[3] for row in rows()) == count


@pytest.mark.django_db(transaction=True)
def test_the_journal_knows_for_how_many_recipients_an_attempt_is(
    transactional_db: None,
) -> None:
    user = User.objects.create_user("owner@example.com")
    Suppression.objects.create(address="gone@example.net")
    simulator({"match": "*", "outcome": "accepted", "latency_ms": 1_000})
    message = queue(user, to=["a@example.net", "gone@example.net", "b@example.net"])
    found: list[int] = []

    def watch() -> None:
        try:
            deadline = time.monotonic() + 10
            while not found and time.monotonic() < deadline:
                lease = Lease.objects.first()
                journal = journal_of(journal_folder(), lease.pk) if lease else None
                if journal is not None and message.pk in journal.notes:
                    found.append(journal.notes[message.pk].recipients)
                time.sleep(0.02)
        finally:
            connections.close_all()

    watcher = threading.Thread(target=watch)
    watcher.start()
    drain()
    watcher.join()
    assert found == [2]


@pytest.mark.django_db
def test_an_end_without_an_attempt_has_no_cost(user: User) -> None:
    simulator(price_per_thousand=1)
    lease, message = claimed_one(user)
    ended = Ended(message, Step(Status.EXPIRED), event=EventKind.EXPIRED)
    Recorder(worker="w:1").record(
        lease_id=lease.id, ended=[ended], settlements=[], now=timezone.now()
    )
    assert (attempts(), rows()) == ([], [])


def test_an_empty_price_list_costs_nothing() -> None:
    assert Pricing().nanos_between(0, 1_000_000) == 0
