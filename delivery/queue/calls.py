"""A sender thread's session with one account, and how mails go through it.

Mails go one by one, or, where the provider takes several with one call, those of the bulk lane
together. Whatever befalls one of them is written on its job.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.utils import timezone

from delivery.states import Lane
from mailservice.core.errors import DomainError
from providers.ports import (
    Adapter,
    BatchSession,
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
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from delivery.compose import CompiledContent, MailFields
    from delivery.queue.claims import Claimed
    from delivery.queue.journal import Entry
    from providers.mail_parts import MailParts
    from providers.routing import Decision

logger = logging.getLogger(__name__)

#: No more than about so much goes with one call, and no more mails: if it is cut off, they are all
#: in doubt at once, and more would save hardly anything.
MAX_CALL_BYTES = 8_000_000
MAX_CALL_MAILS = 100
#: Said of a message whose worker died before it handed the message over.
WORKER_DIED = "Its worker died before it was sent."


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
    #: RFC 5321 MAIL FROM; empty for the From address.
    return_path: str = ""
    started_at: datetime | None = None
    duration_ms: int = 0
    #: None: it was not put on the wire because the lease ran out, or for lack of a connection.
    result: SendResult | None = None
    #: The mail could not be composed.
    problem: DomainError | None = None

    @property
    def may_go_with_others(self) -> bool:
        """True if it may share a call: what may kill workers goes alone, to spare the others."""
        return self.message.lane == Lane.BULK and self.message.error != WORKER_DIED

    def finish(self) -> None:
        """Note the verdict, and tell whoever waits for it. Its thread's last act."""
        self.entry.end(self.result, self.duration_ms)
        self.done(self)


@dataclass(frozen=True, slots=True)
class _Ready:
    job: Job
    mail: OutgoingMail

    @property
    def size_bytes(self) -> int:
        return len(self.mail.data) if self.mail.parts is None else self.mail.parts.size_bytes


class Desk:
    """What one sender thread works with: a session, opened when needed and replaced when worn."""

    def __init__(self, adapter: Adapter, *, name: str) -> None:
        self._adapter = adapter
        self._takes_parts = isinstance(adapter, PartsAdapter)
        self._name = name
        self._session: Session | None = None
        #: The session, if it takes several mails at once.
        self._batcher: BatchSession | None = None
        self._most = 1

    def send(self, job: Job, others: Callable[[int], Iterator[Job]]) -> None:
        """Send a job, and with it what `others` yields: at most so many, one after another.

        Every job is finished: sent, refused, impossible to compose, or without a result if its
        lease is no longer safely ours.
        """
        first = self._composed(job)
        if first is None:
            return
        if self._most <= 1 or not job.may_go_with_others:
            self._call([first])
            return
        together, late = self._gathered(first, others)
        self._call(together)
        for one in late:
            self._call([one])

    def close(self) -> None:
        """Close the session if there is one. Never raises."""
        session, self._session, self._batcher = self._session, None, None
        if session is not None:
            session.close()

    def _composed(self, job: Job) -> _Ready | None:
        """Return the job with its mail, or None after finishing it without."""
        job.entry.begin()
        mail = composed(job, takes_parts=self._takes_parts)
        if mail is not None:
            return _Ready(job, mail)
        job.finish()
        return None

    def _gathered(
        self, first: _Ready, others: Callable[[int], Iterator[Job]]
    ) -> tuple[list[_Ready], list[_Ready]]:
        """Return what goes with one call, and what turned out to be too large for it."""
        together: list[_Ready] = [first]
        late: list[_Ready] = []
        room = MAX_CALL_BYTES - first.size_bytes
        if room <= 0:
            return together, late
        for job in others(self._most - 1):
            ready = self._composed(job)
            if ready is not None:
                room -= ready.size_bytes
                (together if room >= 0 else late).append(ready)
            if room <= 0:
                break
        return together, late

    def _call(self, batch: list[_Ready]) -> None:
        """Send mails with one call and finish their jobs."""
        started_at = timezone.now()
        start = time.perf_counter()
        for one in batch:
            one.job.started_at = started_at
        concerned, outcome = batch, Outcome.NOT_ACCEPTED
        try:
            session = self._ready_session()
            concerned = [one for one in batch if one.job.is_live()]
            outcome = Outcome.UNKNOWN
            for one, result in zip(concerned, self._results(session, concerned), strict=True):
                one.job.result = result
        except ConnectError as refusal:
            for one in concerned:
                one.job.result = replace(refusal.result, is_offered=False)
        except Exception as error:  # the port forbids it; one bad adapter must not stop the drain
            logger.exception("The adapter of %s failed", self._name)
            for one in concerned:
                one.job.result = _broken(error, outcome)
            self.close()
        duration_ms = int((time.perf_counter() - start) * 1000)
        for one in batch:
            one.job.duration_ms = duration_ms
            one.job.finish()

    def _results(self, session: Session, batch: list[_Ready]) -> list[SendResult]:
        if len(batch) > 1 and self._batcher is not None:
            return self._batcher.send_many([one.mail for one in batch])
        return [session.send(one.mail) for one in batch]

    def _ready_session(self) -> Session:
        """Return a session that can be used. Raises `ConnectError`."""
        session = self._session
        if session is not None and session.is_usable:
            return session
        self.close()
        session = self._session = self._adapter.open()
        if isinstance(session, BatchSession):
            self._batcher = session
            self._most = min(session.max_batch, MAX_CALL_MAILS)
        return session


def composed(job: Job, *, takes_parts: bool) -> OutgoingMail | None:
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
        return_path=job.return_path or job.content.source.from_email,
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
