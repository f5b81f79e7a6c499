"""Which of our messages an event is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import connection

from mailservice.core.sql import RecordSet, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

_CLUES = RecordSet(
    {"n": "integer", "provider_id": "uuid", "message_id": "uuid", "remote_id": "text"}
)
# A message answers only to accounts that had it in hands: whoever got hold of one account's address
# cannot speak of other accounts' mail. The last arm is for mails that went in several calls.
_MATCH = f"""
WITH clues AS MATERIALIZED (SELECT r.* FROM {_CLUES.source})
SELECT c.n, c.message_id FROM clues c
 WHERE c.message_id IS NOT NULL AND (
       EXISTS (SELECT 1 FROM delivery_attempt a
                WHERE a.message_id = c.message_id AND a.provider_id = c.provider_id)
       OR EXISTS (SELECT 1 FROM delivery_message m
                   WHERE m.id = c.message_id AND m.provider_id = c.provider_id))
UNION ALL
SELECT c.n, a.message_id FROM clues c
  JOIN delivery_attempt a ON a.provider_id = c.provider_id AND a.remote_id = c.remote_id
                         AND a.remote_id <> ''
 WHERE c.remote_id <> ''
UNION ALL
SELECT c.n, a.message_id FROM clues c
  JOIN delivery_attempt a ON string_to_array(a.remote_id, ',') @> ARRAY[c.remote_id]
                         AND position(',' in a.remote_id) > 0
 WHERE c.remote_id <> '' AND a.provider_id = c.provider_id
"""  # noqa: S608 - names from this module only, values are parameters


@dataclass(frozen=True, slots=True)
class Clue:
    """What an event says about whose it is."""

    provider_id: UUID
    #: Our own id, if the event carries one.
    message_id: UUID | None
    #: The provider's id of the mail; may be empty.
    remote_id: str


def messages_of(clues: Sequence[Clue]) -> list[UUID | None]:
    """Return the message of each clue, None where there is none (yet); one statement for all."""
    found: list[UUID | None] = [None] * len(clues)
    if not clues:
        return found
    # One question per distinct clue.
    places: dict[Clue, list[int]] = {}
    for place, clue in enumerate(clues):
        places.setdefault(clue, []).append(place)
    distinct = list(places)
    rows = [
        {
            "n": number,
            "provider_id": clue.provider_id,
            "message_id": clue.message_id,
            "remote_id": clue.remote_id,
        }
        for number, clue in enumerate(distinct)
    ]
    with connection.cursor() as cursor:
        cursor.execute(_MATCH, [to_json(rows)])
        for number, message_id in cursor.fetchall():
            for place in places[distinct[number]]:
                # Our own id, if it fits, comes first.
                found[place] = found[place] or message_id
    return found
