"""Hourly, daily and monthly limits of provider accounts, exact under any number of workers.

A worker reserves before it sends and settles when it records. Both are one statement over the
account's single usage row, whose row lock orders them; windows roll over inside the statement, so
the figures are right even if no reset ever runs. Invariant: committed + reserved ≤ limit.

Of each limit, `priority_reserve` percent (rounded down, so that small limits keep nothing) is kept
for mail of priority 1: other mail is granted as if the limits were lower by so much. A warm-up plan
is a second limit of the day while it lasts.

A reservation belongs to a lease. What a dead worker had reserved cannot be proved unsent, so it is
booked as used: the limit holds at the provider too, at the price of at most one chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.db import connection

from providers.figures import ADD, add, parameters_of
from providers.models import Provider, ProviderUsage
from providers.warm_up import warm_up_limit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from uuid import UUID

    from providers.figures import Tally


@dataclass(frozen=True, slots=True)
class Windows:
    """Where an account's running hour, day and month begin and end (aware datetimes)."""

    hour_start: datetime
    hour_end: datetime
    day_start: datetime
    day_end: datetime
    month_start: datetime
    month_end: datetime
    #: The local date.
    today: date


def windows(now: datetime, time_zone: str) -> Windows:
    """Return the clock hour (UTC), the local calendar day and the local month around `now`.

    A day is 23 to 25 hours long where clocks change.
    """
    hour_start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    zone = ZoneInfo(time_zone)
    today = now.astimezone(zone).date()
    first = today.replace(day=1)
    next_first = (first + timedelta(days=31)).replace(day=1)
    return Windows(
        hour_start,
        hour_start + timedelta(hours=1),
        _midnight(today, zone),
        _midnight(today + timedelta(days=1), zone),
        _midnight(first, zone),
        _midnight(next_first, zone),
        today,
    )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return when a local day begins: the first of two midnights, or right after a missing one."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


# The limits are read from the provider row in the same statement, so a change counts at once.
# Waiting for the usage row (FOR UPDATE) re-reads it after the other worker's commit.
# The urgent mails among the wanted ones come first, so one number tells who got something.
_RESERVE = """
WITH current AS (
    SELECT p.priority_reserve, u.reserved,
           p.hourly_limit AS hour_limit, p.monthly_limit AS month_limit,
           LEAST(p.daily_limit, CASE WHEN %(today)s >= (p.warm_up ->> 'starts_on')::date
               THEN (p.warm_up -> 'daily' ->> (%(today)s - (p.warm_up ->> 'starts_on')::date))::int
               END) AS day_limit,
           CASE WHEN u.hour_start = %(hour)s THEN u.hour_count ELSE 0 END AS hour_count,
           CASE WHEN u.day_start = %(day)s THEN u.day_count ELSE 0 END AS day_count,
           CASE WHEN u.month_start = %(month)s THEN u.month_count ELSE 0 END AS month_count
      FROM providers_providerusage u JOIN providers_provider p ON p.id = u.provider_id
     WHERE u.provider_id = %(provider)s FOR UPDATE OF u
), free AS (
    SELECT *,
           GREATEST(0, LEAST(%(wanted)s, hour_limit - hour_count - reserved,
               day_limit - day_count - reserved, month_limit - month_count - reserved)) AS for_all,
           GREATEST(0, LEAST(%(wanted)s,
               hour_limit - hour_limit::bigint * priority_reserve / 100 - hour_count - reserved,
               day_limit - day_limit::bigint * priority_reserve / 100 - day_count - reserved,
               month_limit - month_limit::bigint * priority_reserve / 100
                   - month_count - reserved)) AS for_others
      FROM current
), granted AS (
    SELECT (LEAST(%(urgent)s, for_all)
            + LEAST(%(wanted)s - %(urgent)s,
                    GREATEST(0, for_others - LEAST(%(urgent)s, for_all))))::int AS n,
           hour_count, day_count, month_count
      FROM free
), usage AS (
    UPDATE providers_providerusage u
       SET reserved = u.reserved + g.n, hour_start = %(hour)s, hour_count = g.hour_count,
           day_start = %(day)s, day_count = g.day_count,
           month_start = %(month)s, month_count = g.month_count
      FROM granted g WHERE u.provider_id = %(provider)s AND g.n > 0
), held AS (
    INSERT INTO providers_reservation (provider_id, lease_id, count)
    SELECT %(provider)s, %(lease)s, n FROM granted WHERE n > 0
    ON CONFLICT (provider_id, lease_id)
    DO UPDATE SET count = providers_reservation.count + EXCLUDED.count
)
SELECT n FROM granted
"""

