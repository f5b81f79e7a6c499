"""What one drain has in hand: mails with sender threads, their notes, and what they cost in quota.

Used by the drain's one thread. Whatever is in here is in the wire journal as well, from before a
sender thread gets it until its fate stands in the database.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

from delivery.queue.senders import Job
from delivery.queue.test_mode import TEST_SENDERS
from providers.quotas import SettlementBook

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from uuid import UUID

    from delivery.queue.accounts import Accounts
    from delivery.queue.journal import WireJournal
    from delivery.queue.prepare import InHand
    from providers.models import Provider
    from providers.quotas import Settlement
    from providers.routing import Decision


class Outbox:
    """See the module's docstring. `may_send` is asked by sender threads right before the wire."""

    def __init__(
        self, *, accounts: Accounts, journal: WireJournal, may_send: Callable[[], bool]
    ) -> None:
        self._accounts = accounts
        self._journal = journal
        self._may_send = may_send
        self._in_hand: dict[UUID, InHand] = {}
        self._finished: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._book = SettlementBook()

    def __len__(self) -> int:
        return len(self._in_hand)

    def submit(self, item: InHand, decision: Decision, provider: Provider | None) -> None:
        """Give a mail to the account's threads, or to test mode's."""
        message = item.message
        number = message.attempt + len(item.attempts)
        senders = TEST_SENDERS if provider is None else self._accounts.senders(provider)
        self._in_hand[message.id] = item
        entry = self._journal.hold(
            message.id,
            provider_id=decision.provider_id,
            decision_id=decision.digest,
            number=number,
        )
        senders.submit(
            Job(
                message=message,
                content=item.content,
                fields=item.fields,
                recipients=item.addresses,
                decision=decision,
                number=number,
                entry=entry,
                is_live=self._may_send,
                done=self._finished.put,
            )
        )

    def next_finished(self, seconds: float) -> tuple[InHand, Job] | None:
        """Return a mail that its thread is done with, or None after so long."""
        try:
            job = self._finished.get(timeout=max(seconds, 0))
        except queue.Empty:
            return None
        return self._in_hand.pop(job.message.id), job

    def settle(self, job: Job, *, sent: int) -> None:
        """Note that a mail needs its reservation no longer: `sent` is 1 if it may have gone."""
        provider_id = job.decision.provider_id
        if provider_id is None or job.message.is_test:
            return
        provider = self._accounts.provider(provider_id)
        if provider is not None:
            self._book.note(provider, sent=sent)

    def take_settlements(self) -> list[Settlement]:
        """Return what is to be settled since the last time."""
        return self._book.take()

    def forget(self, message_ids: Collection[UUID]) -> None:
        """Drop the notes on mails whose fate stands in the database."""
        self._journal.forget(message_ids)

    def take_back(self, provider_id: UUID | None = None) -> list[InHand]:
        """Return what no thread has begun, of one account or of all, without its reservations."""
        taken = []
        for job in self._withdraw(provider_id):
            self.settle(job, sent=0)
            taken.append(self._in_hand.pop(job.message.id))
        return taken

    def close(self) -> None:
        """Drop the notes: nothing is in hand and all is in the database."""
        self._journal.discard()

    def abandon(self) -> None:
        """Let no thread begin any more, and leave the notes to whoever recovers them."""
        self._withdraw(None)
        self._journal.leave()

    def _withdraw(self, provider_id: UUID | None) -> list[Job]:
        def is_meant(job: Job) -> bool:
            is_its = provider_id in (None, job.decision.provider_id)
            return is_its and job.message.id in self._in_hand

        holders = [*self._accounts.all_senders(), TEST_SENDERS]
        jobs = [job for senders in holders for job in senders.withdraw(is_meant)]
        for job in jobs:
            job.entry.withdraw()
        return jobs
