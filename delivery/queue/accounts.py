"""The accounts as one draining process sees them: choice, quota, breakers and sender threads."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import InterfaceError, OperationalError

from delivery.queue.pacing import Horizons
from delivery.queue.senders import AccountSenders
from providers import health
from providers.adapters import adapter_for
from providers.ports import Outcome
from providers.selectors import (
    account_config,
    accounts_by_id,
    forget_snapshot,
    recent_snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from providers.models import Provider
    from providers.ports import SendResult
    from providers.routing import Snapshot

logger = logging.getLogger(__name__)

#: How long a process trusts what it read of an account (settings, credentials, caps).
ACCOUNT_SECONDS = 5.0
#: Accounts whose threads are kept track of before deserted ones are forgotten.
MAX_ACCOUNTS = 200


class Accounts:
    """Routing snapshot with the state of the breakers, and the sender threads per account.

    One per process, used by its drains one after another; threads and connections stay warm.
    """

    def __init__(self) -> None:
        self.horizons = Horizons()
        self._base: Snapshot | None = None
        self._snapshot: Snapshot | None = None
        #: Which message is the probe of an account whose breaker is half-open.
        self._probes: dict[UUID, UUID] = {}
        self._crowded: dict[UUID, datetime] = {}
        self._uncrowded: Snapshot | None = None
        self._with_crowds: Snapshot | None = None
        self._senders: dict[UUID, tuple[datetime, AccountSenders]] = {}
        self._retired: list[AccountSenders] = []
        self._known: dict[UUID, tuple[float, Provider]] = {}

    # --- choice -----------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return the accounts, at most a second old, with what this process knows better."""
        snapshot = self._known_better()
        if not self._crowded:
            return snapshot
        if self._uncrowded is not snapshot or self._with_crowds is None:
            self._uncrowded = snapshot
            self._with_crowds = snapshot.with_states(
                replace(state, paused_until=self._crowded[state.provider_id])
                for state in snapshot.providers
                if state.provider_id in self._crowded
            )
        return self._with_crowds

    def _known_better(self) -> Snapshot:
        base = recent_snapshot()
        if base is not self._base or self._snapshot is None:
            self._base = self._snapshot = base
        return self._snapshot

    def note_exhausted(self, provider_id: UUID, *, is_urgent: bool = True) -> None:
        """Choose others until the next snapshot: a reservation came back short.

        If that was not of urgent mail, urgent mail may still find what is kept for it.
        """
        snapshot = self._known_better()
        state = snapshot.by_id.get(provider_id)
        if state is not None:
            left = 0 if is_urgent else state.remaining
            known = replace(state, remaining=left, kept_for_urgent=left or 0)
            self._snapshot = snapshot.with_states([known])

    def note_crowded(self, provider_id: UUID, until: datetime) -> None:
        """Choose others for what is being assigned: no more may wait here for their turn."""
        if provider_id not in self._crowded:
            self._crowded[provider_id] = until
            self._with_crowds = None

    def forget_crowded(self) -> None:
        """Choose any again: more urgent mail may find a place."""
        self._crowded.clear()
        self._with_crowds = None

    # --- breakers ---------------------------------------------------------------------------------

    def needs_probe(self, provider_id: UUID) -> bool:
        """Tell whether only one mail may go there, and only if `take_probe` says so."""
        state = self._known_better().by_id.get(provider_id)
        return state is not None and state.breaker_until is not None

    def take_probe(self, provider_id: UUID, message_id: UUID) -> bool:
        """Ask to send this mail though the breaker is not closed."""
        is_ours = health.take_probe(provider_id)
        if is_ours:
            self._probes[provider_id] = message_id
        forget_snapshot()
        return is_ours

    def note_result(self, provider_id: UUID, message_id: UUID, result: SendResult) -> None:
        """Move the account's breaker as an attempt demands; mostly there is nothing to do."""
        is_fault = health.is_fault(result)
        if not self._is_probe(provider_id, message_id):
            if is_fault:
                _move(lambda: health.open_breaker(provider_id, result))
        elif is_fault or result.outcome is Outcome.UNKNOWN:
            _move(lambda: health.fail_probe(provider_id, result))
        else:
            _move(lambda: health.close_breaker(provider_id))

    def note_untried(self, provider_id: UUID, message_id: UUID) -> None:
        """Note that a mail did not come to be tried."""
        if self._is_probe(provider_id, message_id):
            _move(lambda: health.return_probe(provider_id))

    def _is_probe(self, provider_id: UUID, message_id: UUID) -> bool:
        is_probe = self._probes.get(provider_id) == message_id
        if is_probe:
            del self._probes[provider_id]
        return is_probe

    # --- threads ----------------------------------------------------------------------------------

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


def _move(move: Callable[[], object]) -> None:
    """Move a breaker, and have the next snapshot show it."""
    try:
        move()
    except (OperationalError, InterfaceError):
        # The mail's own fate matters more, and is recorded when the database is back.
        logger.warning("A breaker cannot be moved now", exc_info=True)
    forget_snapshot()
