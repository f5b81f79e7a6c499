"""Writing down what became of many messages at once.

Everything about a batch of results goes into one short transaction: message rows (guarded by the
lease), events, quota and the accounts' figures, what it cost, attempts, and the turn of their
sequences. The accounts' usage rows, which all workers want, are locked as late as can be: an
attempt's cost follows from its place in the month, which the settled quota tells.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from delivery.models import Attempt, SuppressionReason
from delivery.queue.outcomes import complete, dead_addresses
from delivery.queue.parted import parted_events
from delivery.queue.sequences import lock_sequences, move_sequences_on
from delivery.states import DECISION, UNFINISHED, EventKind, Status
from delivery.suppressing import NewSuppression, add_suppressions
from delivery.tables import ATTEMPT, ATTEMPT_ROWS, EVENT, EVENT_ROWS
from mailservice.core.ids import uuid7
from mailservice.core.sql import RecordSet, to_json
from providers.figures import TallyBook
from providers.ledger import Carried, book
from providers.quotas import Settlement, settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from delivery.queue.claims import Claimed
    from delivery.queue.outcomes import Step
    from providers.figures import Tally
    from providers.ports import SendResult
    from providers.routing import Decision

_STEPS = RecordSet(
    {
        "id": "uuid",
        "status": "text",
        "due_at": "timestamptz",
        "sent_at": "timestamptz",
        "provider_id": "uuid",
        "error": "text",
        "recipients": "jsonb",
        "attempt_count": "smallint",
    }
)

# The guard: only the holder of the lease may end what it began. Zero rows: not ours any more.
_APPLY = f"""
UPDATE delivery_message m
   SET status = r.status, lease_id = NULL, due_at = COALESCE(r.due_at, m.due_at),
       sent_at = COALESCE(r.sent_at, m.sent_at),
       provider_id = COALESCE(r.provider_id, m.provider_id),
       error = r.error, recipients = COALESCE(r.recipients, m.recipients),
       attempt_count = r.attempt_count, updated_at = now()
  FROM {_STEPS.source}
 WHERE m.id = r.id AND m.lease_id = %s AND m.status = 'sending'
"""  # noqa: S608 - names from this module only, values are parameters

#: Explanations remembered as stored; beyond, they are offered to the database again.
MAX_REMEMBERED = 10_000

_DECISION_ROWS = RecordSet({"id": "uuid", "body": "jsonb", "created_at": "timestamptz"})


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt as it went."""

    provider_id: UUID | None
    decision_id: UUID
    number: int
    started_at: datetime
    duration_ms: int
    result: SendResult
    #: What counts as used and is billed: see `quotas.mails_of`. Test mode costs nothing anyway.
    mails: int
    #: The explanation itself, to be stored if it is not yet.
    decision: Decision | None = None
    #: Fixed before it is written, so that writing it twice is writing it once.
    id: UUID = field(default_factory=uuid7)


@dataclass(frozen=True, slots=True)
class Ended:
    """One claimed message at the end of its claim: its attempts, and where it goes."""

    message: Claimed
    step: Step
    #: Attempts made under this claim, in order; empty if it was never tried.
    attempts: Sequence[Tried] = ()
    #: An event to write for what no attempt tells.
    event: EventKind | None = None
    #: Why no account took it, told with the event.
    decision: Decision | None = None

    @property
    def attempt_count(self) -> int:
        """Return the row's new count.

        A claim that tried nothing does not count, nor one after which it waits for an account that
        would have refused any mail.
        """
        if not self.attempts or self._waits_for_an_account:
            return self.message.attempt - 1
        return self.attempts[-1].number

    @property
    def _waits_for_an_account(self) -> bool:
        return self.step.status is Status.RETRY and self.attempts[-1].result.spares_the_mail


class LeaseLostError(Exception):
    """The messages are others' by now: what became of them here counts no more."""


class Recorder:
    """Writes batches for one lease; remembers which explanations are stored already."""

    def __init__(self, *, worker: str) -> None:
        self._worker = worker[:80]
        self._stored_decisions: set[UUID] = set()

    def record(
        self,
        *,
        lease_id: UUID,
        ended: Sequence[Ended],
        settlements: Iterable[Settlement],
        now: datetime,
        is_repeat: bool = False,
    ) -> None:
        """Write a batch, all or nothing.

        Repeating it after an error (`is_repeat`) is safe: where the commit had gone through and
        only its confirmation was lost, the attempts are found and nothing is counted twice. What
        only gives reservations back is not repeated: they end with the lease.
        Raises `LeaseLostError` if a message is not held under the lease any more; nothing is
        written then.
        """
        if is_repeat and not ended:
            return
        try:
            self._write(lease_id, ended, settlements, now)
        except LeaseLostError:
            # Only the commit that goes unconfirmed ends the lease's hold and leaves our attempts.
            if not (is_repeat and _are_written(ended)):
                raise

    def _write(
        self,
        lease_id: UUID,
        ended: Sequence[Ended],
        settlements: Iterable[Settlement],
        now: datetime,
    ) -> None:
        ended = [_completed(item) for item in ended]
        sequences = {
            (item.message.owner_id, item.message.sequence_key)
            for item in ended
            if item.message.sequence_key and item.step.status not in UNFINISHED
        }
        made = [(item.message, tried) for item in ended for tried in item.attempts]
        decisions = {tried.decision_id: tried.decision for _, tried in made if tried.decision}
        decisions |= {item.decision.digest: item.decision for item in ended if item.decision}
        fresh = {key: decisions[key] for key in decisions.keys() - self._stored_decisions}
        carried = [_carried(message, tried) for message, tried in made]
        attempts = [_attempt_row(message, tried, self._worker) for message, tried in made]
        tallies = _tallies(ended)
        dead = _dead(ended)
        events = _events(ended, now)
        with transaction.atomic():
            lock_sequences(sequences)
            self._apply(lease_id, ended, now)
            if dead:
                add_suppressions(dead)
            EVENT_ROWS.insert(EVENT, events)
            _store_decisions(fresh, now)
            places = settle(lease_id=lease_id, settlements=settlements, now=now, tallies=tallies)
            for row, nanos in zip(attempts, book(carried, places), strict=True):
                row["cost_nanos"] = nanos
            ATTEMPT_ROWS.insert(ATTEMPT, attempts)
            move_sequences_on(sequences, now=now)
        if len(self._stored_decisions) > MAX_REMEMBERED:
            self._stored_decisions.clear()
        self._stored_decisions |= fresh.keys()

    def _apply(self, lease_id: UUID, ended: Sequence[Ended], now: datetime) -> None:
        if not ended:
            return
        rows = to_json([_step_row(item, now) for item in ended])
        with connection.cursor() as cursor:
            cursor.execute(_APPLY, [rows, lease_id])
            if cursor.rowcount != len(ended):
                raise LeaseLostError


