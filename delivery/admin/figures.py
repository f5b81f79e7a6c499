"""Figures of the dashboard, each at a bounded cost however large the tables grow.

Counts walk a partial index and stop at `CAP`; the figures of an hour that is over never change, so
they are kept in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from redis.exceptions import RedisError

from delivery.models import Lease
from delivery.references import first_id_at
from delivery.states import Lane, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Beyond this a count reads “10,000+”.
CAP = 10_000
HOURS = 24
#: An attempt is written within seconds of being made; after this an hour is closed for good.
_SETTLED = timedelta(minutes=5)
_KEEP_SECONDS, _RUNNING_SECONDS = 26 * 3600, 10

_DEPTH = """
SELECT l.lane, p.priority, d.n, o.due_at
  FROM (VALUES (1), (2)) l(lane) CROSS JOIN generate_series(1, 5) p(priority)
 CROSS JOIN LATERAL (
       SELECT count(*) AS n FROM (
              SELECT 1 FROM delivery_message
               WHERE status = 'queued' AND NOT awaits_turn
                 AND lane = l.lane AND priority = p.priority LIMIT %s) head) d
  LEFT JOIN LATERAL (
       SELECT due_at FROM delivery_message
        WHERE status = 'queued' AND NOT awaits_turn AND lane = l.lane AND priority = p.priority
        ORDER BY due_at LIMIT 1) o ON TRUE
 ORDER BY 1, 2
"""

# The status stands in the text: with a parameter no partial index would serve.
_COUNT = """
SELECT '{status}', count(*) FROM (
       SELECT 1 FROM delivery_message WHERE status = '{status}' {since} LIMIT {limit}) newest
"""
_OPEN = (Status.SCHEDULED, Status.RETRY, Status.HELD, Status.UNKNOWN)
_RECENT = (
    Status.BOUNCED,
    Status.COMPLAINED,
    Status.FAILED,
    Status.EXPIRED,
    Status.SUPPRESSED,
    Status.CANCELLED,
)

_SENDING = """
SELECT lease_id, count(*) FROM (
       SELECT lease_id FROM delivery_message WHERE lease_id IS NOT NULL LIMIT %s) held
 GROUP BY lease_id
"""

_ATTEMPTS = """
SELECT count(*) FILTER (WHERE outcome = 'accepted'), count(*)
  FROM delivery_attempt WHERE id >= %s AND id < %s
