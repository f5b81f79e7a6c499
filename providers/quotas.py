"""Hourly, daily and monthly limits of provider accounts, exact under any number of workers.

A worker reserves before it sends and settles when it records. Both are one statement over the
account's single usage row, whose row lock orders them; windows roll over inside the statement, so
the figures are right even if no reset ever runs. Invariant: committed + reserved ≤ limit.

What is counted are *mails*, as providers count and bill them: one per recipient. Only rates per
second are in messages, as servers see them.

Of each limit, `priority_reserve` percent (rounded down, so that small limits keep nothing) is kept
for mail of priority 1: other mail is granted as if the limits were lower by so much. A warm-up plan
is a second limit of the day while it lasts.

A reservation belongs to a lease. What a dead worker had reserved cannot be proved unsent, so it is
booked as used: the limit holds at the provider too, at the price of at most one chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import orjson
from django.db import connection

from providers.figures import add, parameters_of
from providers.models import Provider, ProviderUsage
from providers.ports import Outcome, SendResult
from providers.pricing import Pricing, read_tiers
from providers.quota_sql import ABANDON, ENSURE, RELEASE, RESERVE, SETTLE, SETTLE_AND_ADD
from providers.warm_up import warm_up_limit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from decimal import Decimal
    from uuid import UUID

    from providers.figures import Tally

#: Recorders may be so much apart, by their clocks or for having waited for each other.
_APART = timedelta(minutes=5)


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

    A mail is a recipient. `urgent` of them are of messages of priority 1. They are granted first,
    and may use what is kept for them.
    """
    parameters: dict[str, UUID | int | str | datetime | date] = {
        "provider": provider_id,
        "lease": lease_id,
        "wanted": wanted,
        "urgent": urgent,
        **_frame(now, time_zone),
    }
    with connection.cursor() as cursor:
        cursor.execute(RESERVE, parameters)
        row = cursor.fetchone()
        if row is None:
            # First mail of this account; the row may appear beside us, hence the conflict clause.
            cursor.execute(ENSURE, parameters)
            cursor.execute(RESERVE, parameters)
            row = cursor.fetchone()
    return int(row[0]) if row else 0


def _frame(now: datetime, time_zone: str) -> dict[str, datetime | date | str]:
    frame = windows(now, time_zone)
    return {
        "zone": time_zone,
        "hour": frame.hour_start,
        "day": frame.day_start,
        "month": frame.month_start,
        "today": frame.today,
        "now": now,
        "latest": now + _APART,
    }


def mails_of(result: SendResult, recipients: int) -> int:
    """Return how many mails of an attempt to so many recipients count as used and are billed.

    Those that the account took, or may have taken.
    """
    if result.outcome is Outcome.UNKNOWN:
        return recipients
    if result.outcome is not Outcome.ACCEPTED:
        return 0
    refused = (Outcome.NOT_ACCEPTED, Outcome.REJECTED)
    return max(0, recipients - sum(each.outcome in refused for each in result.recipients))


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

    def note(self, provider: Provider, *, mails: int, sent: int) -> None:
        """Note mails that need their reservation no longer; `sent` of them may have gone."""
        held = self._held.get(provider.pk)
        self._held[provider.pk] = Settlement(
            provider.pk,
            provider.time_zone,
            (held.settled if held else 0) + (mails if provider.has_limits else 0),
            (held.sent if held else 0) + sent,
        )

    def take(self) -> list[Settlement]:
        """Return the sums and begin anew."""
        held, self._held = self._held, {}
        return list(held.values())


@dataclass(frozen=True, slots=True)
class Place:
    """Where settled mails stand in their account's month: those after the first `before`."""

    before: int
    #: The local date on which they count, which lies in that month.
    day: date
    pricing: Pricing


def settle(
    *,
    lease_id: UUID,
    settlements: Iterable[Settlement],
    now: datetime,
    tallies: Mapping[UUID, Tally] | None = None,
) -> dict[UUID, Place]:
    """Turn reservations into use, or give them back, within the caller's transaction.

    `tallies` of the same accounts, and of others, are added to their figures on the way. Accounts
    are taken in the order of their ids so that two recorders cannot deadlock. Returns the places
    of what was sent, by account; one that is gone has none.
    """
    by_id = {item.provider_id: item for item in settlements}
    tallies = tallies or {}
    places = {}
    for provider_id in sorted(by_id.keys() | tallies.keys()):
        item, tally = by_id.get(provider_id), tallies.get(provider_id)
        if item is not None:
            place = _settle_one(item, tally, lease_id, now)
            if place is not None:
                places[provider_id] = place
        elif tally is not None:
            add(provider_id, tally, now)
    return places


def _settle_one(
    item: Settlement, tally: Tally | None, lease_id: UUID, now: datetime
) -> Place | None:
    parameters: dict[str, UUID | int | str | datetime | date] = {
        "provider": item.provider_id,
        "lease": lease_id,
        "settled": item.settled,
        "sent": item.sent,
        "now": now,
        **_frame(now, item.time_zone),
    }
    statement = SETTLE
    if tally is not None:
        statement = SETTLE_AND_ADD
        parameters |= parameters_of(tally, now)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row = cursor.fetchone()
        if row is None:
            cursor.execute(ENSURE, parameters)
            cursor.execute(statement, parameters)
            row = cursor.fetchone()
    if row is None:
        return None
    month_count, month_start, *prices = row
    # Counted in a month that began after `now`, it costs what it costs there.
    moment = max(now, month_start).astimezone(ZoneInfo(item.time_zone))
    return Place(month_count - item.sent, moment.date(), _pricing(*prices))


@lru_cache(maxsize=1_000)
def _pricing(price_per_thousand: Decimal, free_per_month: int, tiers: str) -> Pricing:
    return Pricing(price_per_thousand, free_per_month, read_tiers(orjson.loads(tiers)))


def abandon(lease_ids: Collection[UUID]) -> None:
    """Book as used what dead leases had reserved: it cannot be proved unsent.

    It takes places of the month like mail that was sent, but no cost is booked: whose mail it was,
    and whether it ever went, is not known.
    """
    with connection.cursor() as cursor:
        cursor.execute(ABANDON, {"leases": list(lease_ids)})


def release(lease_id: UUID) -> None:
    """Give back all that a lease still holds; only for a worker that knows it sends no more."""
    with connection.cursor() as cursor:
        cursor.execute(RELEASE, {"lease": lease_id})


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


def recipient_limits(provider: Provider) -> tuple[int, int] | None:
    """Return how many recipients a message may have: of priority 1, and any other.

    With more it would never get its quota, however long it waits. A warm-up plan passes, so it
    does not count. None without limits.
    """
    limits = (provider.hourly_limit, provider.daily_limit, provider.monthly_limit)
    least = min((limit for limit in limits if limit is not None), default=None)
    if least is None:
        return None
    return max(1, least), max(1, least - least * provider.priority_reserve // 100)


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