def _are_written(ended: Iterable[Ended]) -> bool:
    """Tell whether the batch stands in the database: by any of its attempts."""
    attempt_id = next((tried.id for item in ended for tried in item.attempts), None)
    return attempt_id is not None and Attempt.objects.filter(pk=attempt_id).exists()


def _completed(item: Ended) -> Ended:
    step = complete(item.message, item.step)
    return item if step is item.step else replace(item, step=step)


def _dead(ended: Iterable[Ended]) -> list[NewSuppression]:
    """Return the addresses that the servers' refusals prove dead; none in test mode."""
    return [
        NewSuppression(
            storable(address),
            SuppressionReason.HARD_BOUNCE,
            note=storable(line),
            message_id=item.message.id,
        )
        for item in ended
        if item.attempts and not item.message.is_test
        for address, line in dead_addresses(item.message, item.attempts[-1].result)
    ]


def _carried(message: Claimed, tried: Tried) -> Carried:
    mails = 0 if message.is_test else tried.mails
    return Carried(
        tried.provider_id, message.owner_id, message.api_key_id, message.email_type, mails
    )


def _tallies(ended: Iterable[Ended]) -> dict[UUID, Tally]:
    book = TallyBook()
    for item in ended:
        if not item.message.is_test:
            for tried in item.attempts:
                if tried.provider_id is not None:
                    book.note(tried.provider_id, tried.result, tried.duration_ms, mails=tried.mails)
    return book.take()


def _step_row(item: Ended, now: datetime) -> dict[str, Any]:
    last = item.attempts[-1] if item.attempts else None
    return {
        "id": item.message.id,
        "status": item.step.status.value,
        "due_at": item.step.due_at,
        "sent_at": now if item.step.status is Status.SENT else None,
        "provider_id": last.provider_id if last else None,
        "error": item.step.error[:500],
        "recipients": item.step.recipients,
        "attempt_count": item.attempt_count,
    }


def _attempt_row(message: Claimed, tried: Tried, worker: str) -> dict[str, Any]:
    result = tried.result
    return {
        "id": tried.id,
        "message_id": message.id,
        "number": tried.number,
        "provider_id": tried.provider_id,
        "decision_id": tried.decision_id,
        "started_at": tried.started_at,
        "duration_ms": tried.duration_ms,
        "outcome": result.outcome.value,
        "reason": result.reason.value,
        "scope": result.scope.value,
        "code": result.reply.code,
        "enhanced_code": result.reply.enhanced_code[:12],
        "reply": storable(result.reply.text)[:500],
        "remote_id": storable(result.remote_id)[:200],
        "recipients": [
            {
                "address": each.address,
                "outcome": each.outcome.value,
                "reason": each.reason.value,
                "code": each.reply.code,
                "reply": storable(each.reply.text),
            }
            for each in result.recipients
        ]
        or None,
        "dialogue": storable(result.dialogue),
        "worker": worker,
    }


def _events(ended: Iterable[Ended], now: datetime) -> list[dict[str, Any]]:
    """Return the events of messages, and of recipients whose end is not that of the others."""
    rows = [_event_row(item, now) for item in ended if item.event]
    for item in ended:
        if item.step.recipients is not None:
            # What an event tells of the message, its attempts do not.
            result = item.attempts[-1].result if item.attempts and not item.event else None
            rows += parted_events(item.message, item.step, result, now=now)
    for row in rows:
        row["detail"] = storable(row["detail"])[:500]
    return rows


def _event_row(item: Ended, now: datetime) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "message_id": item.message.id,
        "kind": item.event.value if item.event else "",
        "recipient": "",
        "at": now,
        "actor": "",
        "detail": item.step.error,
        "data": {DECISION: str(item.decision.digest)} if item.decision else None,
    }


def _store_decisions(decisions: dict[UUID, Decision], now: datetime) -> None:
    # In id order: two recorders storing the same explanations cannot deadlock.
    _DECISION_ROWS.insert(
        "providers_routingdecision",
        [
            {"id": key, "body": decisions[key].as_json(), "created_at": now}
            for key in sorted(decisions)
        ],
        suffix="ON CONFLICT (id) DO NOTHING",
    )


def storable(text: str) -> str:
    """Return text as PostgreSQL can hold it: a hostile server may send NUL or broken UTF-8."""
    return text.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")
