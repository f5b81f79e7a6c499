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
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from delivery.models import IdempotencyRecord
from mailservice.core.errors import ConflictError, DomainError, InvalidInputError
from mailservice.core.sql import advisory_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request that is to be done once presents: its key, and what stands for its input."""

    api_key_id: UUID
    key: str
    request_hash: bytes


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
    claim = Claim(api_key_id, key, request_hash)
    try:
        return _once(claim, produce)
    except _AnsweredMeanwhileError:
        return _once(claim, produce)


class _AnsweredMeanwhileError(Exception):
    """Another request with the key ended between our look for its answer and our lock."""


# One round trip for both. The look may be older than the lock; the unique key tells in the end.
_LOCK_AND_LOOK = """
SELECT pg_try_advisory_xact_lock(%s) AS is_locked, r.request_hash, r.status_code, r.body
  FROM (SELECT 1) AS one
  LEFT JOIN delivery_idempotencyrecord r ON r.api_key_id = %s AND r.key = %s
"""

_COLUMNS = "api_key_id, key, request_hash, status_code, body, created_at"
_STORE = f"""
INSERT INTO delivery_idempotencyrecord ({_COLUMNS})
VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (api_key_id, key) DO NOTHING
"""  # noqa: S608 - the program's own names, values are parameters


def _once(claim: Claim, produce: Callable[[], Answer]) -> Answer:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCK_AND_LOOK, _look_parameters(claim))
        stored = _settled(claim, cursor.fetchone())
        if stored is not None:
            return stored
        answer = produce()
        if answer.is_storable:
            cursor.execute(_STORE, _store_parameters(claim, answer))
            if not cursor.rowcount:
                raise _AnsweredMeanwhileError
        return answer


def _look_parameters(claim: Claim) -> list[Any]:
    lock = advisory_key("idem", claim.api_key_id, claim.key)
    return [lock, claim.api_key_id, claim.key]


def _store_parameters(claim: Claim, answer: Answer) -> list[Any]:
    return [
        claim.api_key_id,
        claim.key,
        claim.request_hash,
        answer.status_code,
        answer.body,
        timezone.now(),
    ]


def _settled(claim: Claim, found: tuple[Any, ...] | None) -> Answer | None:
    """Return the answer stored for the claim, None if it is ours to produce one."""
    is_locked, stored_hash, status_code, body = found or (False, None, 0, b"")
    if stored_hash is not None:
        if bytes(stored_hash) != claim.request_hash:
            raise KeyReusedError("This Idempotency-Key was used for a different request.")
        return Answer(status_code, bytes(body), is_replay=True)
    if not is_locked:
        raise KeyInFlightError(
            "A request with this Idempotency-Key is in progress.",
            details={"retry_after_seconds": 1},
        )
    return None


#: What a statement of `writing_once` asks before it writes.
IF_OURS = "WHERE EXISTS (SELECT FROM ours)"


def writing_once(*writes: str) -> str:
    """Return one statement for `write_once` that looks, locks, writes and stores the answer.

    Each of `writes` changes rows under the condition `IF_OURS`. A statement is a transaction: with
    one round trip, and nothing but that, the work is done and committed.
    """
    written = ", ".join(f"write{number} AS ({write})" for number, write in enumerate(writes))
    # No ON CONFLICT: an answer stored meanwhile has to undo the writes.
    return f"""
WITH look AS MATERIALIZED ({_LOCK_AND_LOOK}),
     ours AS MATERIALIZED (SELECT FROM look WHERE is_locked AND request_hash IS NULL),
     {written},
     stored AS (INSERT INTO delivery_idempotencyrecord ({_COLUMNS})
                SELECT %s::uuid, %s, %s, %s, %s, %s {IF_OURS})
SELECT is_locked, request_hash, status_code, body FROM look
"""  # noqa: S608 - the program's own texts, values are parameters


def write_once(
    claim: Claim, answer: Answer, statement: str, parameters: Sequence[Any]
) -> Answer | None:
    """Do what `statement` (of `writing_once`) writes and store `answer`, or return the stored one.

    None if the claim was answered between our look and our lock: nothing is written then, and
    `once` will find the answer. Raises `KeyInFlightError`, `KeyReusedError`.
    """
    values = [*_look_parameters(claim), *parameters, *_store_parameters(claim, answer)]
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return _settled(claim, cursor.fetchone()) or answer
    except IntegrityError:
        return None


def purge_records(*, now: datetime) -> int:
    """Forget keys older than `settings.IDEMPOTENCY_DAYS`; return how many."""
    bound = now - timedelta(days=settings.IDEMPOTENCY_DAYS)
    return IdempotencyRecord.objects.filter(created_at__lt=bound).delete()[0]
