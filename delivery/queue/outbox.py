"""What one drain has in hand: mails with sender threads, their notes, and what they cost in quota.

Used by the drain's one thread. Whatever is in here is in the wire journal as well, from before a
sender thread gets it, or it waits for its turn, until its fate stands in the database.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

from django.conf import settings

from delivery.queue.calls import Job
from delivery.queue.pacing import Pacer
from delivery.queue.test_mode import TEST_SENDERS
from delivery.return_paths import return_path_for
from mailservice.core.addresses import domain_of
from providers.quotas import SettlementBook

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from uuid import UUID

    from delivery.queue.accounts import Accounts
    from delivery.queue.claims import Claimed
    from delivery.queue.journal import WireJournal
    from delivery.queue.prepare import InHand
    from providers.models import Provider
    from providers.quotas import Settlement
    from providers.routing import Decision


#: The threads of an account that has a rate are given so much ahead, or two mails each.
AT_HAND_SECONDS = 0.05


class Outbox:
    """See the module's docstring. `may_send` is asked by sender threads right before the wire."""

    def __init__(
        self, *, accounts: Accounts, journal: WireJournal, may_send: Callable[[], bool]
    ) -> None:
        self._accounts = accounts
        self._journal = journal
        self._may_send = may_send
        self._in_hand: dict[UUID, InHand] = {}
        self._pacer = Pacer(most=2 * settings.DRAIN_CHUNK)
        #: Mails that had their turn and are with threads, by account.
        self._turns: dict[UUID, set[UUID]] = {}
        self._finished: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._book = SettlementBook()

    def __len__(self) -> int:
        return len(self._in_hand)

    @property
    def on_wire(self) -> int:
        """Return how many mails are with sender threads: those in hand that do not wait."""
        return len(self._in_hand) - len(self._pacer)

    @property
    def busy(self) -> int:
        """Return how many mails are on the wire or will be soon: enough keep all at work."""
        return self.on_wire + self._pacer.due_soon

    @property
    def is_resting(self) -> bool:
        """True if mail went back to the queue lately for lack of a connection.

        Bulk mail is left to the others for a moment: those with connections shall find it.
        """
        return any(senders.is_resting for senders in self._accounts.all_senders())

    @property
    def next_turn_at(self) -> float | None:
        """Return when a mail that waits may have its turn (monotonic); None if none waits."""
        return self._pacer.next_at

    def admits(self, provider: Provider, messages: Sequence[Claimed]) -> int:
        """Return how many of these the account may be given, in order of lane and priority."""
        if provider.rate_per_second is None:
            return len(messages)
        return self._pacer.admits(provider, messages)

    def submit(
        self,
        item: InHand,
        decision: Decision,
        provider: Provider | None,
        *,
        is_probe: bool = False,
    ) -> None:
        """Give a mail to the account's threads, when its turn comes, or to test mode's."""
        message = item.message
        number = message.attempt + len(item.attempts)
        # Here, for sender threads do not read the database, as the keys may have to be.
        setting = provider.return_path if provider else ""
        return_path = return_path_for(setting, message.id, item.addresses)
        self._in_hand[message.id] = item
        entry = self._journal.hold(
            message.id,
            provider_id=decision.provider_id,
            decision_id=decision.digest,
            number=number,
            recipients=len(item.addresses),
        )
        job = Job(
            message=message,
            content=item.content,
            fields=item.fields,
            recipients=item.addresses,
            decision=decision,
            number=number,
            entry=entry,
            is_live=self._may_send,
            done=self._finished.put,
            return_path=return_path,
        )
        if provider is None:
            TEST_SENDERS.submit(job)
        elif provider.rate_per_second is None or is_probe:
            self._accounts.senders(provider).submit(job)
        else:
            self._pacer.hold(job, provider)

    def give_turns(self) -> None:
        """Submit the mails whose turn has come, as far as their accounts keep up.

        A turn that a mail spends waiting for a connection would be used too late: all at once.
        """
        for job, provider in self._pacer.due(self._places):
            self._turns.setdefault(provider.pk, set()).add(job.message.id)
            self._accounts.senders(provider).submit(job)

    def _places(self, provider: Provider) -> int:
        connections = min(provider.max_connections, settings.DRAIN_THREADS)
        at_hand = int((provider.rate_per_second or 0.0) * AT_HAND_SECONDS)
        return max(2 * connections, at_hand) - len(self._turns.get(provider.pk, ()))

    def next_finished(self, seconds: float) -> tuple[InHand, Job] | None:
        """Return a mail that its thread is done with, or None after so long."""
        try:
            job = self._finished.get(timeout=max(seconds, 0))
        except queue.Empty:
            return None
        self._leave_wire(job)
        return self._in_hand.pop(job.message.id), job

    def _leave_wire(self, job: Job) -> None:
        if job.decision.provider_id in self._turns:
            self._turns[job.decision.provider_id].discard(job.message.id)

    def settle(self, job: Job, *, sent: int) -> None:
        """Note that a message needs its reservation no longer: `sent` recipients may be served."""
        if job.decision.provider_id is not None and not job.message.is_test:
            self.settle_at(job.decision.provider_id, mails=len(job.recipients), sent=sent)

    def settle_at(self, provider_id: UUID, *, mails: int, sent: int) -> None:
        """Note that so many mails' reservations at an account are needed no longer."""
        provider = self._accounts.provider(provider_id)
        if provider is not None:
            self._book.note(provider, mails=mails, sent=sent)

    def take_settlements(self) -> list[Settlement]:
        """Return what is to be settled since the last time."""
        return self._book.take()

    def forget(self, message_ids: Collection[UUID]) -> None:
        """Drop the notes on mails whose fate stands in the database."""
        self._journal.forget(message_ids)

    def take_back(self, provider_id: UUID | None = None) -> list[InHand]:
        """Return what no thread has begun, of one account or of all, without its reservations."""
        return self._taken(self._withdraw(provider_id))

    def take_back_to(self, domains: Collection[str], provider_id: UUID) -> list[InHand]:
        """Return what no thread has begun of an account's mail to these domains, likewise."""
        return self._taken(self._withdraw(provider_id, domains))

    def take_back_waiting(self, provider: Provider | None = None) -> list[InHand]:
        """Return what waits for its turn, likewise: all, or what has no place at one account."""
        jobs = self._pacer.trim(provider) if provider else self._pacer.withdraw(lambda _: True)
        for job in jobs:
            job.entry.withdraw()
        return self._taken(jobs)

    def _taken(self, jobs: Collection[Job]) -> list[InHand]:
        taken = []
        for job in jobs:
            self.settle(job, sent=0)
            if job.decision.provider_id is not None:
                self._accounts.note_untried(job.decision.provider_id, job.message.id)
            taken.append(self._in_hand.pop(job.message.id))
        return taken

    def close(self) -> None:
        """Drop the notes: nothing is in hand and all is in the database."""
        self._journal.discard()

    def abandon(self) -> None:
        """Let no thread begin any more, and leave the notes to whoever recovers them."""
        self._withdraw(None)
        self._journal.leave()

    def _withdraw(
        self, provider_id: UUID | None, domains: Collection[str] | None = None
    ) -> list[Job]:
        def is_meant(job: Job) -> bool:
            is_its = provider_id in (None, job.decision.provider_id)
            if domains is not None and not any(
                domain_of(each) in domains for each in job.recipients
            ):
                return False
            return is_its and job.message.id in self._in_hand

        holders = [*self._accounts.all_senders(), TEST_SENDERS]
        jobs = [job for senders in holders for job in senders.withdraw(is_meant)]
        for job in jobs:
            self._leave_wire(job)
        jobs += self._pacer.withdraw(is_meant)
        for job in jobs:
            job.entry.withdraw()
        return jobs
