"""What months will bring, learnt from days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.forecast import Estimate, learn, project, series
from providers.months import (
    days_of,
    last_day,
    month_of,
    months_between,
    next_month,
    parse_month,
    previous_month,
)

FRIDAY = date(2026, 11, 20)
DAYS = st.dates(date(2001, 1, 1), date(2150, 1, 1))
COUNTS = st.lists(st.integers(0, 10**7), max_size=120)


def history(*, days: int = 90, until: date = FRIDAY, of=lambda _day: 1_000) -> list[int]:
    return [of(until - timedelta(days=back)) for back in range(days - 1, -1, -1)]


@pytest.mark.parametrize(
    ("month", "days"),
    [
        (date(2026, 2, 1), 28),
        (date(2028, 2, 1), 29),
        (date(2026, 4, 1), 30),
        (date(2026, 12, 1), 31),
    ],
)
def test_a_constant_history_gives_as_many_for_each_day_of_the_month(month, days):
    pattern = learn(history(), last_day=FRIDAY)
    assert pattern is not None
    assert pattern.over(days_of(month)) == Estimate(1_000 * days, 1_000 * days, 1_000 * days)


@given(st.integers(1, 10**8), st.integers(7, 120), DAYS, DAYS)
def test_constant_days_stay_exact_whenever_and_however_long(count, length, until, month):
    pattern = learn([count] * length, last_day=until)
    assert pattern is not None
    expected = count * len(days_of(month_of(month)))
    assert pattern.over(days_of(month_of(month))) == Estimate(expected, expected, expected)


@given(st.lists(st.integers(0, 10**6), min_size=7, max_size=7).filter(any), DAYS)
def test_a_week_that_repeats_itself_is_learnt_day_by_day(week, until):
    pattern = learn(
        history(days=84, until=until, of=lambda day: week[day.weekday()]), last_day=until
    )
    month = next_month(until)
    expected = sum(week[day.weekday()] for day in days_of(month))
    assert pattern is not None
    assert pattern.over(days_of(month)).expected == expected


@given(COUNTS, DAYS)
def test_no_forecast_is_negative_and_its_ends_lie_around_it(counts, until):
    pattern = learn(counts, last_day=until)
    if pattern is not None:
        found = pattern.over(days_of(next_month(until)))
        assert 0 <= found.low <= found.expected <= found.high


def test_a_week_is_too_little_if_it_is_not_whole():
    assert learn([5] * 6, last_day=FRIDAY) is None
    assert learn([0] * 50 + [5] * 6, last_day=FRIDAY) is None
    assert learn([0] * 50, last_day=FRIDAY) is None
    assert learn([5] * 7, last_day=FRIDAY) is not None


def test_one_outage_and_one_campaign_do_not_move_the_forecast():
    counts = history()
    counts[80], counts[60] = 0, 500_000
    pattern = learn(counts, last_day=FRIDAY)
    assert pattern is not None
    found = pattern.over(days_of(date(2026, 12, 1)))
    assert found.expected == 31_000
    assert found.high >= 530_000


def test_campaigns_that_come_again_are_expected_to():
    counts = history()
    for place in (14, 44, 74):
        counts[place] = 91_000
    pattern = learn(counts, last_day=FRIDAY)
    assert pattern is not None
    assert pattern.over(days_of(date(2026, 12, 1))).expected == 31_000 + 31 * 3_000


def test_growth_goes_on_but_fades():
    counts = [1_000 + 20 * place for place in range(90)]
    pattern = learn(counts, last_day=FRIDAY)
    assert pattern is not None
    december = pattern.over(days_of(date(2026, 12, 1)))
    unfaded = sum(1_000 + 20 * (89 + ahead) for ahead in range(11, 42))
    assert 2_780 * 31 < december.expected < unfaded
    assert december.low < december.expected < december.high


def test_decline_ends_at_nothing():
    pattern = learn([2_000 - 22 * place for place in range(90)], last_day=FRIDAY)
    assert pattern is not None
    assert 0 <= pattern.over(days_of(date(2027, 6, 1))).expected < 31 * 42


def test_what_came_every_week_and_stopped_is_not_expected():
    pattern = learn([100] * 60 + [0] * 7, last_day=FRIDAY)
    assert pattern is not None
    assert pattern.over(days_of(date(2026, 12, 1))) == Estimate(0, 0, 100)


def test_a_short_history_has_a_wider_band():
    wobbling = [1_000 + 100 * (place % 3) for place in range(90)]
    long = learn(wobbling, last_day=FRIDAY)
    short = learn(wobbling[-10:], last_day=FRIDAY)
    assert long is not None
    assert short is not None
    month = days_of(date(2026, 12, 1))
    widths = [each.over(month).high - each.over(month).low for each in (long, short)]
    assert widths[1] > widths[0] > 0


def test_the_rest_of_a_month_is_what_today_lacks_and_the_days_after():
    counts = {FRIDAY - timedelta(days=back): 100 for back in range(1, 60)} | {FRIDAY: 30}
    found = project(counts, today=FRIDAY, days=days_of(date(2026, 11, 1)))
    assert found is not None
    assert found.expected == 70 + 10 * 100


def test_a_day_above_its_pattern_leaves_nothing_to_come_today():
    counts = {FRIDAY - timedelta(days=back): 100 for back in range(1, 60)} | {FRIDAY: 5_000}
    found = project(counts, today=FRIDAY, days=[FRIDAY])
    assert found == Estimate(0, 0, 0)


def test_missing_days_are_days_without_mail():
    assert series({FRIDAY: 3}, since=FRIDAY - timedelta(days=2), until=FRIDAY) == [0, 0, 3]


def test_months():
    assert next_month(date(2026, 12, 31)) == date(2027, 1, 1)
    assert previous_month(date(2026, 1, 31)) == date(2025, 12, 1)
    assert last_day(date(2028, 2, 1)) == date(2028, 2, 29)
    assert months_between(date(2026, 11, 2), date(2027, 1, 1)) == [
        date(2026, 12, 1),
        date(2027, 1, 1),
    ]


@given(DAYS)
def test_months_follow_each_other(day):
    assert previous_month(next_month(day)) == month_of(day)
    assert parse_month(f"{day:%Y-%m}") == month_of(day)


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "2026-1", "0000-01", "1999-12", "٢٠٢٦-01"])
def test_no_month(text):
    with pytest.raises(ValueError, match="Give a month such as"):
        parse_month(text)
