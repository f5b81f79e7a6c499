"""Quotas of accounts as the console draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.html import format_html

from providers.adapters.esp import KINDS as ESP_KINDS
from providers.models import ProviderKind
from providers.quotas import limits_at, windows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.utils.safestring import SafeString

    from providers.models import Provider, ProviderUsage
    from providers.quotas import WindowUse

_HIGH_PERCENT = 80
_SHORT_KINDS: Mapping[str, str] = {
    ProviderKind.SMTP.value: "SMTP",
    ProviderKind.INBOX.value: "Local inbox",
    ProviderKind.SIMULATOR.value: "Simulator",
    # In full it is “Mailchimp Transactional (Mandrill)”.
    ProviderKind.MANDRILL.value: "Mandrill",
}


def short_kind(kind: str) -> str:
    """Return the name of a kind of account where room is short."""
    esp = ESP_KINDS.get(kind)
    return _SHORT_KINDS.get(kind) or (esp.label if esp else kind)


@dataclass(frozen=True, slots=True)
class Quota:
    """What is used of one limit; `used` includes what workers have reserved."""

    used: int
    limit: int | None
    resets_at: datetime
    reserved: int = 0
    #: Only mail of priority 1 may use these.
    kept: int = 0

    @property
    def sent(self) -> int:
        """Return what is used for good."""
        return self.used - self.reserved

    @property
    def percent(self) -> int:
        """Return the used share, 0 to 100; 0 without a limit."""
        return self._percent(self.used)

    @property
    def sent_percent(self) -> int:
        """Return the part of `percent` that is used for good."""
        return self._percent(self.sent)

    @property
    def reserved_percent(self) -> int:
        """Return the part of `percent` that is reserved."""
        return self.percent - self.sent_percent

    @property
    def kept_percent(self) -> int:
        """Return the share kept for priority 1 that is not used yet."""
        return min(self._percent(self.kept), 100 - self.percent)

    @property
    def level(self) -> str:
        """Return the name of the bar's colour."""
        if self.limit is not None and self.used >= self.limit:
            return "is-full"
        return "is-high" if self.percent >= _HIGH_PERCENT else ""

    def _percent(self, count: int) -> int:
        return min(100, round(100 * count / self.limit)) if self.limit else 0


def quotas_of(provider: Provider, now: datetime) -> tuple[Quota, Quota]:
    """Return the running hour's and day's use; what workers have reserved counts as used."""
    hour, day, _ = all_quotas_of(provider, now)
    return hour, day


def month_quota_of(provider: Provider, now: datetime) -> Quota:
    """Return the running month's use; what workers have reserved counts as used."""
    return all_quotas_of(provider, now)[2]


def all_quotas_of(provider: Provider, now: datetime) -> tuple[Quota, Quota, Quota]:
    """Return the use of hour, day (the warm-up plan included) and month."""
    usage: ProviderUsage | None = getattr(provider, "usage", None)
    reserved = usage.reserved if usage else 0
    hour, day, month = (
        _quota(window, reserved, provider.priority_reserve)
        for window in limits_at(provider, usage, windows(now, provider.time_zone))
    )
    return hour, day, month


def _quota(window: WindowUse, reserved: int, kept_percent: int) -> Quota:
    kept = window.limit * kept_percent // 100 if window.limit else 0
    return Quota(window.used, window.limit, window.end, reserved, kept)


def quota_bar(quota: Quota) -> SafeString:
    """Return “used of limit” with a bar."""
    if quota.limit is None:
        return format_html(
            '<span class="ms-quota"><b>{}</b> <span class="ms-muted">no limit</span></span>',
            f"{quota.used:,}",
        )
    return format_html(
        '<span class="ms-quota"><b>{}</b> <span class="ms-muted">of {}</span>'
        '<span class="ms-bar {}"><i style="width:{}%"></i></span></span>',
        f"{quota.used:,}",
        f"{quota.limit:,}",
        quota.level,
        quota.percent,
    )
