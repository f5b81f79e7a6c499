"""What the choice among accounts looks at."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from django.utils import timezone

from providers.models import Provider
from providers.ports import AccountConfig
from providers.quotas import left, usage_of
from providers.routing import ProviderState, Snapshot

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: How old a snapshot may be; quotas are exact all the same, since sending needs a reservation.
SNAPSHOT_SECONDS = 1.0


def take_snapshot(now: datetime) -> Snapshot:
    """Return all accounts with what is left of their quotas."""
    providers = list(
        Provider.objects.only(
            "id",
            "name",
            "owner_id",
            "is_active",
            "from_email",
            "position",
            "hourly_limit",
            "daily_limit",
            "time_zone",
        )
    )
    usage = usage_of(providers)
    states = []
    for provider in providers:
        quota = left(provider, usage.get(provider.pk), now)
        states.append(
            ProviderState(
                provider_id=provider.pk,
                name=provider.name,
                owner_id=provider.owner_id,
                is_active=provider.is_active,
                from_email=provider.from_email,
                position=provider.position,
                remaining=quota.remaining,
                resets_at=quota.resets_at,
            )
        )
    return Snapshot(now, states)


_lock = threading.Lock()
_held: tuple[float, Snapshot] | None = None


def recent_snapshot() -> Snapshot:
    """Return a snapshot at most `SNAPSHOT_SECONDS` old, shared by the threads of the process."""
    global _held  # noqa: PLW0603 - a cache of the whole process
    held = _held
    if held is not None and held[0] > time.monotonic():
        return held[1]
    snapshot = take_snapshot(timezone.now())
    with _lock:
        _held = (time.monotonic() + SNAPSHOT_SECONDS, snapshot)
    return snapshot


def forget_snapshot() -> None:
    """Make the next `recent_snapshot` look at the database."""
    global _held  # noqa: PLW0603 - a cache of the whole process
    with _lock:
        _held = None


def account_config(provider: Provider) -> AccountConfig:
    """Return what an adapter may know of an account, credentials included."""
    return AccountConfig(
        provider_id=provider.pk,
        name=provider.name,
        kind=provider.kind,
        settings=provider.settings,
        secrets=provider.secrets or {},
        max_messages_per_connection=provider.max_messages_per_connection,
    )


def accounts_by_id(ids: set[UUID]) -> dict[UUID, Provider]:
    """Return whole accounts, credentials included, by their ids."""
    return Provider.objects.in_bulk(ids)
