"""Sender threads: each keeps one warm session to one account and sends one mail after another.

Threads live as long as the process and idle ones end by themselves, so connections stay warm from
one drain task to the next. They touch no database connection but what an adapter opens itself.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from django.db import connections
from django.utils import timezone

from mailservice.core.errors import DomainError
from providers.ports import (
    Adapter,
    ConnectError,
    Outcome,
    OutgoingMail,
    PartsAdapter,
    Reason,
    Reply,
    Scope,
    SendResult,
    Session,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from delivery.compose import CompiledContent, MailFields
    from delivery.queue.claims import Claimed
    from delivery.queue.journal import Entry
    from providers.mail_parts import MailParts
    from providers.routing import Decision

logger = logging.getLogger(__name__)

#: A session without work is closed after so long; servers cut idle ones off at minutes.
IDLE_SECONDS = 20.0


@dataclass(slots=True)
class Job:
    """One mail to send, and after sending, how that went."""

    message: Claimed
    content: CompiledContent
    fields: MailFields
    recipients: tuple[str, ...]
    decision: Decision
    number: int
    #: Its place in the wire journal.
    entry: Entry
    #: Asked right before the wire: False once the lease is no longer safely ours.
    is_live: Callable[[], bool]
    #: Told about the finished job, from the sender's thread.
    done: Callable[[Job], None]
    started_at: datetime | None = None
    duration_ms: int = 0
    #: None: it was not put on the wire because the lease ran out.
    result: SendResult | None = None
    #: The mail could not be composed.
    problem: DomainError | None = None


@dataclass(order=True, slots=True)
class _Queued:
    rank: tuple[int, int, int]
    job: Job = field(compare=False)


class AccountSenders:
    """The threads and sessions of one account in this process."""

    def __init__(self, adapter: Adapter, *, max_threads: int, name: str) -> None:
        self._adapter = adapter
        self._takes_parts = isinstance(adapter, PartsAdapter)
        self._max_threads = max_threads
        self._name = name
        self._jobs: list[_Queued] = []
        self._counter = itertools.count()
        self._condition = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._is_closed = False

    def submit(self, job: Job) -> None:
        """Queue a job: transactional mail before bulk, then by priority, then in order."""
        rank = (job.message.lane, job.message.priority, next(self._counter))
        with self._condition:
            heapq.heappush(self._jobs, _Queued(rank, job))
            if self._idle >= len(self._jobs):
                self._condition.notify()
            elif self._threads < self._max_threads:
                self._threads += 1
                threading.Thread(target=self._run, name=f"send-{self._name}", daemon=True).start()
            else:
                self._condition.notify()

    def withdraw(self, is_mine: Callable[[Job], bool]) -> list[Job]:
        """Take back the jobs that no thread has begun."""
        with self._condition:
            taken = [entry.job for entry in self._jobs if is_mine(entry.job)]
            self._jobs = [entry for entry in self._jobs if not is_mine(entry.job)]
            heapq.heapify(self._jobs)
        return taken

    def close(self) -> None:
        """Let the threads end after the mails they are at."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()

    @property
    def is_deserted(self) -> bool:
        """True if it has neither threads nor jobs."""
        with self._condition:
            return self._threads == 0 and not self._jobs

    def _next_job(self) -> Job | None:
        with self._condition:
            self._idle += 1
            try:
                deadline = time.monotonic() + IDLE_SECONDS
                while not self._jobs:
                    remaining = deadline - time.monotonic()
                    if self._is_closed or remaining <= 0:
                        # Leaving is decided under the lock: submit() counts on `_threads`.
                        self._threads -= 1
                        return None
                    self._condition.wait(remaining)
                return heapq.heappop(self._jobs).job
            finally:
                self._idle -= 1

    def _run(self) -> None:
        session: Session | None = None
        try:
            while (job := self._next_job()) is not None:
                session = self._work(job, session)
                job.entry.end(job.result, job.duration_ms)
                job.done(job)
        finally:
            if session is not None:
                session.close()
            connections.close_all()

    def _work(self, job: Job, session: Session | None) -> Session | None:
        job.entry.begin()
        mail = _composed(job, takes_parts=self._takes_parts)
        if mail is None:
            return session
        job.started_at = timezone.now()
        start = time.perf_counter()
        outcome = Outcome.NOT_ACCEPTED
        try:
            if session is not None and not session.is_usable:
                session.close()
                session = None
            if session is None:
                session = self._adapter.open()
            if job.is_live():
                outcome = Outcome.UNKNOWN
                job.result = session.send(mail)
        except ConnectError as refusal:
            job.result = refusal.result
        except Exception as error:  # the port forbids it; one bad adapter must not stop the drain
            logger.exception("The adapter of %s failed", self._name)
            job.result = _broken(error, outcome)
            if session is not None:
                session.close()
                session = None
        job.duration_ms = int((time.perf_counter() - start) * 1000)
        return session


def _composed(job: Job, *, takes_parts: bool) -> OutgoingMail | None:
    """Return the job's mail, or None after noting on the job why there is none.

    What is wrong with the mail itself is final. Anything else, such as a storage that does not
    answer, may be over by the next attempt.
    """
    try:
        return _compose(job, takes_parts=takes_parts)
    except DomainError as problem:
        job.problem = problem
    except FileNotFoundError:
        job.problem = DomainError("An attachment's file is gone.")
    except Exception as error:  # whatever befalls one mail must not stop the others
        logger.exception("Message %s cannot be composed", job.message.id)
        job.started_at = timezone.now()
        job.result = SendResult(
            Outcome.NOT_ACCEPTED,
            reason=Reason.OTHER,
            reply=Reply(text=f"It cannot be composed now: {type(error).__name__}."),
        )
    return None


def _compose(job: Job, *, takes_parts: bool) -> OutgoingMail:
    fields = job.fields
    return OutgoingMail(
        message_id=job.message.id,
        return_path=job.content.source.from_email,
        recipients=job.recipients,
        data=b"" if takes_parts else job.content.compose(fields),
        needs_smtputf8=job.content.needs_smtputf8(fields)
        or not all(recipient.isascii() for recipient in job.recipients),
        parts=_parts(job) if takes_parts else None,
        hand_over=job.entry.hand_over,
    )


def _parts(job: Job) -> MailParts:
    return replace(job.content.parts(job.fields), tags=(job.message.email_type,))


def _broken(error: Exception, outcome: Outcome) -> SendResult:
    return SendResult(
        outcome,
        reason=Reason.OTHER,
        scope=Scope.PROVIDER,
        reply=Reply(text=f"Internal error: {type(error).__name__}"),
    )
