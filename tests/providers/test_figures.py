from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from mailservice.core.ids import uuid7
from providers import figures, quotas
from providers.figures import BUCKETS, COUNTS, Tally, TallyBook, bucket_of, percentile
from providers.models import Provider, ProviderMinute, ProviderUsage
from providers.ports import Outcome, Reason, Reply, Scope, SendResult
from providers.quotas import Settlement

LEASE = uuid7()
NOW = datetime(2026, 11, 21, 12, 34, 56, 789, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ACCEPTED = SendResult(Outcome.ACCEPTED)
DEFERRED = SendResult(Outcome.NOT_ACCEPTED, Reason.GREYLISTED)
REJECTED = SendResult(Outcome.REJECTED, Reason.BAD_RECIPIENT)
UNKNOWN = SendResult(Outcome.UNKNOWN, Reason.LOST_AFTER_DATA)
FAULT = SendResult(Outcome.NOT_ACCEPTED, Reason.CONNECTION, Scope.PROVIDER)
LACKING = SendResult(Outcome.NOT_ACCEPTED, Reason.CONTENT, Scope.PROVIDER)


@pytest.fixture(autouse=True)
def _forget() -> None:
    figures.forget_recent()


def account(name: str = "account") -> Provider:
    return Provider.objects.create(name=name, kind="simulator")


def write(provider: Provider, *results: SendResult, now: datetime = NOW, ms: int = 10) -> None:
    book = TallyBook()
    for result in results:
        book.note(provider.pk, result, ms, mails=1)
    settle(book, now)


def settle(book: TallyBook, now: datetime = NOW, *settlements: Settlement) -> None:
    quotas.settle(lease_id=LEASE, settlements=settlements, now=now, tallies=book.take())


@pytest.mark.parametrize(
    ("ms", "place"),
    [(-1, 0), (0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (1023, 10), (1024, 11), (10**9, 18)],
)
def test_a_bucket_holds_a_power_of_two(ms: int, place: int) -> None:
    assert bucket_of(ms) == place


@given(
    durations=st.lists(st.integers(0, 100_000), min_size=1, max_size=50), share=st.floats(0.01, 1)
)
def test_a_percentile_lies_in_the_bucket_of_the_true_one(
    durations: list[int], share: float
) -> None:
    histogram = [0] * BUCKETS
    for duration in durations:
        histogram[bucket_of(duration)] += 1
    found = percentile(histogram, share)
    assert found is not None
    rank = next(n for n in range(1, len(durations) + 1) if n >= share * len(durations))
    place = bucket_of(sorted(durations)[rank - 1])
    assert (0 if place == 0 else 2 ** (place - 1)) <= found <= 2**place


def test_percentiles_of_nothing_and_of_an_even_spread() -> None:
    assert percentile([0] * BUCKETS, 0.5) is None
    histogram = [0] * BUCKETS
    histogram[10] = 100
    assert percentile(histogram, 0.5) == 512 + 256
    assert Tally(latency=histogram).p95_ms == pytest.approx(512 + 0.95 * 512)


def test_the_success_rate_leaves_out_what_the_recipient_is_to_blame_for() -> None:
    tally = Tally(accepted=6, deferred=1, rejected=50, unknown=2, faults=1)
    assert (tally.tried, tally.success_rate) == (10, 0.6)
    assert Tally(rejected=3).success_rate is None


def test_mail_that_is_refused_for_other_reasons_speaks_against_the_account() -> None:
    tally = Tally(accepted=6, rejected=50, refused=4)
    assert (tally.tried, tally.success_rate) == (10, 0.6)


@pytest.mark.parametrize(
    ("result", "column"),
    [
        (SendResult(Outcome.REJECTED, Reason.MAILBOX), "rejected"),
        (SendResult(Outcome.REJECTED, Reason.CONTENT, reply=Reply(554)), "refused"),
        (SendResult(Outcome.REJECTED, Reason.OTHER), "refused"),
        (replace(LACKING, reply=Reply(553, "5.7.1", "not owned")), "refused"),
        (LACKING, ""),
        (FAULT, "faults"),
    ],
)
def test_whose_fault_a_refusal_is(result: SendResult, column: str) -> None:
    book, provider_id = TallyBook(), uuid7()
    book.note(provider_id, result, 1, mails=1)
    tally = book.take()[provider_id]
    assert {name: getattr(tally, name) for name in COUNTS if getattr(tally, name)} == (
        {column: 1} if column else {}
    )


def test_rates_of_what_came_back_are_of_recipients() -> None:
    tally = Tally(accepted=60, accepted_mails=600, bounced=7, complained=3, blocked=60)
    rates = (tally.bounce_rate, tally.complaint_rate, tally.block_rate)
    assert rates == (7 / 600, 3 / 600, 0.1)
    assert Tally(accepted=100, accepted_mails=99, bounced=7).bounce_rate is None


def test_what_was_blocked_is_taken_off_as_a_share() -> None:
    assert Tally(accepted=60, accepted_mails=600, blocked=60).kept == 54
    assert Tally(accepted=60, accepted_mails=60, blocked=60).kept == 0
    assert Tally(accepted=6, accepted_mails=6, blocked=7).kept == 0
    assert Tally(blocked=7).kept == 0


@pytest.mark.django_db
def test_results_add_up_in_the_row_of_their_minute() -> None:
    provider = account()
    write(provider, ACCEPTED, ACCEPTED, REJECTED, LACKING, ms=3)
    write(provider, ACCEPTED, DEFERRED, UNKNOWN, FAULT, now=NOW + timedelta(seconds=3), ms=700)
    write(provider, ACCEPTED, now=NOW + timedelta(seconds=4))
    first, second = ProviderMinute.objects.order_by("minute")
    assert (first.minute, second.minute) == (
        NOW.replace(second=0, microsecond=0),
        NOW.replace(minute=35, second=0, microsecond=0),
    )
    assert (first.accepted, first.deferred, first.rejected, first.unknown, first.faults) == (
        3,
        1,
        1,
        1,
        1,
    )
    assert {place: n for place, n in enumerate(first.latency) if n} == {2: 2, 10: 1}
    assert (second.accepted, len(second.latency)) == (1, BUCKETS)


@pytest.mark.django_db
def test_accounts_have_figures_of_their_own_and_one_that_is_gone_has_none() -> None:
    one, two = account("one"), account("two")
    book = TallyBook()
    book.note(two.pk, ACCEPTED, 1, mails=1)
    book.note(uuid7(), ACCEPTED, 1, mails=1)
    book.note(one.pk, REJECTED, 1, mails=1)
    settle(book)
    settle(book)
    sums = figures.sums_since(NOW - MINUTE)
    assert (sums[one.pk].rejected, sums[two.pk].accepted, len(sums)) == (1, 1, 2)


@pytest.mark.django_db
def test_recent_sums_are_those_of_the_last_minutes_and_remembered() -> None:
    provider, other = account(), account("other")
    now = timezone.now()
    write(provider, ACCEPTED, ACCEPTED, DEFERRED, now=now)
    write(provider, ACCEPTED, now=now - 30 * MINUTE, ms=1000)
    write(provider, FAULT, now=now - 61 * MINUTE)
    ids = [provider.pk, other.pk]
    hour = figures.recent(ids)
    assert list(hour) == [provider.pk]
    assert (hour[provider.pk].accepted, hour[provider.pk].success_rate) == (3, 0.75)
    assert hour[provider.pk].p50_ms == 14
    assert figures.recent(ids, minutes=5)[provider.pk].accepted == 2
    write(provider, ACCEPTED, now=now)
    assert figures.recent(ids)[provider.pk].accepted == 3
    figures.forget_recent()
    assert figures.recent(ids)[provider.pk].accepted == 4
    assert figures.recent([]) == {}


@pytest.mark.django_db
def test_rows_are_kept_for_ninety_days() -> None:
    provider = account()
    for days in (89, 90, 91, 200):
        write(provider, ACCEPTED, now=NOW - timedelta(days=days))
    oldest = (NOW - timedelta(days=90)).replace(second=0, microsecond=0)
    assert figures.delete_old(oldest + timedelta(days=90)) == 2
    assert min(ProviderMinute.objects.values_list("minute", flat=True)) == oldest
    assert figures.delete_old(NOW - timedelta(days=1)) == 0


@pytest.mark.django_db(transaction=True)
def test_racing_recorders_lose_nothing() -> None:
    accounts = [account(name) for name in "abcd"]

    def record(number: int) -> None:
        try:
            with transaction.atomic():
                book = TallyBook()
                # In another order each time: rows are taken in one.
                for provider in accounts[number % 4 :] + accounts[: number % 4]:
                    book.note(provider.pk, ACCEPTED, number, mails=1)
                settled = [Settlement(each.pk, "UTC", 0, 1) for each in accounts[number % 4 :]]
                settle(book, NOW, *settled)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(64)))
    sums = figures.sums_since(NOW - MINUTE)
    assert [sums[provider.pk].accepted for provider in accounts] == [64] * 4
    assert sum(sums[accounts[0].pk].latency) == 64
    used = ProviderUsage.objects.in_bulk([provider.pk for provider in accounts])
    assert [used[provider.pk].total_count for provider in accounts] == [16, 32, 48, 64]


@pytest.mark.django_db
def test_the_first_mails_of_an_account_count_once() -> None:
    provider = account()
    for _ in range(2):
        book = TallyBook()
        book.note(provider.pk, ACCEPTED, 1, mails=1)
        settle(book, NOW, Settlement(provider.pk, "UTC", 0, 1))
    assert ProviderMinute.objects.get().accepted == 2
    assert ProviderUsage.objects.get().total_count == 2
