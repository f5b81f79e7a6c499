"""The drain: claims messages of a lane, has them sent, and records what became of them.

One thread (the Celery task's) owns the database connection and all decisions: it claims the next
chunk while the present one is on the wire, routes, reserves quota, hands jobs to the sender threads
of the chosen accounts, and records results in batches every few tens of milliseconds.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from delivery.dispatch import wake, wake_seen
from delivery.email_types import email_types
from delivery.queue.assign import Assigner
from delivery.queue.claims import Claimed, LeaseHolder, claim, give_back, has_claimable
from delivery.queue.journal import WireJournal, journal_folder
from delivery.queue.outbox import Outbox
from delivery.queue.outcomes import Step, after_attempt, line_of
from delivery.queue.prepare import InHand, prepare, suppressed_among
from delivery.queue.record import Ended, LeaseLostError, Recorder, Tried
from delivery.queue.recovery import recover_dead
from delivery.queue.sweep import promote_due
from delivery.queue.warm import Warm, warm_kit
from delivery.states import EventKind, Lane, Status
from delivery.tracking import tracked_among
from providers.health import is_fault
from providers.ports import Outcome, SendResult
from providers.quotas import mails_of, release

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from delivery.models import EmailType
    from delivery.queue.accounts import Accounts
    from delivery.queue.calls import Job
    from delivery.retries import RetryPolicy
    from providers.quotas import Settlement

logger = logging.getLogger(__name__)

#: Results are written after so long at the latest, or when so many have come together.
RECORD_SECONDS = 0.02
RECORD_BATCH = 100
#: A wake-up for further workers is sent at most so often by one drain.
FAN_OUT_SECONDS = 0.2
#: While mail is on the wire and the queue seemed empty, the queue is looked at so often.
RECLAIM_SECONDS = 0.05
#: Likewise while mail in hand does nothing but wait for its turn.
RECLAIM_WAITING_SECONDS = 0.2


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
        self._assigner = Assigner(accounts=kit.accounts, outbox=self._outbox, lease_id=lease.id)
        self._ended: list[Ended] = []
        self._next_claim = 0.0
        self._next_fan_out = time.monotonic() + FAN_OUT_SECONDS / 10
        self._report = DrainReport()
        self._types: dict[str, EmailType] = {}

    def run(self) -> DrainReport:
        """Drain until the lane is empty, time is up or the process is to stop."""
        try:
            self._loop()
            self._wind_up()
        except LeaseLostError:
            logger.warning("Lease %s was lost; its messages are others' now", self._lease.id)
            self._abandon()
        except BaseException:
            self._abandon()
            raise
        return self._report

    def _abandon(self) -> None:
        # Nobody here will record what is sent from here on, so nothing more may be.
        self._lease.abandon()
        self._outbox.abandon()

    # --- the loop ---------------------------------------------------------------------------------

    def _loop(self) -> None:
        low_water = settings.DRAIN_CHUNK // 2
        while True:
            may_go_on = not self._is_stopping() and time.monotonic() < self._end
            claimed = 0
            if may_go_on and self._outbox.busy <= low_water and self._is_time_to_claim():
                claimed = self._try_to_claim()
            if not may_go_on:
                # What waits for its turn may wait in the queue as well.
                for item in self._outbox.take_back_waiting():
                    self._hand_back(item)
            if self._is_done(claimed=claimed, may_go_on=may_go_on):
                return
            self._outbox.give_turns()
            self._collect()
            self._record()
            if not self._lease.renew_if_due():
                raise LeaseLostError

    def _is_done(self, *, claimed: int, may_go_on: bool) -> bool:
        if not may_go_on:
            return not self._outbox or self._is_stopping()
        if claimed or self._outbox or self._ended:
            return False
        # What was put off for its turn is due again before anybody else would look.
        return not self._assigner.expects_mail(self._lease.now())

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
            connection.close()
            self._next_claim = time.monotonic() + 1
            return 0

    def _claim_chunk(self) -> int:
        """Claim, transactional mail first whatever the lane, and set the chunk going."""
        promote_due()
        self._types = email_types()
        limit = settings.DRAIN_CHUNK
        messages: list[Claimed] = []
        mine = Lane.TRANSACTIONAL if self._outbox.is_resting else self._lane
        for lane in dict.fromkeys((Lane.TRANSACTIONAL, mine)):
            if len(messages) < limit:
                messages += claim(lease_id=self._lease.id, lane=lane, limit=limit - len(messages))
        if len(messages) < limit:
            # The queue is (nearly) empty; look again soon while mail is on the wire.
            pause = RECLAIM_SECONDS if self._outbox.on_wire else RECLAIM_WAITING_SECONDS
            self._next_claim = time.monotonic() + pause
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
            if not self._ended:
                time.sleep(RECORD_SECONDS)
            return
        now = time.monotonic()
        deadline = now + RECORD_SECONDS
        turn_at = self._outbox.next_turn_at
        if turn_at is not None and turn_at > now:
            deadline = min(deadline, turn_at)
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
        is_repeat = False
        while True:
            try:
                self._recorder.record(
                    lease_id=self._lease.id,
                    ended=ended,
                    settlements=settlements,
                    now=self._lease.now(),
                    is_repeat=is_repeat,
                )
            except (OperationalError, InterfaceError):
                if time.monotonic() + pause > give_up_at:
                    raise
                logger.warning("Results cannot be written yet", exc_info=True)
                connection.close()
                time.sleep(pause)
                pause = min(pause * 2, 2.0)
                is_repeat = True
            else:
                return

    def _wind_up(self) -> None:
        """Finish what is on the wire, give back the rest, and let go of lease and reservations."""
        for item in self._outbox.take_back():
            self._hand_back(item)
        while self._outbox:
            if not self._lease.renew_if_due():
                raise LeaseLostError
            self._collect()
            self._record()
        self._record()
        if give_back(lease_id=self._lease.id):
            wake(self._lane)
        release(self._lease.id)
        self._lease.close()
        self._outbox.close()

    def _hand_back(self, item: InHand) -> None:
        """Return a message to the queue: as if never claimed, or with the attempts it had."""
        if not item.attempts:
            # It is still claimed, and given back with whatever else is when the lease closes.
            self._outbox.forget([item.message.id])
            return
        step = Step(Status.RETRY, "Its worker stopped before the next attempt.", self._lease.now())
        self._ended.append(Ended(item.message, step, tuple(item.attempts)))

    # --- from claim to wire -----------------------------------------------------------------------

    def _set_going(self, messages: Sequence[Claimed]) -> None:
        now = self._lease.now()
        contents = self._contents.load({message.content_id for message in messages})
        suppressed = suppressed_among(messages)
        tracked = tracked_among(messages, contents, self._types)
        ready: list[InHand] = []
        for message in messages:
            prepared = prepare(
                message,
                contents.get(message.content_id),
                types=self._types,
                suppressed=suppressed,
                tracked=tracked,
                now=now,
            )
            if isinstance(prepared, InHand):
                ready.append(prepared)
            else:
                self._ended.append(prepared)
        self._assign(ready, now)

    def _assign(self, items: Sequence[InHand], now: datetime) -> None:
        self._ended += self._assigner.assign(items, types=self._types, now=now)

    def _may_send(self) -> bool:
        return self._lease.is_live

    # --- from wire to record ----------------------------------------------------------------------

    def _finish(self, item: InHand, job: Job) -> None:
        now = self._lease.now()
        if job.result is None or job.started_at is None:
            self._finish_untried(item, job)
            return
        mails = mails_of(job.result, len(job.recipients))
        self._outbox.settle(job, sent=mails)
        item.attempts.append(
            Tried(
                provider_id=job.decision.provider_id,
                decision=job.decision,
                decision_id=job.decision.digest,
                number=job.number,
                started_at=job.started_at,
                duration_ms=job.duration_ms,
                result=job.result,
                mails=mails,
            )
        )
        self._report.sent += int(job.result.outcome is Outcome.ACCEPTED)
        provider_id = job.decision.provider_id
        if provider_id is not None and not item.message.is_test:
            self._accounts.note_result(provider_id, item.message.id, job.result)
            self._heed(provider_id, job, now)
        if job.result.is_account_fault and provider_id is not None:
            self._try_elsewhere(item, provider_id, job.result, now)
            return
        self._ended.append(
            Ended(job.message, self._after(item, provider_id, job.result, now), item.attempts)
        )

    def _heed(self, provider_id: UUID, job: Job, now: datetime) -> None:
        """Slow recipient domains down that ask for it; mostly there are none."""
        if signals := self._accounts.signals(provider_id, job):
            # What is not on the wire yet must not be put off by that domain one by one.
            waiting = self._outbox.take_back_to({each.domain for each in signals}, provider_id)
            self._accounts.slow_down(provider_id, signals, job)
            self._assign(waiting, now)

    def _finish_untried(self, item: InHand, job: Job) -> None:
        self._outbox.settle(job, sent=0)
        if job.decision.provider_id is not None:
            self._accounts.note_untried(job.decision.provider_id, item.message.id)
        if job.problem is None:
            # Our lease may have run out before it was sent: whoever claims it next sends it.
            self._hand_back(item)
            return
        step = Step(Status.FAILED, job.problem.message)
        self._ended.append(Ended(job.message, step, tuple(item.attempts), EventKind.FAILED))

    def _policy(self, item: InHand, provider_id: UUID | None) -> RetryPolicy:
        policy = self._types[item.message.email_type].retry_policy
        provider = self._accounts.provider(provider_id) if provider_id else None
        if provider is None:
            return policy
        return policy.at(provider.retry_first_seconds, provider.retry_max_seconds)

    def _after(
        self, item: InHand, provider_id: UUID | None, result: SendResult, now: datetime
    ) -> Step:
        message, number = item.message, item.attempts[-1].number
        if number != message.attempt:
            # Each account that was tried under this claim was an attempt.
            message = replace(message, attempt=number)
        return after_attempt(
            message,
            result,
            policy=self._policy(item, provider_id),
            now=now,
            jitter=random.random(),  # noqa: S311 - spreads retries, protects nothing
        )

    def _try_elsewhere(
        self, item: InHand, provider_id: UUID, result: SendResult, now: datetime
    ) -> None:
        """Take the next account, or wait for this one: it refused us, not the mail."""
        if is_fault(result):
            # The others that wait for it must not each find out by a time-out of their own.
            self._assign(self._outbox.take_back(provider_id), now)
        item.refused_by |= {provider_id}
        if self._assigner.decide(item).provider_id is not None and not self._is_stopping():
            self._assign([item], now)
            return
        step = (
            self._assigner.wait_for_account(item, line_of(result), now)
            if result.spares_the_mail
            else self._after(item, provider_id, result, now)
        )
        self._ended.append(Ended(item.message, step, item.attempts))


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
    wake_seen(lane)
    promote_due()
    if not (has_claimable(Lane.TRANSACTIONAL) or has_claimable(lane)):
        return DrainReport()
    with warm_kit() as kit:
        lease = LeaseHolder(worker=worker, lane=lane)
        journal = WireJournal(folder, lease_id=lease.id, capacity=4 * settings.DRAIN_CHUNK + 16)
        drain = Drain(
            lease=lease, journal=journal, seconds=seconds, is_stopping=is_stopping, kit=kit
        )
        return drain.run()
