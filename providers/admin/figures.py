"""Quotas of accounts as the console draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.models import ProviderKind
from providers.quotas import windows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from providers.models import Provider, ProviderUsage

_HIGH_PERCENT = 80
_SHORT_KINDS: Mapping[str, str] = {
    ProviderKind.SMTP.value: "SMTP",
    ProviderKind.INBOX.value: "Local inbox",
    ProviderKind.SIMULATOR.value: "Simulator",
}


def short_kind(kind: str) -> str:
    """Return the name of a kind of account where room is short."""
    return _SHORT_KINDS.get(kind, kind)


@dataclass(frozen=True, slots=True)
class Quota:
    """What is used of one limit."""

    used: int
    limit: int | None
    resets_at: datetime

    @property
    def percent(self) -> int:
        """Return the used share, 0 to 100; 0 without a limit."""
        return min(100, round(100 * self.used / self.limit)) if self.limit else 0

    @property
    def level(self) -> str:
        """Return the name of the bar's colour."""
        if self.limit is not None and self.used >= self.limit:
            return "is-full"
        return "is-high" if self.percent >= _HIGH_PERCENT else ""


def quotas_of(provider: Provider, now: datetime) -> tuple[Quota, Quota]:
    """Return the running hour's and day's use; what workers have reserved counts as used."""
    frame = windows(now, provider.time_zone)
    usage: ProviderUsage | None = getattr(provider, "usage", None)
    hour = usage.hour_count_at(frame.hour_start) + usage.reserved if usage else 0
    day = usage.day_count_at(frame.day_start) + usage.reserved if usage else 0
    return (
        Quota(hour, provider.hourly_limit, frame.hour_end),
        Quota(day, provider.daily_limit, frame.day_end),
    )