"""


@dataclass(frozen=True)
class Capped:
    """A count that stopped at `CAP`."""

    number: int

    def __str__(self) -> str:
        return f"{CAP:,}+" if self.number > CAP else f"{self.number:,}"


@dataclass(frozen=True)
class Depth:
    """What waits in one lane with one priority."""

    priority: int
    count: Capped
    oldest_at: datetime | None
    age: timedelta

    @property
    def percent(self) -> int:
        """Return how long its bar is: by orders of magnitude, so that 1 and 10,000 both show."""
        return min(100, 20 * len(str(self.count.number))) if self.count.number else 0

    @property
    def level(self) -> str:
        """Return the colour of its age."""
        if self.age >= timedelta(minutes=10):
            return "is-full"
        return "is-high" if self.age >= timedelta(minutes=1) else ""


@dataclass(frozen=True)
class LaneDepth:
    """What waits in one lane."""

    lane: Lane
    depths: Sequence[Depth]

    @property
    def count(self) -> Capped:
        """Return the sum."""
        return Capped(sum(depth.count.number for depth in self.depths))


@dataclass(frozen=True)
class Hour:
    """What was tried in one clock hour."""

    begins_at: datetime
    accepted: int
    tried: int
    #: Height of its bar parts, in percent of the busiest hour.
    accepted_percent: float = 0
    other_percent: float = 0

    @property
    def other(self) -> int:
        """Return the attempts that were not accepted."""
        return self.tried - self.accepted


@dataclass(frozen=True)
class Worker:
    """One live lease."""

    name: str
    lane: str
    started_at: datetime
    sending: int


def queue_depth(now: datetime) -> Sequence[LaneDepth]:
    """Return depth and age of the oldest by lane and priority."""
    with connection.cursor() as cursor:
        cursor.execute(_DEPTH, [CAP + 1])
        rows = cursor.fetchall()
    lanes = []
    for lane in Lane:
        depths = [
            Depth(
                priority,
                Capped(count),
                due_at,
                max(timedelta(), now - due_at) if due_at else timedelta(),
            )
            for row_lane, priority, count, due_at in rows
            if row_lane == lane.value
        ]
        lanes.append(LaneDepth(lane, depths))
    return lanes


def status_counts(now: datetime) -> Mapping[str, Capped]:
    """Return how many are open by status, and how many of the last 24 hours ended badly."""
    recent = f"AND id >= '{first_id_at(now - timedelta(hours=24))}'"
    parts = [(status, "") for status in _OPEN] + [(status, recent) for status in _RECENT]
    statement = " UNION ALL ".join(
        f"({_COUNT.format(status=status.value, since=since, limit=CAP + 1)})"
        for status, since in parts
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return {status: Capped(count) for status, count in cursor.fetchall()}


def workers(now: datetime) -> tuple[Sequence[Worker], int]:
    """Return the live leases, and how many messages are on their way out."""
    with connection.cursor() as cursor:
        cursor.execute(_SENDING, [CAP])
        held = dict(cursor.fetchall())
    leases = Lease.objects.filter(expires_at__gt=now).order_by("lane", "started_at")[:20]
    found = [
        Worker(lease.worker, lease.get_lane_display(), lease.started_at, held.get(lease.pk, 0))
        for lease in leases
    ]
    return found, sum(held.values())


def hourly(now: datetime) -> Sequence[Hour]:
    """Return the attempts of the last 24 clock hours, the running one last."""
    running = now.replace(minute=0, second=0, microsecond=0)
    starts = [running - timedelta(hours=back) for back in range(HOURS - 1, -1, -1)]
    keys = {start: f"console:hour:{start:%Y%m%d%H}" for start in starts}
    known = _cached(list(keys.values()))
    hours = []
    for start in starts:
        figures = known.get(keys[start])
        if figures is None:
            figures = _count_hour(start)
            is_over = now >= start + timedelta(hours=1) + _SETTLED
            _remember(keys[start], figures, _KEEP_SECONDS if is_over else _RUNNING_SECONDS)
        hours.append(Hour(start, figures[0], figures[1]))
    top = max((hour.tried for hour in hours), default=0) or 1
    return [
        Hour(
            hour.begins_at,
            hour.accepted,
            hour.tried,
            round(100 * hour.accepted / top, 1),
            round(100 * hour.other / top, 1),
        )
        for hour in hours
    ]


def dashboard_figures() -> dict[str, Any]:
    """Return everything about messages that the dashboard shows."""
    now = timezone.now()
    lanes = queue_depth(now)
    hours = hourly(now)
    live, sending = workers(now)
    waiting = [depth for lane in lanes for depth in lane.depths if depth.count.number]
    return {
        "lanes": lanes,
        "queued": Capped(sum(lane.count.number for lane in lanes)),
        "oldest": max((depth.age for depth in waiting), default=None),
        "counts": status_counts(now),
        "workers": live,
        "sending": sending,
        "hours": hours,
        "accepted": sum(hour.accepted for hour in hours),
        "not_accepted": sum(hour.other for hour in hours),
        "busiest": max((hour.tried for hour in hours), default=0),
    }


def _count_hour(start: datetime) -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(_ATTEMPTS, [first_id_at(start), first_id_at(start + timedelta(hours=1))])
        row = cursor.fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _cached(keys: list[str]) -> Mapping[str, tuple[int, int]]:
    try:
        return cache.get_many(keys)
    except (RedisError, OSError):
        return {}  # the dashboard is wanted most when something is down


def _remember(key: str, figures: tuple[int, int], seconds: int) -> None:
    try:
        cache.set(key, figures, seconds)
    except (RedisError, OSError):
        return