_ENSURE = """
INSERT INTO providers_providerusage
    (provider_id, hour_start, hour_count, day_start, day_count, month_start, month_count,
     total_count, reserved)
SELECT id, %(hour)s, 0, %(day)s, 0, %(month)s, 0, 0, 0
  FROM providers_provider WHERE id = %(provider)s
ON CONFLICT DO NOTHING
"""

_HELD = """
WITH held AS (
    UPDATE providers_reservation SET count = count - %(settled)s
     WHERE provider_id = %(provider)s AND lease_id = %(lease)s AND count >= %(settled)s
    RETURNING 1
)"""
_USE = """
UPDATE providers_providerusage
   SET reserved = reserved - CASE WHEN EXISTS (SELECT 1 FROM held) THEN %(settled)s ELSE 0 END,
       hour_count = %(sent)s + CASE WHEN hour_start = %(hour)s THEN hour_count ELSE 0 END,
       hour_start = %(hour)s,
       day_count = %(sent)s + CASE WHEN day_start = %(day)s THEN day_count ELSE 0 END,
       day_start = %(day)s,
       month_count = %(sent)s + CASE WHEN month_start = %(month)s THEN month_count ELSE 0 END,
       month_start = %(month)s,
       total_count = total_count + %(sent)s,
       last_sent_at = CASE WHEN %(sent)s > 0 THEN %(now)s ELSE last_sent_at END
 WHERE provider_id = %(provider)s
"""
_SETTLE = _HELD + _USE
# The figures' row comes after the usage row, everywhere: two recorders cannot deadlock.
_SETTLE_AND_ADD = f"{_HELD}, account AS ({_USE} RETURNING provider_id AS id) {ADD}"

_ABANDON = """
WITH gone AS (
    DELETE FROM providers_reservation WHERE lease_id = ANY(%(leases)s) RETURNING provider_id, count
), lost AS (
    SELECT provider_id, sum(count)::int AS n FROM gone GROUP BY provider_id
)
UPDATE providers_providerusage u
   SET reserved = u.reserved - lost.n, hour_count = u.hour_count + lost.n,
       day_count = u.day_count + lost.n, month_count = u.month_count + lost.n,
       total_count = u.total_count + lost.n
  FROM lost WHERE u.provider_id = lost.provider_id
"""

_RELEASE = """
WITH gone AS (
    DELETE FROM providers_reservation WHERE lease_id = %(lease)s RETURNING provider_id, count
)
UPDATE providers_providerusage u SET reserved = u.reserved - gone.count
  FROM gone WHERE u.provider_id = gone.provider_id
"""


def reserve(
    *,
    provider_id: UUID,
    time_zone: str,
    lease_id: UUID,
    wanted: int,
    now: datetime,
    urgent: int = 0,
) -> int:
    """Reserve up to `wanted` mails for the lease; return how many were granted (0 … wanted).

    `urgent` of them are of priority 1. They are granted first, and may use what is kept for them.
    """
    parameters: Mapping[str, UUID | int | datetime | date] = {
        "provider": provider_id,
        "lease": lease_id,
        "wanted": wanted,
        "urgent": urgent,
        **_frame(now, time_zone),
    }
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, parameters)
        row = cursor.fetchone()
        if row is None:
            # First mail of this account; the row may appear beside us, hence the conflict clause.
            cursor.execute(_ENSURE, parameters)
            cursor.execute(_RESERVE, parameters)
            row = cursor.fetchone()
    return int(row[0]) if row else 0


