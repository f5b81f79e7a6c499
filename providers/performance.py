"""How accounts did over a stretch of time, as sums and as series, from the minutes of `figures`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.db import connection

from providers import quotas
from providers.figures import BUCKETS, COUNTS, RETURNS, Tally

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime
    from uuid import UUID

#: The stretches of time that people ask for; all end now.
SPANS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
#: Of one account's series.
MAX_POINTS = 1_000


class Step(StrEnum):
    """How much time one point of a series stands for."""

    MINUTE = "minute"
    HOUR = "hour"
    #: A local calendar day: 23 to 25 hours where clocks change.
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Point:
    """What became of the mails from `start` until the next point."""

    start: datetime
    tally: Tally


def _sums(names: Iterable[str]) -> str:
    return ", ".join(f"sum({name})::bigint AS {name}" for name in names)


_SUMMED = f"""{_sums(COUNTS)},
       ARRAY[{", ".join(f"sum(latency[{place}])" for place in range(1, BUCKETS + 1))}]::bigint[]
           AS latency, {_sums(RETURNS)}"""

_WINDOWS = f"""
SELECT provider_id, {_SUMMED}
  FROM providers_providerminute
 WHERE provider_id = ANY(%(ids)s) AND minute >= %(since)s
 GROUP BY provider_id
"""  # noqa: S608 - names from this module only, values are parameters

# One range of an index for each point: nothing is sorted, however many minutes there are. The
# starts come from Python, so that days begin here when they begin for the quotas.
_SERIES = f"""
SELECT place, found.*
  FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[])
       WITH ORDINALITY AS point (starts_at, ends_at, place)
 CROSS JOIN LATERAL (
    SELECT provider_id, {_SUMMED}
      FROM providers_providerminute
     WHERE provider_id = ANY(%(ids)s) AND minute >= starts_at AND minute < ends_at
     GROUP BY provider_id
 ) found
"""  # noqa: S608 - as above


def windows(provider_ids: Collection[UUID], *, since: datetime) -> dict[UUID, Tally]:
    """Return each account's sums over the minutes that began at `since` or later."""
    tallies = {provider_id: Tally() for provider_id in provider_ids}
    with connection.cursor() as cursor:
        cursor.execute(_WINDOWS, {"ids": list(tallies), "since": since})
        tallies |= {row[0]: Tally(*row[1:]) for row in cursor.fetchall()}
    return tallies


def series(
    provider_ids: Collection[UUID],
    *,
    since: datetime,
    until: datetime,
    step: Step,
    time_zone: str = "UTC",
) -> dict[UUID, list[Point]]:
    """Return each account's points, oldest first, those without mail included.

    The first is the whole minute, hour or day around `since`; the last ends at `until`. Raises
    `ValueError` for more than `MAX_POINTS`.
    """
    starts = starts_of(since, until, step, time_zone)
    points = {each: [Point(start, Tally()) for start in starts] for each in provider_ids}
    if not starts or not points:
        return points
    with connection.cursor() as cursor:
        ends = [*starts[1:], until]
        cursor.execute(_SERIES, {"ids": list(points), "starts": starts, "ends": ends})
        for place, provider_id, *sums in cursor.fetchall():
            points[provider_id][place - 1] = Point(starts[place - 1], Tally(*sums))
    return points


def starts_of(since: datetime, until: datetime, step: Step, time_zone: str) -> list[datetime]:
    """Return when the points of a series begin (UTC). Raises `ValueError` for too many."""
    starts: list[datetime] = []
    for start in _starts(since, step, time_zone):
        if start >= until:
            break
        if len(starts) == MAX_POINTS:
            raise ValueError(f"A series has at most {MAX_POINTS:,} points.")
        starts.append(start)
    return starts


def _starts(since: datetime, step: Step, time_zone: str) -> Iterator[datetime]:
    """Yield the beginnings of minutes, hours or days without end, from the one around `since`."""
    if step is Step.DAY:
        while True:
            day = quotas.windows(since, time_zone)
            yield day.day_start
            since = day.day_end
    local = since.astimezone(ZoneInfo(time_zone))
    past = timedelta(seconds=local.second, microseconds=local.microsecond)
    length = timedelta(minutes=1)
    if step is Step.HOUR:
        past += timedelta(minutes=local.minute)
        length = timedelta(hours=1)
    start = since.astimezone(UTC) - past
    while True:
        yield start
        start += length
