"""How many mails days to come will bring, from the days that were: pure, and robust to odd days.

A pattern is what each day of the week usually brings (the median of six weeks, so that an outage or
one campaign does not move it, but a new habit soon does), a trend, and peaks. The trend is the
median of all slopes between equal days of the week (Theil and Sen's estimator), and it fades: what
grew for three months does not grow for ever. Days far above their pattern are peaks, such as
campaigns: two or more are expected to go on at their average rate, a single one raises only the
upper end of what is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from math import sqrt
from statistics import fmean, median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Days looked back on, and the fewest that tell anything.
MAX_DAYS, MIN_DAYS = 90, 7
_WEEK = 7
#: Weeks whose medians count.
_RECENT_WEEKS = 6
#: A slope between equal days of the week needs some weeks to mean something.
_TREND_DAYS = 28
#: How much of a day's growth the day after still brings.
_FADING = 0.97
#: A day is a peak from so many mean deviations above its pattern, and from so many times it.
_PEAK_DEVIATIONS, _PEAK_TIMES = 5, 1.5
#: Four of five months lie within this many standard deviations.
_BAND = 1.28
#: A mean absolute deviation is this much less than a standard deviation, for the normal law.
_DEVIATION = 1.2533


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number to come: four times of five it should lie between `low` and `high`."""

    expected: int
    low: int
    high: int

    def __add__(self, other: Estimate) -> Estimate:
        """Return the sum, the ends added as if all erred to the same side."""
        return Estimate(
            self.expected + other.expected, self.low + other.low, self.high + other.high
        )


NOTHING = Estimate(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What was learnt from a history of days."""

    #: The last day of the history, and how many it has.
    last_day: date
    day_count: int
    #: What each day of the week usually brings, Monday first, as of the last day.
    weekdays: tuple[float, ...]
    #: Mails that each day brings more than the day before.
    trend: float
    #: What peaks bring on an average day, and the largest one.
    peaks: float
    largest_peak: float
    peak_count: int
    #: How far an ordinary day strays.
    deviation: float

    def on(self, day: date) -> float:
        """Return what a day after the history is expected to bring, never less than nothing."""
        ahead = max(0, (day - self.last_day).days)
        grown = self.trend * _FADING * (1 - _FADING**ahead) / (1 - _FADING)
        return max(0.0, self.weekdays[day.weekday()] + grown) + self.peaks

    def over(self, days: Sequence[date]) -> Estimate:
        """Return what days after the history are expected to bring together."""
        if not days:
            return NOTHING
        expected = sum(map(self.on, days))
        level = sum(self.weekdays[day.weekday()] + self.peaks for day in days)
        # The days stray each for itself; the level was learnt from few days; the trend may end.
        strayed = self.deviation * sqrt(len(days) * (1 + len(days) / self.day_count))
        margin = _BAND * strayed + abs(expected - level) / 2
        margin *= max(1.0, sqrt(_TREND_DAYS / self.day_count))
        low = expected - margin - self.peaks * len(days) / 2
        high = expected + margin + self.largest_peak
        return Estimate(round(expected), max(0, round(low)), round(high))


def learn(counts: Sequence[int], *, last_day: date) -> Pattern | None:
    """Return the pattern of the days that end with `last_day`, or None if they are too few.

    Days before the first mail do not count: there was nothing to send yet.
    """
    values = list(counts[-MAX_DAYS:])
    while values and not values[0]:
        values.pop(0)
    if len(values) < MIN_DAYS:
        return None
    if not any(values[-_WEEK:]) and _came_weekly(values[:-_WEEK]):
        return _ended(values, last_day)
    trend = _trend(values)
    # Every day as if it were the last one.
    level = [value + trend * (len(values) - 1 - place) for place, value in enumerate(values)]
    weekdays = _weekdays(level, last_day)
    first = last_day - timedelta(days=len(values) - 1)
    usual = [
        max(0.0, weekdays[(first.weekday() + place) % _WEEK] - trend * (len(values) - 1 - place))
        for place in range(len(values))
    ]
    over = [value - expected for value, expected in zip(values, usual, strict=True)]
    peaks = _peaks(over, usual)
    rest = [abs(value) for place, value in enumerate(over) if place not in peaks]
    return Pattern(
        last_day=last_day,
        day_count=len(values),
        weekdays=weekdays,
        trend=trend,
        peaks=sum(peaks.values()) / len(values) if len(peaks) > 1 else 0.0,
        largest_peak=max(peaks.values(), default=0.0),
        peak_count=len(peaks),
        deviation=_DEVIATION * fmean(rest) if rest else 0.0,
    )


def series(counts: Mapping[date, int], *, since: date, until: date) -> list[int]:
    """Return the counts of `since` to `until`, both included, with zeros for missing days."""
    length = (until - since).days + 1
    return [counts.get(since + timedelta(days=place), 0) for place in range(length)]


def project(counts: Mapping[date, int], *, today: date, days: Sequence[date]) -> Estimate | None:
    """Return what is still to come of the days given, today's rest included.

    None if the days before today are too few. `counts` holds today's mails so far too.
    """
    yesterday = today - timedelta(days=1)
    since = yesterday - timedelta(days=MAX_DAYS - 1)
    pattern = learn(series(counts, since=since, until=yesterday), last_day=yesterday)
    if pattern is None:
        return None
    rest = pattern.over([day for day in days if day > today])
    if today in days:
        rest_of_today = max(0, round(pattern.on(today)) - counts.get(today, 0))
        rest += Estimate(rest_of_today, 0, rest_of_today)
    return rest


def _came_weekly(values: Sequence[int]) -> bool:
    """Tell whether every week had mail."""
    weeks = [values[place : place + _WEEK] for place in range(0, len(values), _WEEK)]
    return bool(weeks) and all(map(any, weeks))


def _ended(values: Sequence[int], last_day: date) -> Pattern:
    """Return the pattern of what came every week, and then no more: it may come back."""
    none = (0.0,) * _WEEK
    return Pattern(last_day, len(values), none, 0.0, 0.0, float(max(values)), 0, 0.0)


def _trend(values: Sequence[int]) -> float:
    if len(values) < _TREND_DAYS:
        return 0.0
    slopes = [
        (values[later] - values[earlier]) / (later - earlier)
        for earlier in range(len(values))
        for later in range(earlier + _WEEK, len(values), _WEEK)
    ]
    return float(median(slopes))


def _weekdays(level: Sequence[float], last_day: date) -> tuple[float, ...]:
    """Return the median of each day of the week, Monday first."""
    found = []
    for weekday in range(_WEEK):
        back = (last_day.weekday() - weekday) % _WEEK
        same = level[len(level) - 1 - back :: -_WEEK]
        found.append(float(median(same[:_RECENT_WEEKS])))
    return tuple(found)


def _peaks(over: Sequence[float], usual: Sequence[float]) -> dict[int, float]:
    """Return how much each day that stands out is above its pattern, by its place."""
    spread = median(abs(value) for value in over)
    return {
        place: value
        for place, value in enumerate(over)
        if value > _PEAK_DEVIATIONS * spread and value > (_PEAK_TIMES - 1) * usual[place]
    }
