"""What people do to messages after acceptance: cancel, reschedule, hold, release, retry.

Every change is one UPDATE guarded by the states it may leave, so it is atomic against a worker's
claim: a cancel that reports a message as cancelled has won, and the message will not go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import connection, transaction
from django.utils import timezone

from delivery.dispatch import wake_on_commit
from delivery.models import Message
from delivery.queue.sequences import lock_sequences_of, move_sequences_on
from delivery.states import RETRIABLE, STOPPABLE, EventKind, Lane, Status
from delivery.tables import write_events
from mailservice.core.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Change:
    """What a change did: the ids that moved, and those that could not, with their status."""

    changed: tuple[UUID, ...]
    refused: dict[UUID, str]


class StateError(ConflictError):
    """The message's status does not allow the change."""

    code = "wrong_state"


def cancel(*, ids: Collection[UUID], actor: str) -> Change:
    """Withdraw messages that no worker has claimed; what is reported as changed is never sent."""
    return _move(ids, STOPPABLE, Status.CANCELLED, EventKind.CANCELLED, actor)


def hold(*, ids: Collection[UUID], actor: str) -> Change:
    """Stop messages that no worker has claimed until they are released."""
    return _move(ids, STOPPABLE - {Status.HELD}, Status.HELD, EventKind.HELD, actor)


def release(*, ids: Collection[UUID], actor: str) -> Change:
    """Let held messages go: now, or at the time they were scheduled for."""
    return _move(ids, {Status.HELD}, Status.QUEUED, EventKind.RELEASED, actor)


def retry(*, ids: Collection[UUID], actor: str) -> Change:
    """Queue messages again that failed, bounced, were withdrawn or put off.

    Attempts start anew; recipients that were already served are not served again.
    """
    return _move(ids, RETRIABLE, Status.QUEUED, EventKind.RETRIED, actor)


def reschedule(*, ids: Collection[UUID], send_at: datetime, actor: str) -> Change:
    """Move messages that no worker has claimed to another time; a past one means now.

    Raises `InvalidInputError` if a message would expire before it is due.
    """
    if timezone.is_naive(send_at):
        raise InvalidInputError.for_field("send_at", "Give the time with its offset from UTC.")
    expiring = Message.objects.filter(pk__in=list(ids), expires_at__lte=send_at)
    if expiring.exists():
        raise InvalidInputError.for_field("send_at", "That is after the message's expires_at.")
    target = Status.SCHEDULED if send_at > timezone.now() else Status.QUEUED
    return _move(
        ids, STOPPABLE - {Status.HELD}, target, EventKind.RESCHEDULED, actor, send_at=send_at
    )


def require_changed(change: Change, message_id: UUID, verb: str) -> None:
    """Raise `StateError` if the one message asked for did not move."""
    if message_id not in change.changed:
        status = change.refused.get(message_id, "gone")
        raise StateError(
            f"The message is {status} and cannot be {verb}.", details={"status": status}
        )


# A release returns a message to the time it was due; every other move to the queue is due now.
_UPDATE = """
UPDATE delivery_message m
   SET status = CASE WHEN %(kind)s = 'released' AND m.due_at > %(now)s
                     THEN 'scheduled' ELSE %(target)s END,
       due_at = CASE WHEN %(send_at)s::timestamptz IS NOT NULL
                          THEN GREATEST(%(send_at)s::timestamptz, %(now)s)
                     WHEN %(target)s = 'queued' AND %(kind)s <> 'released' THEN %(now)s
                     ELSE m.due_at END,
       attempt_count = CASE WHEN %(kind)s = 'retried' THEN 0 ELSE m.attempt_count END,
       recipients = CASE WHEN %(kind)s = 'retried' THEN (
               SELECT jsonb_agg(CASE WHEN r.value->>'s' IN ('sent', 'delivered', 'complained')
                                     THEN r.value ELSE r.value - 's' - 'r' END
                                ORDER BY r.ordinality)
                 FROM jsonb_array_elements(m.recipients) WITH ORDINALITY r)
           ELSE m.recipients END,
       expires_at = CASE WHEN %(kind)s = 'retried' AND m.expires_at <= %(now)s
                         THEN NULL ELSE m.expires_at END,
       error = CASE WHEN %(kind)s = 'retried' THEN '' ELSE m.error END,
       is_resend = m.is_resend OR m.status = 'unknown',
       updated_at = %(now)s
 WHERE m.id = ANY(%(ids)s) AND m.status = ANY(%(sources)s)
RETURNING m.id, m.lane, m.status, m.owner_id, m.sequence_key
"""


def _move(
    ids: Collection[UUID],
    allowed: Collection[Status],
    target: Status,
    kind: EventKind,
    actor: str,
    *,
    send_at: datetime | None = None,
) -> Change:
    wanted = list(dict.fromkeys(ids))
    now = timezone.now()
    with transaction.atomic():
        lock_sequences_of(wanted)
        with connection.cursor() as cursor:
            cursor.execute(
                _UPDATE,
                {
                    "ids": wanted,
                    "sources": [status.value for status in allowed],
                    "target": target.value,
                    "kind": kind.value,
                    "send_at": send_at,
                    "now": now,
                },
            )
            moved = cursor.fetchall()
        detail = f"for {send_at.isoformat()}" if send_at else ""
        write_events([row[0] for row in moved], kind, now, actor=actor, detail=detail)
        move_sequences_on(
            {(row[3], row[4]) for row in moved if row[4]},
            now=now,
            has_revived=kind is EventKind.RETRIED,
        )
        wake_on_commit(Lane(row[1]) for row in moved if row[2] == Status.QUEUED.value)
    changed = {row[0] for row in moved}
    left = [message_id for message_id in wanted if message_id not in changed]
    refused = dict(Message.objects.filter(pk__in=left).values_list("pk", "status"))
    return Change(tuple(row[0] for row in moved), refused)
