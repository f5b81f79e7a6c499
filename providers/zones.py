"""What an account has used of its day and month, when its time zone is changed.

Its counts belong to windows of the old zone, and would read as zero in those of the new one. They
are moved along, so that the limits and the free mails of the month hold across the change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Sum

from providers.models import ProviderMinute, ProviderUsage
from providers.quotas import windows

if TYPE_CHECKING:
    from datetime import date, datetime
    from uuid import UUID


def move_windows(provider_id: UUID, *, before: str, after: str, now: datetime) -> None:
    """Move day and month to the zone `after`, with what was used of them.

    Within a transaction that holds the account's row, so that no usage row appears meanwhile.
    Workers that still go by the old zone find the row in the new one and leave its windows alone.
    """
    usage = ProviderUsage.objects.select_for_update().filter(pk=provider_id).first()
    if usage is None:
        return
    old, new = windows(now, before), windows(now, after)
    usage.day_count = _count(
        usage,
        usage.day_count if usage.day_start >= old.day_start else 0,
        since=new.day_start,
        dates=(old.today, new.today),
    )
    usage.month_count = _count(
        usage,
        usage.month_count if usage.month_start >= old.month_start else 0,
        since=new.month_start,
        dates=(old.today.replace(day=1), new.today.replace(day=1)),
    )
    usage.day_start, usage.month_start = new.day_start, new.month_start
    usage.time_zone = after
    usage.save(update_fields=["day_start", "day_count", "month_start", "month_count", "time_zone"])


def _count(usage: ProviderUsage, count: int, *, since: datetime, dates: tuple[date, date]) -> int:
    """Return the count of the new zone's window, by its own count or by what was sent since then.

    Where the next day or month has begun in the new zone, the old count is of the one before.
    Else it may lack what was sent before the old zone's window began.
    """
    sums = ProviderMinute.objects.filter(provider_id=usage.pk, minute__gte=since).aggregate(
        taken=Sum("accepted_mails", default=0), maybe=Sum("unknown", default=0)
    )
    sent = int(sums["taken"] + sums["maybe"])
    was, is_now = dates
    return sent if is_now > was else max(count, sent)