def _frame(now: datetime, time_zone: str) -> dict[str, datetime | date]:
    frame = windows(now, time_zone)
    return {
        "hour": frame.hour_start,
        "day": frame.day_start,
        "month": frame.month_start,
        "today": frame.today,
    }


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of reserved mails at one account."""

    provider_id: UUID
    time_zone: str
    #: Reservations that are no longer needed, sent or not.
    settled: int
    #: Mails the provider has, or may have, taken.
    sent: int


class SettlementBook:
    """Adds up, per account, what became of mails until it is written."""

    def __init__(self) -> None:
        self._held: dict[UUID, Settlement] = {}

    def note(self, provider: Provider, *, sent: int) -> None:
        """Note one mail that needs its reservation no longer: `sent` is 1 if it may have gone."""
        held = self._held.get(provider.pk)
        self._held[provider.pk] = Settlement(
            provider.pk,
            provider.time_zone,
            (held.settled if held else 0) + int(provider.has_limits),
            (held.sent if held else 0) + sent,
        )

    def take(self) -> list[Settlement]:
        """Return the sums and begin anew."""
        held, self._held = self._held, {}
        return list(held.values())


def settle(
    *,
    lease_id: UUID,
    settlements: Iterable[Settlement],
    now: datetime,
    tallies: Mapping[UUID, Tally] | None = None,
) -> None:
    """Turn reservations into use, or give them back, within the caller's transaction.

    `tallies` of the same accounts, and of others, are added to their figures on the way. Accounts
    are taken in the order of their ids so that two recorders cannot deadlock.
    """
    by_id = {item.provider_id: item for item in settlements}
    tallies = tallies or {}
    for provider_id in sorted(by_id.keys() | tallies.keys()):
        item, tally = by_id.get(provider_id), tallies.get(provider_id)
        if item is not None:
            _settle_one(item, tally, lease_id, now)
        elif tally is not None:
            add(provider_id, tally, now)


def _settle_one(item: Settlement, tally: Tally | None, lease_id: UUID, now: datetime) -> None:
    parameters: dict[str, UUID | int | str | datetime | date] = {
        "provider": item.provider_id,
        "lease": lease_id,
        "settled": item.settled,
        "sent": item.sent,
        "now": now,
        **_frame(now, item.time_zone),
    }
    statement = _SETTLE
    if tally is not None:
        statement = _SETTLE_AND_ADD
        parameters |= parameters_of(tally, now)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        if cursor.rowcount == 0:
            cursor.execute(_ENSURE, parameters)
            cursor.execute(statement, parameters)


def abandon(lease_ids: Collection[UUID]) -> None:
    """Book as used what dead leases had reserved: it cannot be proved unsent."""
    with connection.cursor() as cursor:
        cursor.execute(_ABANDON, {"leases": list(lease_ids)})


def release(lease_id: UUID) -> None:
    """Give back all that a lease still holds; only for a worker that knows it sends no more."""
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE, {"lease": lease_id})


@dataclass(frozen=True, slots=True)
class QuotaLeft:
    """How many mails an account may still take now, and when it may take more.

    `remaining` is None without any limit; of these, only mail of priority 1 may use
    `kept_for_urgent`. `resets_at` is the end of the window that binds.
    """

    remaining: int | None
    resets_at: datetime | None
    kept_for_urgent: int = 0


@dataclass(frozen=True, slots=True)
class _Bound:
    """What one limit still allows: to priority 1, and to all other mail."""

    urgent: int
    others: int
    end: datetime


def left(provider: Provider, usage: ProviderUsage | None, now: datetime) -> QuotaLeft:
    """Return what is left of the account's quotas at `now`."""
    bounds = _bounds(provider, usage, windows(now, provider.time_zone))
    if not bounds:
        return QuotaLeft(None, None)
    urgent = max(0, min(bound.urgent for bound in bounds))
    others = max(0, min(bound.others for bound in bounds))
    used_up = [bound.end for bound in bounds if bound.urgent <= 0]
    closed = used_up or [bound.end for bound in bounds if bound.others <= 0]
    resets_at = max(closed) if closed else min(bound.end for bound in bounds)
    return QuotaLeft(urgent, resets_at, urgent - others)


def _bounds(provider: Provider, usage: ProviderUsage | None, frame: Windows) -> list[_Bound]:
    bounds = []
    for window in limits_at(provider, usage, frame):
        if window.limit is not None:
            kept = window.limit * provider.priority_reserve // 100
            free = window.limit - window.used
            bounds.append(_Bound(free, free - kept, window.end))
    return bounds


@dataclass(frozen=True, slots=True)
class WindowUse:
    """What of one window's limit is used; what workers have reserved counts as used."""

    used: int
    limit: int | None
    end: datetime


def limits_at(
    provider: Provider, usage: ProviderUsage | None, frame: Windows
) -> tuple[WindowUse, WindowUse, WindowUse]:
    """Return the use of hour, day (the warm-up plan included) and month."""
    counts = (0, 0, 0)
    if usage is not None:
        counts = (
            usage.reserved + usage.hour_count_at(frame.hour_start),
            usage.reserved + usage.day_count_at(frame.day_start),
            usage.reserved + usage.month_count_at(frame.month_start),
        )
    daily = (provider.daily_limit, warm_up_limit(provider.warm_up, frame.today))
    day_limit = min((limit for limit in daily if limit is not None), default=None)
    return (
        WindowUse(counts[0], provider.hourly_limit, frame.hour_end),
        WindowUse(counts[1], day_limit, frame.day_end),
        WindowUse(counts[2], provider.monthly_limit, frame.month_end),
    )


def usage_of(providers: Iterable[Provider]) -> Mapping[UUID, ProviderUsage]:
    """Return the usage rows of the given providers by provider id."""
    ids = [provider.pk for provider in providers]
    return {usage.pk: usage for usage in ProviderUsage.objects.filter(provider_id__in=ids)}
