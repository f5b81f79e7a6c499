"""Quotas of accounts as the console draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.models import ProviderKind
from providers.quotas import limits_at, windows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from providers.models import Provider, ProviderUsage
    from providers.quotas import WindowUse

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
    hour, day, _ = _windows_of(provider, now)
    return hour, day


def month_quota_of(provider: Provider, now: datetime) -> Quota:
    """Return the running month's use; what workers have reserved counts as used."""
    return _windows_of(provider, now)[2]


def _windows_of(provider: Provider, now: datetime) -> tuple[Quota, Quota, Quota]:
    usage: ProviderUsage | None = getattr(provider, "usage", None)
    hour, day, month = limits_at(provider, usage, windows(now, provider.time_zone))
    return _quota(hour), _quota(day), _quota(month)


def _quota(window: WindowUse) -> Quota:
    return Quota(window.used, window.limit, window.end)
