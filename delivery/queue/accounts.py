"""The accounts as one draining process sees them: choice, quota, pauses and sender threads."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from delivery.queue.senders import AccountSenders
from providers.adapters import adapter_for
from providers.routing import Snapshot
from providers.selectors import account_config, accounts_by_id, recent_snapshot

if TYPE_CHECKING:
    from uuid import UUID

    from providers.models import Provider

#: How long an account that refused a connection or a login is left alone, doubling with each
#: refusal in a row up to the maximum.
PAUSE_FIRST = timedelta(seconds=5)
PAUSE_MAXIMUM = timedelta(minutes=5)
#: How long a process trusts what it read of an account (settings, credentials, caps).
ACCOUNT_SECONDS = 5.0
#: Accounts whose threads are kept track of before deserted ones are forgotten.
MAX_ACCOUNTS = 200


class Accounts:
    """Routing snapshot with this process's pauses, and the sender threads per account.

    One per process, used by its drains one after another; threads and connections stay warm.
    """

    def __init__(self) -> None:
        self._pauses: dict[UUID, tuple[datetime, int]] = {}
        self._base: Snapshot | None = None
        self._snapshot: Snapshot | None = None
        self._senders: dict[UUID, tuple[datetime, AccountSenders]] = {}
        self._retired: list[AccountSenders] = []
        self._known: dict[UUID, tuple[float, Provider]] = {}

    def snapshot(self) -> Snapshot:
        """Return the accounts, at most a second old, with those paused here marked."""
        base = recent_snapshot()
        if base is not self._base or self._snapshot is None:
            self._base = base
            self._snapshot = self._overlay(base)
        return self._snapshot

    def _overlay(self, base: Snapshot) -> Snapshot:
        paused = {key: until for key, (until, _) in self._pauses.items() if until > base.taken_at}
        if not paused:
            return base
        states = [
            replace(state, paused_until=paused[state.provider_id])
            if state.provider_id in paused
            else state
            for state in base.providers
        ]
        return Snapshot(base.taken_at, states)

    def note_exhausted(self, provider_id: UUID) -> None:
        """Choose others until the next snapshot: a reservation came back short."""
        snapshot = self.snapshot()
        states = [
            replace(state, remaining=0) if state.provider_id == provider_id else state
            for state in snapshot.providers
        ]
        self._snapshot = Snapshot(snapshot.taken_at, states)

    def pause(self, provider_id: UUID, wish: timedelta | None) -> None:
        """Leave an account alone for a while after it refused us as a whole."""
        _, failures = self._pauses.get(provider_id, (None, 0))
        wait = min(PAUSE_MAXIMUM, PAUSE_FIRST * 2 ** min(failures, 10))
        self._pauses[provider_id] = (timezone.now() + max(wait, wish or wait), failures + 1)
        self._base = None

    def note_working(self, provider_id: UUID) -> None:
        """Forget earlier refusals: the account has just answered."""
        if self._pauses.pop(provider_id, None) is not None:
            self._base = None

    def provider(self, provider_id: UUID) -> Provider | None:
        """Return the account as read lately; None if it is gone."""
        held = self._known.get(provider_id)
        if held is not None and held[0] > time.monotonic():
            return held[1]
        provider = accounts_by_id({provider_id}).get(provider_id)
        if provider is None:
            self._known.pop(provider_id, None)
        else:
            self._known[provider_id] = (time.monotonic() + ACCOUNT_SECONDS, provider)
        return provider

    def senders(self, provider: Provider) -> AccountSenders:
        """Return the account's threads; a changed account gets new ones, the old finish and end."""
        held = self._senders.get(provider.pk)
        if held is not None and held[0] == provider.updated_at:
            return held[1]
        if held is not None:
            held[1].close()
            self._retired.append(held[1])
        self._drop_deserted()
        senders = AccountSenders(
            adapter_for(account_config(provider)),
            max_threads=min(provider.max_connections, settings.DRAIN_THREADS),
            name=provider.name,
        )
        self._senders[provider.pk] = (provider.updated_at, senders)
        return senders

    def all_senders(self) -> list[AccountSenders]:
        """Return every set of threads that may still hold jobs."""
        return [senders for _, senders in self._senders.values()] + self._retired

    def _drop_deserted(self) -> None:
        self._retired = [senders for senders in self._retired if not senders.is_deserted]
        if len(self._senders) > MAX_ACCOUNTS:
            self._senders = {
                key: held for key, held in self._senders.items() if not held[1].is_deserted
            }
