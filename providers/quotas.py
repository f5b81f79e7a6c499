"""Hourly and daily limits of provider accounts, exact under any number of workers.

A worker reserves before it sends and settles when it records. Both are one statement over the
account's single usage row, whose row lock orders them; windows roll over inside the statement, so
the figures are right even if no reset ever runs. Invariant: committed + reserved ≤ limit.

A reservation belongs to a lease. What a dead worker had reserved cannot be proved unsent, so it is
booked as used: the limit holds at the provider too, at the price of at most one chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.db import connection

from providers.models import Provider, ProviderUsage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Windows:
    """Where an account's running hour and day begin and end (aware datetimes)."""

    hour_start: datetime
    hour_end: datetime
    day_start: datetime
    day_end: datetime


def windows(now: datetime, time_zone: str) -> Windows:
    """Return the clock hour (UTC) and the local calendar day around `now`.

    A day is 23 to 25 hours long where clocks change.
    """
    hour_start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    local = now.astimezone(ZoneInfo(time_zone))
    day_start = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    tomorrow = day_start.date() + timedelta(days=1)
    day_end = day_start.replace(year=tomorrow.year, month=tomorrow.month, day=tomorrow.day)
    return Windows(
        hour_start,
        hour_start + timedelta(hours=1),
        day_start.astimezone(UTC),
        day_end.astimezone(UTC),
    )


# The limits are read from the provider row in the same statement, so a change counts at once.
# Waiting for the usage row (FOR UPDATE) re-reads it after the other worker's commit.
_RESERVE = """
WITH current AS (
    SELECT u.provider_id, p.hourly_limit, p.daily_limit, u.reserved,
           CASE WHEN u.hour_start = %(hour)s THEN u.hour_count ELSE 0 END AS hour_count,
           CASE WHEN u.day_start = %(day)s THEN u.day_count ELSE 0 END AS day_count
      FROM providers_providerusage u JOIN providers_provider p ON p.id = u.provider_id
     WHERE u.provider_id = %(provider)s FOR UPDATE OF u
), granted AS (
    SELECT GREATEST(0, LEAST(%(wanted)s,
               COALESCE(hourly_limit - hour_count - reserved, %(wanted)s),
               COALESCE(daily_limit - day_count - reserved, %(wanted)s)))::int AS n,
           hour_count, day_count
      FROM current
), usage AS (
    UPDATE providers_providerusage u
       SET reserved = u.reserved + g.n, hour_start = %(hour)s, hour_count = g.hour_count,
           day_start = %(day)s, day_count = g.day_count
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
    (provider_id, hour_start, hour_count, day_start, day_count, total_count, reserved)
SELECT id, %(hour)s, 0, %(day)s, 0, 0, 0 FROM providers_provider WHERE id = %(provider)s
ON CONFLICT DO NOTHING
"""

_SETTLE = """
WITH held AS (
    UPDATE providers_reservation SET count = count - %(settled)s
     WHERE provider_id = %(provider)s AND lease_id = %(lease)s AND count >= %(settled)s
    RETURNING 1
)
UPDATE providers_providerusage
   SET reserved = reserved - CASE WHEN EXISTS (SELECT 1 FROM held) THEN %(settled)s ELSE 0 END,
       hour_count = %(sent)s + CASE WHEN hour_start = %(hour)s THEN hour_count ELSE 0 END,
       hour_start = %(hour)s,
       day_count = %(sent)s + CASE WHEN day_start = %(day)s THEN day_count ELSE 0 END,
       day_start = %(day)s,
       total_count = total_count + %(sent)s,
       last_sent_at = CASE WHEN %(sent)s > 0 THEN %(now)s ELSE last_sent_at END
 WHERE provider_id = %(provider)s
"""

_ABANDON = """
WITH gone AS (
    DELETE FROM providers_reservation WHERE lease_id = ANY(%(leases)s) RETURNING provider_id, count
), lost AS (
    SELECT provider_id, sum(count)::int AS n FROM gone GROUP BY provider_id
)
UPDATE providers_providerusage u
   SET reserved = u.reserved - lost.n, hour_count = u.hour_count + lost.n,
       day_count = u.day_count + lost.n, total_count = u.total_count + lost.n
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
    *, provider_id: UUID, time_zone: str, lease_id: UUID, wanted: int, now: datetime
) -> int:
    """Reserve up to `wanted` mails for the lease; return how many were granted (0 … wanted)."""
    frame = windows(now, time_zone)
    parameters: Mapping[str, UUID | int | datetime] = {
        "provider": provider_id,
        "lease": lease_id,
        "wanted": wanted,
        "hour": frame.hour_start,
        "day": frame.day_start,
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


def settle(*, lease_id: UUID, settlements: Iterable[Settlement], now: datetime) -> None:
    """Turn reservations into use, or give them back, within the caller's transaction.

    Accounts are taken in the order of their ids so that two recorders cannot deadlock.
    """
    with connection.cursor() as cursor:
        for item in sorted(settlements, key=lambda item: item.provider_id):
            frame = windows(now, item.time_zone)
            parameters: Mapping[str, UUID | int | datetime] = {
                "provider": item.provider_id,
                "lease": lease_id,
                "settled": item.settled,
                "sent": item.sent,
                "hour": frame.hour_start,
                "day": frame.day_start,
                "now": now,
            }
            cursor.execute(_SETTLE, parameters)
            if cursor.rowcount == 0:
                cursor.execute(_ENSURE, parameters)
                cursor.execute(_SETTLE, parameters)


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

    `remaining` is None without any limit; `resets_at` is the end of the window that binds.
    """

    remaining: int | None
    resets_at: datetime | None


def left(provider: Provider, usage: ProviderUsage | None, now: datetime) -> QuotaLeft:
    """Return what is left of the account's quotas at `now`."""
    frame = windows(now, provider.time_zone)
    hour_count = usage.hour_count_at(frame.hour_start) if usage else 0
    day_count = usage.day_count_at(frame.day_start) if usage else 0
    reserved = usage.reserved if usage else 0
    bounds = [
        (limit - count - reserved, end)
        for limit, count, end in (
            (provider.hourly_limit, hour_count, frame.hour_end),
            (provider.daily_limit, day_count, frame.day_end),
        )
        if limit is not None
    ]
    if not bounds:
        return QuotaLeft(None, None)
    remaining = max(0, min(amount for amount, _ in bounds))
    ends = [end for amount, end in bounds if amount <= 0]
    return QuotaLeft(remaining, max(ends) if ends else min(end for _, end in bounds))


def usage_of(providers: Iterable[Provider]) -> Mapping[UUID, ProviderUsage]:
    """Return the usage rows of the given providers by provider id."""
    ids = [provider.pk for provider in providers]
    return {usage.pk: usage for usage in ProviderUsage.objects.filter(provider_id__in=ids)}
