"""From mails that are ready to the threads of the accounts that shall send them.

For each mail an account is chosen; its quota is reserved, its breaker and its rate are heeded, and
how fast it may send to recipient domains. What one account cannot take now is chosen for again, and
what none can take is put off.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from delivery.queue.outcomes import Step
from delivery.queue.pacing import LONGEST, LOOK, pace_of, rank_of
from delivery.queue.prepare import facts_of
from delivery.queue.record import Ended
from delivery.queue.turns import slowdown_waited_for, take_turns
from delivery.states import EventKind, Status
from providers.quotas import reserve
from providers.routing.facts import URGENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from delivery.models import EmailType
    from delivery.queue.accounts import Accounts
    from delivery.queue.outbox import Outbox
    from delivery.queue.prepare import InHand
    from providers.models import Provider
    from providers.routing import Decision, Pace

#: An account with no quota known to reopen, or no account at all: look again after so long.
NO_ACCOUNT_WAIT = timedelta(minutes=1)
_LEAST_WAIT = timedelta(seconds=1)

_Entry = tuple["InHand", "Decision"]


class Assigner:
    """See the module's docstring; one drain's, used by its one thread."""

    def __init__(self, *, accounts: Accounts, outbox: Outbox, lease_id: UUID) -> None:
        self._accounts = accounts
        self._outbox = outbox
        self._lease_id = lease_id
        #: Where a mail being assigned found no place to wait for its turn, or no turn.
        self._crowded_at: dict[UUID, Pace] = {}
        #: Until then, mail comes back that quick accounts had no place for.
        self._expected = datetime.min.replace(tzinfo=UTC)

    def assign(
        self, items: Sequence[InHand], *, types: Mapping[str, EmailType], now: datetime
    ) -> list[Ended]:
        """Submit each mail to an account; return those that no account may take now, put off."""
        waiting = list(items)
        ended = []
        try:
            while waiting:
                chosen: dict[UUID, list[_Entry]] = {}
                for item in waiting:
                    decision = self.decide(item)
                    if decision.provider_id is None:
                        ended.append(self._put_off(item, decision, types, now))
                    else:
                        chosen.setdefault(decision.provider_id, []).append((item, decision))
                waiting = []
                for provider_id, group in chosen.items():
                    waiting += self._submit_group(provider_id, group, now)
        finally:
            self._crowded_at.clear()
            self._accounts.forget_crowded()
        return ended

    def expects_mail(self, now: datetime) -> bool:
        """Tell whether mail that was put off for its turn is due within a second or so."""
        return now < self._expected

    def decide(self, item: InHand) -> Decision:
        """Choose an account for a mail, and explain."""
        snapshot = self._accounts.snapshot()
        return snapshot.decide(facts_of(item, snapshot.asks))

    def wait_for_account(self, item: InHand, error: str, now: datetime) -> Step:
        """Return the step of a mail that every account refused which might take it.

        They refused us, not the mail: it waits for one to open, which is no attempt.
        """
        elsewhere = self.decide(item).provider_id
        item.refused_by = frozenset()
        decision = self.decide(item)
        due_at = now + NO_ACCOUNT_WAIT
        if elsewhere is not None:
            # Only the end of this drain keeps it from another account.
            due_at = now
        elif decision.provider_id is None and decision.retry_at is not None:
            due_at = max(decision.retry_at, now + _LEAST_WAIT)
        if item.message.expires_at is not None:
            due_at = min(due_at, item.message.expires_at)
        return Step(Status.RETRY, error, due_at=due_at)

    def _submit_group(
        self, provider_id: UUID, group: Sequence[_Entry], now: datetime
    ) -> list[InHand]:
        """Submit what the account may take; return the rest, to be chosen for again."""
        provider = self._accounts.provider(provider_id)
        if provider is None:
            self._accounts.note_exhausted(provider_id)
            return [item for item, _ in group]
        for item, decision in group:
            if item.message.is_test:
                self._outbox.submit(item, decision, None)
        real = [entry for entry in group if not entry[0].message.is_test]
        if not real:
            return []
        if not self._accounts.is_usable(provider):
            return [item for item, _ in real]
        if self._accounts.needs_probe(provider_id):
            return self._submit_probe(provider, real, now)
        going, refused = self._with_turns(provider, real, now)
        return self._submit_in_turn(provider, going, now) + refused

    def _with_turns(
        self, provider: Provider, entries: list[_Entry], now: datetime
    ) -> tuple[list[_Entry], list[InHand]]:
        """Return what recipient domains have turns for, and the rest, to be chosen for again."""
        paces = self._accounts.paces(provider.pk)
        if not paces:
            return entries, []
        entries.sort(key=lambda entry: rank_of(entry[0].message))
        going, refused = take_turns(paces, entries, lambda entry: entry[0])
        for (item, _), why in refused:
            # Later than anything, so that `_due_at` sees what else may be open before.
            self._accounts.note_spent(provider.pk, why.domain, now + 2 * LONGEST)
            self._crowded_at[item.message.id] = why.pace
        return going, [item for (item, _), _ in refused]

    def _submit_in_turn(
        self, provider: Provider, entries: list[_Entry], now: datetime
    ) -> list[InHand]:
        """Submit what the account's rate and quota allow."""
        entries.sort(key=lambda entry: rank_of(entry[0].message))
        admitted = self._outbox.admits(provider, [item.message for item, _ in entries])
        granted = self._reserved(provider, entries[:admitted], now)
        for item, decision in granted:
            self._outbox.submit(item, decision, provider)
        crowded = [item for item, _ in entries[admitted:]]
        if granted and provider.rate_per_second is not None:
            crowded += self._outbox.take_back_waiting(provider)
        if crowded:
            # Later than anything, so that `_due_at` sees what else may be open before.
            self._accounts.note_crowded(provider.pk, now + 2 * LONGEST)
            pace = pace_of(provider)
            self._crowded_at.update({item.message.id: pace for item in crowded})
        taken = {item.message.id for item, _ in granted}
        return crowded + [item for item, _ in entries[:admitted] if item.message.id not in taken]

    def _submit_probe(
        self, provider: Provider, entries: Sequence[_Entry], now: datetime
    ) -> list[InHand]:
        """Submit one mail to see whether the account works again, if no other worker does."""
        (first, decision), *others = entries
        rest = [item for item, _ in others]
        if not self._reserved(provider, [(first, decision)], now):
            return [first, *rest]
        if not self._accounts.take_probe(provider.pk, first.message.id):
            self._outbox.settle_at(provider.pk, mails=len(first.addresses), sent=0)
            return [first, *rest]
        self._outbox.submit(first, decision, provider, is_probe=True)
        return rest

    def _reserved(self, provider: Provider, entries: list[_Entry], now: datetime) -> list[_Entry]:
        """Return those for which the account's quota could be reserved: urgent mail first.

        A quota is of recipients, and a message goes to all of its own or waits. One that does not
        fit makes room for a smaller one behind it; what nobody fits in is given back.
        """
        if not provider.has_limits or not entries:
            return entries
        wanted = _recipients_of(entries)
        urgent = _recipients_of(entry for entry in entries if _is_urgent(entry))
        granted = reserve(
            provider_id=provider.pk,
            time_zone=provider.time_zone,
            lease_id=self._lease_id,
            wanted=wanted,
            urgent=urgent,
            now=now,
        )
        if granted == wanted:
            return entries
        is_urgent = granted < urgent
        # What was granted instead of all that is urgent may be of the slice that is kept for it.
        allowed = [entry for entry in entries if _is_urgent(entry) or not is_urgent]
        taken = _fitting(allowed, granted)
        left = granted - _recipients_of(taken)
        if left:
            self._outbox.settle_at(provider.pk, mails=left, sent=0)
        self._accounts.note_exhausted(provider.pk, is_urgent=is_urgent, left=left)
        return taken

    def _put_off(
        self,
        item: InHand,
        decision: Decision,
        types: Mapping[str, EmailType],
        now: datetime,
    ) -> Ended:
        """No account may take it now: wait for one, without this counting as an attempt."""
        message = item.message
        policy = types[message.email_type].retry_policy
        due_at = max(self._due_at(item, decision, now), now + _LEAST_WAIT)
        error = f"Waiting: {decision.reason}."
        step = Step(Status.RETRY, error, due_at=due_at)
        if message.expires_at is not None and due_at >= message.expires_at:
            # It waits on, for an account may open before; the sweep expires it in time.
            step = Step(Status.RETRY, error, due_at=message.expires_at)
        elif decision.is_hopeless and due_at > message.created_at + policy.give_up_after:
            step = Step(Status.FAILED, f"Given up: {decision.reason}.")
        # Looking again every minute must not write an event every minute.
        event = None if step.error == message.error else EventKind.DEFERRED
        if step.status is Status.FAILED:
            event = EventKind.FAILED
        told = decision if event else None
        return Ended(message, step, tuple(item.attempts), event, told)

    def _due_at(self, item: InHand, decision: Decision, now: datetime) -> datetime:
        """Return when an account may be open: where it is crowded, when its turn may come."""
        crowded = self._crowded_at.get(item.message.id)
        known = decision.retry_at
        lane, horizons = item.message.lane, self._accounts.horizons
        if crowded is None:
            slow = slowdown_waited_for(item, decision, self._accounts.snapshot().by_id)
            # Not all at the moment it reopens: it takes little then.
            return horizons.put_off(slow, lane, now) if slow else known or now + NO_ACCOUNT_WAIT
        if known is not None and known < horizons.tip(crowded, lane, now):
            return known
        due_at = horizons.put_off(crowded, lane, now)
        if crowded.rate >= 1:
            self._expected = max(self._expected, due_at + LOOK)
        return due_at


def _is_urgent(entry: _Entry) -> bool:
    return entry[0].message.priority == URGENT


def _recipients_of(entries: Iterable[_Entry]) -> int:
    return sum(len(item.addresses) for item, _ in entries)


def _fitting(entries: Iterable[_Entry], room: int) -> list[_Entry]:
    """Return what has room for all of its recipients: urgent mail first, then in order."""
    taken = []
    for entry in sorted(entries, key=_is_urgent, reverse=True):
        count = len(entry[0].addresses)
        if count <= room:
            taken.append(entry)
            room -= count
    return taken
