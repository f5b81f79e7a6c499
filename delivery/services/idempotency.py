"""Requests with an `Idempotency-Key`: done once, answered alike ever after.

The record commits in the same transaction as what the request made. An advisory lock marks a
request in flight, so a second one is told at once instead of waiting for the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from delivery.models import IdempotencyRecord
from mailservice.core.errors import ConflictError, DomainError, InvalidInputError
from mailservice.core.sql import advisory_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

#: Longest accepted key, characters.
MAX_KEY_LENGTH = 256


class KeyInFlightError(ConflictError):
    """A request with this key is being worked on; try again in a moment."""

    code = "idempotency_in_flight"


class KeyReusedError(DomainError):
    """The key was used for a request with another body."""

    code = "idempotency_key_reused"
    http_status = 422


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as stored: status and body bytes."""

    status_code: int
    body: bytes
    is_replay: bool = False

    @property
    def is_storable(self) -> bool:
        """False for answers that say "try again": 429 and 5xx."""
        return (
            self.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
            and self.status_code != HTTPStatus.TOO_MANY_REQUESTS
        )


def check_key(key: str) -> str:
    """Return a usable key. Raises `InvalidInputError` for an empty, long or unprintable one."""
    if not key or len(key) > MAX_KEY_LENGTH or not key.isprintable():
        raise InvalidInputError.for_field(
            "Idempotency-Key", f"Use 1 to {MAX_KEY_LENGTH} printable characters."
        )
    return key


def once(
    *, api_key_id: UUID, key: str, request_hash: bytes, produce: Callable[[], Answer]
) -> Answer:
    """Return the stored answer for the key, or `produce` one and store it with its effects.

    `produce` runs inside the transaction. An answer of 5xx or 429 is not stored, and an exception
    rolls everything back, so the request may be repeated under the same key.
    Raises `KeyInFlightError`, `KeyReusedError`.
    """
    arguments = (api_key_id, key, request_hash, produce)
    try:
        return _once(*arguments)
    except _AnsweredMeanwhileError:
        return _once(*arguments)


class _AnsweredMeanwhileError(Exception):
    """Another request with the key ended between our look for its answer and our lock."""


# One round trip for both. The look may be older than the lock; the unique key tells in the end.
_LOCK_AND_LOOK = """
SELECT pg_try_advisory_xact_lock(%s), r.request_hash, r.status_code, r.body
  FROM (SELECT 1) AS one
  LEFT JOIN delivery_idempotencyrecord r ON r.api_key_id = %s AND r.key = %s
"""

_STORE = """
INSERT INTO delivery_idempotencyrecord
       (api_key_id, key, request_hash, status_code, body, created_at)
VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (api_key_id, key) DO NOTHING
"""


def _once(api_key_id: UUID, key: str, request_hash: bytes, produce: Callable[[], Answer]) -> Answer:
    with transaction.atomic(), connection.cursor() as cursor:
        lock = advisory_key("idem", api_key_id, key)
        cursor.execute(_LOCK_AND_LOOK, [lock, api_key_id, key])
        is_locked, stored_hash, status_code, body = cursor.fetchone() or (False, None, 0, b"")
        if stored_hash is not None:
            if bytes(stored_hash) != request_hash:
                raise KeyReusedError("This Idempotency-Key was used for a different request.")
            return Answer(status_code, bytes(body), is_replay=True)
        if not is_locked:
            raise KeyInFlightError(
                "A request with this Idempotency-Key is in progress.",
                details={"retry_after_seconds": 1},
            )
        answer = produce()
        if answer.is_storable:
            row: list[Any] = [
                api_key_id,
                key,
                request_hash,
                answer.status_code,
                answer.body,
                timezone.now(),
            ]
            cursor.execute(_STORE, row)
            if not cursor.rowcount:
                raise _AnsweredMeanwhileError
        return answer


def purge_records(*, now: datetime) -> int:
    """Forget keys older than `settings.IDEMPOTENCY_DAYS`; return how many."""
    bound = now - timedelta(days=settings.IDEMPOTENCY_DAYS)
    return IdempotencyRecord.objects.filter(created_at__lt=bound).delete()[0]
