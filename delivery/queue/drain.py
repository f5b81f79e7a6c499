"""The drain: claims messages of a lane, has them sent, and records what became of them.

One thread (the Celery task's) owns the database connection and all decisions: it claims the next
chunk while the present one is on the wire, routes, reserves quota, hands jobs to the sender threads
of the chosen accounts, and records results in batches every few tens of milliseconds.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from delivery.dispatch import wake, wake_seen
from delivery.email_types import email_types
from delivery.queue.claims import Claimed, LeaseHolder, claim, give_back
from delivery.queue.journal import WireJournal, journal_folder
from delivery.queue.outbox import Outbox
from delivery.queue.outcomes import Step, after_attempt
from delivery.queue.prepare import InHand, prepare, suppressed_among
from delivery.queue.record import Ended, Recorder, Tried
from delivery.queue.recovery import recover_dead
from delivery.queue.sweep import promote_due
from delivery.queue.warm import Warm, warm_kit
from delivery.states import EventKind, Lane, Status
from providers.ports import Outcome, Reason, SendResult
from providers.quotas import release, reserve
from providers.routing import Decision, MessageFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from delivery.models import EmailType
    from delivery.queue.accounts import Accounts
    from delivery.queue.senders import Job
    from providers.quotas import Settlement

logger = logging.getLogger(__name__)

#: Results are written after so long at the latest, or when so many have come together.
RECORD_SECONDS = 0.02
RECORD_BATCH = 100
#: A wake-up for further workers is sent at most so often by one drain.
FAN_OUT_SECONDS = 0.2
#: While mail is on the wire and the queue seemed empty, the queue is looked at so often.
RECLAIM_SECONDS = 0.05
#: An account with no quota known to reopen, or no account at all: look again after so long.
NO_ACCOUNT_WAIT = timedelta(minutes=1)


@dataclass(slots=True)
class DrainReport:
    """What one drain did."""

    claimed: int = 0
    sent: int = 0
    recorded: int = 0


class Drain:
    """One run over a lane; see the module's docstring."""

    def __init__(
        self,
        *,
        lease: LeaseHolder,
        journal: WireJournal,
        seconds: float,
        is_stopping: Callable[[], bool],
        kit: Warm,
    ) -> None:
        self._lane = lease.lane
        self._lease = lease
        self._end = time.monotonic() + seconds
        self._is_stopping = is_stopping
        self._accounts: Accounts = kit.accounts
        self._contents = kit.contents
        self._recorder = Recorder(worker=lease.worker)
        self._outbox = Outbox(accounts=kit.accounts, journal=journal, may_send=self._may_send)
        self._ended: list[Ended] = []
        self._next_claim = 0.0
        self._next_fan_out = time.monotonic() + FAN_OUT_SECONDS / 10
        self._report = DrainReport()
        self._types: dict[str, EmailType] = {}
        #: Claimed, but certain not to have been on the wire.
        self._unsent: list[UUID] = []

    def run(self) -> DrainReport:
        """Drain until the lane is empty, time is up or the process is to stop."""
        try:
            wake_seen(self._lane)
            promote_due()
            self._loop()
            self._wind_up()
        except BaseException:
            # Nobody here will record what is sent from here on, so nothing more may be.
            self._lease.abandon()
            self._outbox.abandon()
            raise
        return self._report

    # --- the loop ---------------------------------------------------------------------------------

    def _loop(self) -> None:
        low_water = settings.DRAIN_CHUNK // 2
        while True:
            may_go_on = not self._is_stopping() and time.monotonic() < self._end
            claimed = 0
            if may_go_on and len(self._outbox) <= low_water and self._is_time_to_claim():
                claimed = self._try_to_claim()
            if not claimed and not self._outbox and not self._ended:
                return
            if not may_go_on and (not self._outbox or self._is_stopping()):
                return
            self._collect()
            self._record()
            if not self._lease.renew_if_due():
                logger.warning("Lease %s was lost; its messages are others' now", self._lease.id)
                return

    def _is_time_to_claim(self) -> bool:
        return time.monotonic() >= self._next_claim

    def _try_to_claim(self) -> int:
        """Claim a chunk; without a database, go on with what is in hand."""
        try:
            return self._claim_chunk()
        except (OperationalError, InterfaceError):
            if not self._outbox and not self._ended:
                raise
            logger.exception("No claim; the mails in hand come first")
            self._next_claim = time.monotonic() + 1
            return 0

    def _claim_chunk(self) -> int:
        """Claim, transactional mail first whatever the lane, and set the chunk going."""
        self._types = email_types()
        limit = settings.DRAIN_CHUNK
        messages: list[Claimed] = []
        for lane in dict.fromkeys((Lane.TRANSACTIONAL, self._lane)):
            if len(messages) < limit:
                messages += claim(lease_id=self._lease.id, lane=lane, limit=limit - len(messages))
        if len(messages) < limit:
            # The queue is (nearly) empty; look again soon while mail is on the wire.
            self._next_claim = time.monotonic() + RECLAIM_SECONDS
        else:
            self._fan_out()
        messages.sort(key=lambda message: (message.lane, message.priority, message.id))
        self._report.claimed += len(messages)
        if messages:
            self._set_going(messages)
        return len(messages)

    def _fan_out(self) -> None:
        """Let another worker, if one is free, help: a full chunk means there is more."""
        if time.monotonic() >= self._next_fan_out:
            self._next_fan_out = time.monotonic() + FAN_OUT_SECONDS
            wake(self._lane)

    def _collect(self) -> None:
        """Wait for results, but no longer than the ones in hand may wait to be written."""
        if not self._outbox:
            return
        deadline = time.monotonic() + RECORD_SECONDS
        while self._outbox and len(self._ended) < RECORD_BATCH:
            finished = self._outbox.next_finished(deadline - time.monotonic())
            if finished is None:
                return
            self._finish(*finished)

    def _record(self) -> None:
        ended, self._ended = self._ended, []
        settlements = self._outbox.take_settlements()
        if not ended and not settlements:
            return
        self._record_patiently(ended, settlements)
        self._outbox.forget([item.message.id for item in ended])
        self._report.recorded += len(ended)
        if any(item.message.sequence_key for item in ended):
            self._next_claim = 0.0

    def _record_patiently(self, ended: Sequence[Ended], settlements: Sequence[Settlement]) -> None:
        """Record even if the database restarts meanwhile: a result lost is a mail sent twice."""
        pause = 0.1
        give_up_at = time.monotonic() + settings.LEASE_SECONDS
        while True:
            try:
                self._recorder.record(
                    lease_id=self._lease.id,
                    ended=ended,
                    settlements=settlements,
                    now=timezone.now(),
                )
            except (OperationalError, InterfaceError):
                if time.monotonic() + pause > give_up_at:
                    raise
                logger.warning("Results cannot be written yet", exc_info=True)
                connection.close()
                time.sleep(pause)
                pause = min(pause * 2, 2.0)
            else:
                return

    def _wind_up(self) -> None:
        """Finish what is on the wire, give back the rest, and let go of lease and reservations."""
        for item in self._outbox.take_back():
            self._hand_back(item)
        while self._outbox and self._lease.renew_if_due():
            self._collect()
            self._record()
        self._record()
        if give_back(lease_id=self._lease.id, ids=self._unsent):
            wake(self._lane)
        if self._outbox:
            # Still on the wire though the lease is lost.
            self._outbox.abandon()
            return
        release(self._lease.id)
        self._lease.close()
        self._outbox.close()

    def _hand_back(self, item: InHand) -> None:
        """Return a message to the queue: as if never claimed, or with the attempts it had."""
        if not item.attempts:
            self._unsent.append(item.message.id)
            return
        step = Step(Status.RETRY, "Its worker stopped before the next attempt.", timezone.now())
        self._ended.append(Ended(item.message, step, tuple(item.attempts)))

    # --- from claim to wire -----------------------------------------------------------------------

    def _set_going(self, messages: Sequence[Claimed]) -> None:
        now = timezone.now()
        contents = self._contents.load({message.content_id for message in messages})
        suppressed = suppressed_among(messages)
        ready: list[InHand] = []
        for message in messages:
            prepared = prepare(
                message,
                contents.get(message.content_id),
                types=self._types,
                suppressed=suppressed,
                now=now,
            )
            if isinstance(prepared, InHand):
                ready.append(prepared)
            else:
                self._ended.append(prepared)
        self._route(ready, now)

    def _route(self, ready: Sequence[InHand], now: datetime) -> None:
        """Choose an account for each message, reserve its quota, and submit; spill what is left."""
        waiting = list(ready)
        while waiting:
            chosen: dict[UUID, list[tuple[InHand, Decision]]] = {}
            for item in waiting:
                decision = self._decide(item)
                if decision.provider_id is None:
                    self._defer(item, decision, now)
                else:
                    chosen.setdefault(decision.provider_id, []).append((item, decision))
            waiting = []
            for provider_id, group in chosen.items():
                waiting += self._submit_group(provider_id, group, now)

    def _decide(self, item: InHand) -> Decision:
        message = item.message
        facts = MessageFacts(
            owner_id=message.owner_id,
            email_type=message.email_type,
            from_email=item.content.source.from_email,
            pinned_provider_id=message.pinned_provider_id,
            excluded=item.refused_by,
        )
        return self._accounts.snapshot().decide(facts)

    def _submit_group(
        self, provider_id: UUID, group: list[tuple[InHand, Decision]], now: datetime
    ) -> list[InHand]:
        """Submit what the account's quota allows; return the rest, to be routed again."""
        provider = self._accounts.provider(provider_id)
        if provider is None:
            self._accounts.note_exhausted(provider_id)
            return [item for item, _ in group]
        real = [entry for entry in group if not entry[0].message.is_test]
        for item, decision in group:
            if item.message.is_test:
                self._outbox.submit(item, decision, None)
        granted = len(real)
        if provider.has_limits and real:
            granted = reserve(
                provider_id=provider_id,
                time_zone=provider.time_zone,
                lease_id=self._lease.id,
                wanted=len(real),
                now=now,
            )
        for item, decision in real[:granted]:
            self._outbox.submit(item, decision, provider)
        if granted < len(real):
            self._accounts.note_exhausted(provider_id)
        return [item for item, _ in real[granted:]]

    def _may_send(self) -> bool:
        return self._lease.is_live

    def _defer(self, item: InHand, decision: Decision, now: datetime) -> None:
        """No account may take it now: wait for one, without this counting as an attempt."""
        message = item.message
        policy = self._types[message.email_type].retry_policy
        due_at = max(decision.retry_at or now + NO_ACCOUNT_WAIT, now + timedelta(seconds=1))
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
        self._ended.append(Ended(message, step, tuple(item.attempts), event))

    # --- from wire to record ----------------------------------------------------------------------

    def _finish(self, item: InHand, job: Job) -> None:
        now = timezone.now()
        if job.problem is not None:
            self._outbox.settle(job, sent=0)
            step = Step(Status.FAILED, job.problem.message)
            self._ended.append(Ended(job.message, step, tuple(item.attempts), EventKind.FAILED))
            return
        if job.result is None or job.started_at is None:
            # Our lease may have run out before it was sent: whoever claims it next sends it.
            self._outbox.settle(job, sent=0)
            self._hand_back(item)
            return
        may_have_sent = job.result.outcome in (Outcome.ACCEPTED, Outcome.UNKNOWN)
        self._outbox.settle(job, sent=int(may_have_sent))
        item.attempts.append(
            Tried(
                provider_id=job.decision.provider_id,
                decision=job.decision,
                decision_id=job.decision.digest,
                number=job.number,
                started_at=job.started_at,
                duration_ms=job.duration_ms,
                result=job.result,
            )
        )
        self._report.sent += int(job.result.outcome is Outcome.ACCEPTED)
        if job.result.is_account_fault:
            self._try_elsewhere(item, job, now)
        else:
            if job.decision.provider_id is not None:
                self._accounts.note_working(job.decision.provider_id)
            self._ended.append(
                Ended(job.message, self._after(item, job.result, now), item.attempts)
            )

    def _after(self, item: InHand, result: SendResult, now: datetime) -> Step:
        return after_attempt(
            item.message,
            result,
            policy=self._types[item.message.email_type].retry_policy,
            now=now,
            jitter=random.random(),  # noqa: S311 - spreads retries, protects nothing
        )

    def _try_elsewhere(self, item: InHand, job: Job, now: datetime) -> None:
        """Take the next account, or wait for this one: it refused us, not the mail."""
        result = job.result
        provider_id = job.decision.provider_id
        if result is None or provider_id is None:
            return
        wish = result.retry_after_seconds
        if result.reason is not Reason.CONTENT:
            # It lacks what this one mail needs (such as SMTPUTF8): the account itself is fine.
            self._accounts.pause(provider_id, timedelta(seconds=wish) if wish is not None else None)
            # The others that wait for it must not each find out by a time-out of their own.
            self._route(self._outbox.take_back(provider_id), now)
        item.refused_by |= {provider_id}
        decision = self._decide(item)
        if decision.provider_id is not None and not self._is_stopping():
            self._route([item], now)
            return
        self._ended.append(Ended(item.message, self._after(item, result, now), item.attempts))


def drain_lane(
    *,
    lane: Lane,
    worker: str,
    seconds: float,
    is_stopping: Callable[[], bool] = lambda: False,
) -> DrainReport:
    """Drain a lane for a bounded time in this process; return what was done."""
    folder = journal_folder()
    recover_dead()
    with warm_kit() as kit:
        lease = LeaseHolder(worker=worker, lane=lane)
        journal = WireJournal(folder, lease_id=lease.id, capacity=2 * settings.DRAIN_CHUNK + 16)
        drain = Drain(
            lease=lease, journal=journal, seconds=seconds, is_stopping=is_stopping, kit=kit
        )
        return drain.run()
