"""Telling again: a trial, replays, and forgetting what is old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from mailservice.core.errors import ConflictError, NotFoundError
from mailservice.core.ids import uuid7
from mailservice.core.sql import database_now
from webhooks.kinds import TEST
from webhooks.models import Delivery, Endpoint
from webhooks.queue.claims import claim_one, record
from webhooks.queue.payloads import body_of
from webhooks.queue.send import post
from webhooks.queue.spread import delivery_row
from webhooks.tables import DELIVERY, DELIVERY_ROWS, OCCURRENCE, OCCURRENCE_ROWS

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from webhooks.queue.claims import Result

#: What happened is kept for so long, with the log of its deliveries.
KEPT = timedelta(days=30)
#: Rows of one statement.
_BATCH = 1_000
#: Deliveries that one request replays.
MAX_REPLAYED = 20_000

_REPLAY_ONE = """
UPDATE webhooks_delivery SET status = 'pending', attempts = 0, due_at = statement_timestamp()
 WHERE id = %s AND endpoint_id = %s AND (status <> 'pending' OR attempts > 0)
"""
# Locked ones are being written by who sends or replays them just now.
_REPLAY = """
WITH picked AS (
    SELECT id FROM webhooks_delivery
     WHERE endpoint_id = %(endpoint)s AND id >= %(first)s AND id < %(last)s
       AND status = ANY(%(statuses)s)
     ORDER BY id DESC LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE webhooks_delivery d
   SET status = 'pending', attempts = 0, due_at = statement_timestamp()
  FROM picked WHERE d.id = picked.id
RETURNING d.id
"""
_FORGET = """
WITH old AS (
    SELECT id FROM webhooks_delivery WHERE id < %(before)s ORDER BY id LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
), log AS (
    DELETE FROM webhooks_attempt WHERE delivery_id IN (SELECT id FROM old)
)
DELETE FROM webhooks_delivery WHERE id IN (SELECT id FROM old)
"""
_FORGET_OCCURRENCES = """
DELETE FROM webhooks_occurrence WHERE id IN (
    SELECT o.id FROM webhooks_occurrence o
     WHERE o.id < %(before)s
       AND NOT EXISTS (SELECT 1 FROM webhooks_delivery d WHERE d.occurrence_id = o.id)
     ORDER BY o.id LIMIT %(limit)s)
"""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay came to."""

    count: int
    #: Where to go on; None if that was all. As `last` of the next call.
    next: UUID | None = None


def send_test(endpoint_id: UUID) -> tuple[UUID, Result]:
    """Tell an endpoint that this is a test, now and once; return the delivery and how it went.

    Takes up to ten seconds; also endpoints that are off are told. Raises `NotFoundError`.
    """
    endpoint = Endpoint.objects.defer("secret", "previous_secret").filter(pk=endpoint_id).first()
    if endpoint is None:
        raise NotFoundError("There is no such webhook endpoint.")
    now = database_now()
    occurrence_id = uuid7()
    happened = {
        "id": occurrence_id,
        "kind": TEST,
        "owner_id": endpoint.owner_id,
        "message_id": None,
        "payload": body_of(TEST, now, {"endpoint_id": str(endpoint_id), "test": True}),
        "at": now,
        "created_at": now,
    }
    row = delivery_row(endpoint_id, occurrence_id, due_at=now)
    with transaction.atomic():
        OCCURRENCE_ROWS.insert(OCCURRENCE, [happened])
        DELIVERY_ROWS.insert(DELIVERY, [row])
        claimed = claim_one(row["id"])
    if claimed is None:
        raise NotFoundError("There is no such webhook endpoint.")
    result = post(claimed, allow_private=settings.OUTGOING_HTTP_ALLOW_PRIVATE, is_final=True)
    record([result])
    return row["id"], result


def replay_one(*, endpoint_id: UUID, delivery_id: UUID) -> None:
    """Have one delivery sent again, with the same id. Raises `NotFoundError`, `ConflictError`."""
    with connection.cursor() as cursor:
        cursor.execute(_REPLAY_ONE, [delivery_id, endpoint_id])
        if cursor.rowcount:
            return
    if Delivery.objects.filter(pk=delivery_id, endpoint_id=endpoint_id).exists():
        raise ConflictError("This delivery waits for its first attempt already.")
    raise NotFoundError("There is no such delivery.")


def replay_range(
    *,
    endpoint_id: UUID,
    since: datetime,
    until: datetime,
    statuses: Collection[str],
    last: UUID | None = None,
) -> Replayed:
    """Have what was to be told in a range of time sent again, newest first, in short statements.

    At most 20,000 deliveries; `last` goes on where a call before ended.
    """
    bound = last or first_id_at(until)
    count = 0
    while count < MAX_REPLAYED:
        with connection.cursor() as cursor:
            cursor.execute(
                _REPLAY,
                {
                    "endpoint": endpoint_id,
                    "first": first_id_at(since),
                    "last": bound,
                    "statuses": list(statuses),
                    "limit": _BATCH,
                },
            )
            ids = [row[0] for row in cursor.fetchall()]
        count += len(ids)
        if len(ids) < _BATCH:
            return Replayed(count)
        bound = min(ids)
    return Replayed(count, bound)


def delete_old(*, now: datetime) -> int:
    """Forget what is older than 30 days, in short statements; return how many deliveries."""
    before = first_id_at(now - KEPT)
    count = _repeat(_FORGET, before)
    _repeat(_FORGET_OCCURRENCES, before)
    return count


def first_id_at(moment: datetime) -> UUID:
    """Return the least UUIDv7 (RFC 9562) of a moment."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (0b10 << 62))


def _repeat(statement: str, before: UUID) -> int:
    count = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(statement, {"before": before, "limit": _BATCH})
            done = int(cursor.rowcount)
        count += done
        if done < _BATCH:
            return count
