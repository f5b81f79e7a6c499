"""Sums and series of what accounts did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from mailservice.core.ids import uuid7
from providers import figures
from providers.figures import BUCKETS, Tally
from providers.models import Provider
from providers.performance import MAX_POINTS, Step, series, starts_of, windows

NOW = datetime(2026, 11, 21, 12, 34, 56, 789, tzinfo=UTC)
FIRST = datetime(2000, 1, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe")


def account(name: str = "account") -> Provider:
    return Provider.objects.create(name=name, kind="simulator")


def add(provider: Provider, at: datetime, accepted: int = 1, **counts: int) -> None:
    latency = [0] * BUCKETS
    latency[4] = accepted
    figures.add(provider.pk, Tally(accepted=accepted, latency=latency, **counts), at)


def test_sums_hold_what_began_since_for_every_account_asked_for(db: None) -> None:
    busy, quiet, other = account("busy"), account("quiet"), account("other")
    since = NOW - HOUR
    add(busy, since - MINUTE, 100)
    add(busy, since.replace(second=0, microsecond=0), 100)  # began before
    add(busy, since + MINUTE, 2, deferred=3, rejected=4, unknown=5, faults=6, refused=7)
    add(busy, NOW, 1)
    add(other, NOW, 7)
    found = windows([busy.pk, quiet.pk], since=since)
    latency = [0] * BUCKETS
    latency[4] = 3
    assert found == {busy.pk: Tally(3, 3, 4, 5, 6, 7, 0, latency), quiet.pk: Tally()}
    assert windows([], since=since) == {}


def test_a_series_fills_its_gaps(db: None) -> None:
    busy, quiet = account("busy"), account("quiet")
    add(busy, NOW - 3 * HOUR, 100)
    add(busy, NOW - 2 * HOUR, 1)
    add(busy, NOW - 2 * HOUR + 20 * MINUTE, 2, rejected=1)
    add(busy, NOW - MINUTE, 4)
    add(busy, NOW, 100)
    found = series(
        [busy.pk, quiet.pk], since=NOW - 2 * HOUR, until=NOW.replace(second=0), step=Step.HOUR
    )
    starts = [datetime(2026, 11, 21, hour, tzinfo=UTC) for hour in (10, 11, 12)]
    assert [point.start for point in found[busy.pk]] == starts
    shown = [(point.tally.accepted, point.tally.rejected) for point in found[busy.pk]]
    assert shown == [(3, 1), (0, 0), (104, 0)]
    assert found[busy.pk][0].tally.p50_ms == 12
    assert [(point.start, point.tally) for point in found[quiet.pk]] == [
        (start, Tally()) for start in starts
    ]


def test_what_begins_at_the_end_belongs_to_nobody(db: None) -> None:
    busy = account()
    end = NOW.replace(second=0, microsecond=0)
    add(busy, end - MINUTE, 1)
    add(busy, end, 2)
    found = series([busy.pk], since=end - 2 * MINUTE, until=end, step=Step.MINUTE)
    assert [point.tally.accepted for point in found[busy.pk]] == [0, 1]
    assert series([busy.pk], since=end, until=end, step=Step.MINUTE) == {busy.pk: []}


def test_days_begin_at_local_midnight_also_where_clocks_change(db: None) -> None:
    busy = account()
    berlin = ZoneInfo("Europe/Berlin")
    add(busy, datetime(2026, 10, 24, 23, 59, tzinfo=berlin), 1)
    add(busy, datetime(2026, 10, 25, 0, 0, tzinfo=berlin), 2)
    add(busy, datetime(2026, 10, 25, 23, 59, tzinfo=berlin), 4)
    add(busy, datetime(2026, 10, 26, 0, 0, tzinfo=berlin), 8)
    found = series(
        [busy.pk],
        since=datetime(2026, 10, 24, 12, tzinfo=berlin),
        until=datetime(2026, 10, 27, tzinfo=berlin),
        step=Step.DAY,
        time_zone="Europe/Berlin",
    )[busy.pk]
    assert [point.start.astimezone(berlin).day for point in found] == [24, 25, 26]
    assert found[2].start - found[1].start == timedelta(hours=25)
    assert [point.tally.accepted for point in found] == [1, 6, 8]


def test_hours_are_those_of_the_zone(db: None) -> None:
    starts = starts_of(NOW, NOW + HOUR, Step.HOUR, "Asia/Kolkata")
    assert starts == [
        datetime(2026, 11, 21, 12, 30, tzinfo=UTC),
        datetime(2026, 11, 21, 13, 30, tzinfo=UTC),
    ]


@given(
    since=st.integers(0, 13_000 * 86_400).map(lambda seconds: FIRST + timedelta(seconds=seconds)),
    minutes=st.integers(1, 60 * 24 * 40),
    step=st.sampled_from(Step),
    zone=st.sampled_from(ZONES),
)
def test_points_ascend_and_cover_the_stretch(
    since: datetime, minutes: int, step: Step, zone: str
) -> None:
    until = since + minutes * MINUTE
    try:
        starts = starts_of(since, until, step, zone)
    except ValueError:
        assert minutes > MAX_POINTS - 2
        assert step is Step.MINUTE
        return
    longest = {Step.MINUTE: MINUTE, Step.HOUR: HOUR, Step.DAY: 25 * HOUR}[step]
    assert starts[0] <= since < starts[0] + longest
    assert starts[-1] < until <= starts[-1] + longest
    gaps = {later - earlier for earlier, later in pairwise(starts)}
    assert all(timedelta() < gap <= longest for gap in gaps)


def test_a_series_is_bounded(db: None) -> None:
    busy = account()
    end = NOW.replace(second=0, microsecond=0)
    most = series([busy.pk], since=end - MAX_POINTS * MINUTE, until=end, step=Step.MINUTE)
    assert len(most[busy.pk]) == MAX_POINTS
    with pytest.raises(ValueError, match="at most 1,000 points"):
        series([busy.pk], since=end - MAX_POINTS * MINUTE, until=NOW, step=Step.MINUTE)


def test_each_takes_one_statement_for_any_number_of_accounts(db: None) -> None:
    ids = [account(str(number)).pk for number in range(5)] + [uuid7()]
    for ask in (
        lambda: windows(ids, since=NOW - HOUR),
        lambda: series(ids, since=NOW - HOUR, until=NOW, step=Step.MINUTE),
    ):
        with CaptureQueriesContext(connection) as captured:
            assert set(ask()) == set(ids)
        assert len(captured) == 1
