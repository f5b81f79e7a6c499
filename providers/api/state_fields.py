"""How the state of an account shows in the API: its breaker and its quotas."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from providers.models import BreakerState
from providers.quotas import left, limits_at, windows
from providers.warm_up import warm_up_limit

if TYPE_CHECKING:
    from datetime import datetime

    from providers.models import Provider, ProviderHealth, ProviderUsage
    from providers.quotas import WindowUse


def present_state(provider: Provider, now: datetime) -> dict[str, Any]:
    """Return how an account does at `now`; its usage and health are loaded."""
    usage = _usage_of(provider)
    return {
        "breaker": present_breaker(getattr(provider, "health", None)),
        "quotas": present_windows(provider, now),
        "last_sent_at": usage.last_sent_at if usage else None,
    }


def present_breaker(health: ProviderHealth | None) -> dict[str, Any]:
    """Return whether mail passes; an account that never failed has no row."""
    if health is None or health.state == BreakerState.CLOSED:
        since = health.since if health else None
        state = BreakerState.CLOSED.value
        return {"state": state, "reason": None, "since": since, "retry_at": None}
    return {
        "state": health.state,
        "reason": health.reason or None,
        "since": health.since,
        "retry_at": health.retry_at,
    }


def present_windows(provider: Provider, now: datetime) -> dict[str, Any]:
    """Return the running hour, day and month."""
    usage = _usage_of(provider)
    reserved = usage.reserved if usage else 0
    found = limits_at(provider, usage, windows(now, provider.time_zone))
    return {
        name: _present_window(window, reserved, provider.priority_reserve)
        for name, window in zip(("hour", "day", "month"), found, strict=True)
    }


def _present_window(window: WindowUse, reserved: int, reserve_percent: int) -> dict[str, Any]:
    shown = {"used": window.used - reserved, "reserved": reserved, "limit": window.limit}
    if window.limit is None:
        return shown | {"remaining": None, "kept_for_urgent": 0, "resets_at": window.end}
    remaining = max(0, window.limit - window.used)
    kept = min(remaining, window.limit * reserve_percent // 100)
    return shown | {"remaining": remaining, "kept_for_urgent": kept, "resets_at": window.end}


def present_quota(provider: Provider, now: datetime) -> dict[str, Any]:
    """Return all that bounds what an account sends."""
    quota = left(provider, _usage_of(provider), now)
    return {
        "provider_id": provider.pk,
        "name": provider.name,
        "kind": provider.kind,
        "is_active": provider.is_active,
        "shared": provider.owner_id is None,
        "time_zone": provider.time_zone,
        "remaining": quota.remaining,
        "kept_for_urgent": quota.kept_for_urgent,
        "resets_at": quota.resets_at,
        "windows": present_windows(provider, now),
        "priority_reserve": provider.priority_reserve,
        "rate_per_second": provider.rate_per_second,
        "warm_up": _present_warm_up(provider, now),
    }


def _present_warm_up(provider: Provider, now: datetime) -> dict[str, Any] | None:
    """Return the plan's place today; `limit` is None before its first day and after its last."""
    plan = provider.warm_up
    if plan is None:
        return None
    starts_on = date.fromisoformat(plan["starts_on"])
    today = windows(now, provider.time_zone).today
    limit = warm_up_limit(plan, today)
    return {
        "starts_on": starts_on,
        "ends_on": starts_on + min(timedelta(days=len(plan["daily"]) - 1), date.max - starts_on),
        "today": today,
        "day": (today - starts_on).days + 1 if limit is not None else None,
        "limit": limit,
    }


def _usage_of(provider: Provider) -> ProviderUsage | None:
    return getattr(provider, "usage", None)
