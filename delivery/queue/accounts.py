"""The accounts as one draining process sees them: choice, quota, breakers and sender threads."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, InterfaceError, OperationalError
from django.utils import timezone

from delivery.queue.pacing import Horizons
from delivery.queue.senders import AccountSenders
from mailservice.core.secrets import DecryptionError
from providers import health
from providers.adapters import SettingsError, UnknownKindError, adapter_for
from providers.connections import ConnectionCap
from providers.ports import Outcome, Reason, Reply, Scope, SendResult
from providers.routing import NO_PACES
from providers.selectors import (
    account_config,
    accounts_by_id,
    forget_snapshot,
    recent_snapshot,
)
from providers.throttles import Watch, signals_of, slow_down

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from uuid import UUID

    from delivery.queue.calls import Job
    from providers.models import Provider
    from providers.routing import DomainPaces, ProviderState, Snapshot
    from providers.throttles import Signal

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
        #: Recipient domains at accounts that have no turns left for what is being assigned.
        self._spent: dict[UUID, dict[str, datetime]] = {}
        self._uncrowded: Snapshot | None = None
        self._with_crowds: Snapshot | None = None
        self._watch = Watch()
        self._senders: dict[UUID, tuple[datetime, AccountSenders]] = {}
        self._retired: list[AccountSenders] = []
        self._known: dict[UUID, tuple[float, Provider]] = {}

    # --- choice -----------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return the accounts, at most a second old, with what this process knows better."""
        snapshot = self._known_better()
        if not self._crowded and not self._spent:
            return snapshot
        if self._uncrowded is not snapshot or self._with_crowds is None:
            self._uncrowded = snapshot
            self._with_crowds = snapshot.with_states(
                self._crowded_state(state)
                for state in snapshot.providers
                if state.provider_id in self._crowded or state.provider_id in self._spent
            )
        return self._with_crowds

    def _crowded_state(self, state: ProviderState) -> ProviderState:
        return replace(
            state,
            paused_until=self._crowded.get(state.provider_id, state.paused_until),
            throttled={**state.throttled, **self._spent.get(state.provider_id, {})},
        )

    def paces(self, provider_id: UUID) -> DomainPaces:
        """Return how fast mail may go to recipient domains there; false if that is all one."""
        state = self._known_better().by_id.get(provider_id)
        return state.paces if state is not None else NO_PACES

    def _known_better(self) -> Snapshot:
        base = recent_snapshot()
        if base is not self._base or self._snapshot is None:
            self._base = self._snapshot = base
        return self._snapshot

    def note_exhausted(self, provider_id: UUID, *, is_urgent: bool = True, left: int = 0) -> None:
        """Choose others until the next snapshot: a reservation came back short.

        `left` mails are to be had, for messages with so few recipients. If it was not of urgent
        mail, urgent mail may still find what is kept for it.
        """
        snapshot = self._known_better()
        state = snapshot.by_id.get(provider_id)
        if state is not None:
            remaining = left if is_urgent else max(state.remaining or 0, left)
            kept = remaining if is_urgent else remaining - left
            known = replace(state, remaining=remaining, kept_for_urgent=kept)
            self._snapshot = snapshot.with_states([known])

    def note_crowded(self, provider_id: UUID, until: datetime) -> None:
        """Choose others for what is being assigned: no more may wait here for their turn."""
        if provider_id not in self._crowded:
            self._crowded[provider_id] = until
            self._with_crowds = None

    def note_spent(self, provider_id: UUID, domain: str, until: datetime) -> None:
        """Choose others for what is being assigned to this domain: it has no turns left here."""
        self._spent.setdefault(provider_id, {})[domain] = until
        self._with_crowds = None

    def forget_crowded(self) -> None:
        """Choose any again: more urgent mail may find a place."""
        self._crowded.clear()
        self._spent.clear()
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

    def signals(self, provider_id: UUID, job: Job) -> list[Signal]:
        """Return which recipient domains ask for less; mostly there are none."""
        result = job.result
        if result is None or (
            result.outcome is Outcome.ACCEPTED and not result.recipients and not self._watch
        ):
            return []
        found = signals_of(job.recipients, result)
        return self._watch.note(provider_id, job.recipients, found, time.monotonic())

    def slow_down(self, provider_id: UUID, signals: Iterable[Signal], job: Job) -> None:
        """Close domains for a while; `job` is the mail that they put off."""
        state = self._known_better().by_id.get(provider_id)
        closed = state.throttled if state is not None else {}
        for signal in signals:
            # Of many that were on the wire, each would have to be written and read again.
            if not signal.is_known(closed, timezone.now()):
                age_seconds = job.duration_ms / 1000
                _move(partial(slow_down, provider_id, signal, age_seconds=age_seconds))

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

    def is_usable(self, provider: Provider) -> bool:
        """Tell whether mail can be submitted there; what cannot be set up is told and left alone.

        One account whose credentials this process cannot read must not stop the others' mail.
        """
        try:
            self.senders(provider)
        except (DecryptionError, SettingsError, UnknownKindError) as error:
            fault = SendResult(
                Outcome.NOT_ACCEPTED, Reason.SETUP, Scope.PROVIDER, Reply(text=str(error))
            )
            _move(partial(health.note_fault, provider.pk, fault))
        except ObjectDoesNotExist:
            # Deleted since it was read.
            self._known.pop(provider.pk, None)
        else:
            return True
        # Should the breaker not open, say without the database, others must be chosen all the same.
        self.note_exhausted(provider.pk)
        return False

    def senders(self, provider: Provider) -> AccountSenders:
        """Return the account's threads; a changed account gets new ones, the old finish and end.

        Raises for an account that `is_usable` was not asked of what that answers with False.
        """
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
            cap=ConnectionCap(provider.pk, provider.max_connections),
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
    """Move a breaker or a slow-down, and have the next snapshot show it."""
    try:
        move()
    except (OperationalError, InterfaceError, IntegrityError):
        # The last if the account is being deleted at this moment.
        # The mail's own fate matters more, and is recorded when the database is back.
        logger.warning("A breaker or slow-down cannot be moved now", exc_info=True)
    forget_snapshot()
