"""Strict order within a sequence key: one message of a sequence is claimable at a time.

A message that has an earlier unfinished one of its sequence carries `awaits_turn` and is invisible
to the claim, so waiting ones cost the claim nothing. Whoever finishes a message moves its sequence
on. Both sides work under the sequence's advisory lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection

from delivery.dispatch import wake_on_commit
from delivery.models import Message
from delivery.states import UNFINISHED, Lane, Status
from mailservice.core.sql import advisory_key, lock_for_transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

_UNFINISHED = sorted(status.value for status in UNFINISHED)
_RECALLABLE = sorted(status.value for status in UNFINISHED - {Status.SENDING})

# One index probe per sequence, however many messages wait in it.
_MOVE_ON = """
UPDATE delivery_message m SET awaits_turn = false, updated_at = %(now)s
  FROM unnest(%(owners)s::uuid[], %(keys)s::text[]) AS k(owner_id, sequence_key)
 CROSS JOIN LATERAL (
        SELECT h.id FROM delivery_message h
         WHERE h.owner_id = k.owner_id AND h.sequence_key = k.sequence_key
           AND h.sequence_key <> '' AND h.status = ANY(%(unfinished)s)
         ORDER BY h.id LIMIT 1) AS head
 WHERE m.id = head.id AND m.awaits_turn
RETURNING m.lane, m.status
"""

# A message that came back to life takes its old place; who held the turn meanwhile gives it back.
_GIVE_BACK = """
UPDATE delivery_message m SET awaits_turn = true, updated_at = %(now)s
  FROM unnest(%(owners)s::uuid[], %(keys)s::text[]) AS k(owner_id, sequence_key)
 WHERE m.owner_id = k.owner_id AND m.sequence_key = k.sequence_key AND m.sequence_key <> ''
   AND m.status = ANY(%(waiting)s) AND NOT m.awaits_turn
"""


def sequence_lock(owner_id: UUID, key: str) -> int:
    """Return the advisory lock under which a sequence grows and moves on."""
    return advisory_key("sequence", owner_id, key)


def lock_sequences(sequences: Collection[tuple[UUID, str]]) -> None:
    """Hold the sequences still until the transaction ends; take them before any row lock."""
    if sequences:
        lock_for_transaction(*(sequence_lock(*sequence) for sequence in sequences))


def lock_sequences_of(ids: Collection[UUID]) -> None:
    """Hold still the sequences that the given messages belong to."""
    lock_sequences(
        set(
            Message.objects.filter(pk__in=list(ids))
            .exclude(sequence_key="")
            .values_list("owner_id", "sequence_key")
        )
    )


def move_sequences_on(
    sequences: Collection[tuple[UUID, str]], *, now: datetime, has_revived: bool = False
) -> None:
    """Give the turn to the earliest unfinished message of each sequence; call under their locks.

    `has_revived` says that finished messages were queued again: later ones may hold a turn that is
    now theirs. A message already on the wire keeps it.
    """
    if not sequences:
        return
    parameters: Mapping[str, list[UUID] | list[str] | datetime] = {
        "owners": [owner_id for owner_id, _ in sequences],
        "keys": [key for _, key in sequences],
        "unfinished": _UNFINISHED,
        "waiting": _RECALLABLE,
        "now": now,
    }
    with connection.cursor() as cursor:
        if has_revived:
            cursor.execute(_GIVE_BACK, parameters)
        cursor.execute(_MOVE_ON, parameters)
        freed = cursor.fetchall()
    wake_on_commit(Lane(lane) for lane, status in freed if status == Status.QUEUED.value)
