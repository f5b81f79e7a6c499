"""Taking what is due and writing down how it went.

A claim moves `due_at` into the future: if its sender dies, the delivery is due again by itself.
Whoever records says which `due_at` it had set, so what another has taken over meanwhile, or what
was asked for anew, stays as it is.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from mailservice.core.ids import uuid7
from mailservice.core.sql import RecordSet, database_now, to_json
from webhooks.models import DeliveryState
from webhooks.queue.health import Verdicts, note_health
from webhooks.retries import GONE, after_failure
from webhooks.tables import ATTEMPT, ATTEMPT_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

#: A sender that has not recorded by then is dead; a request takes ten seconds at most.
LEASE_SECONDS = 30
#: Requests to one endpoint at the same time: to a healthy one, to one whose last answers took
#: long, and to one that fails.
ROOM, ROOM_SLOW, ROOM_FAILING = 4, 2, 1

_COLUMNS = """
d.id, d.endpoint_id, d.attempts, d.due_at, o.id, o.payload::text,
e.url, e.secret, e.previous_secret, e.previous_secret_expires_at
"""

# One look into the index per endpoint: what waits for others costs nothing, however much it is.
_CLAIM = f"""
WITH busy AS (
    SELECT * FROM unnest(%(busy)s::uuid[], %(taken)s::int[]) AS busy(id, taken)
), picked AS (
    SELECT p.id FROM webhooks_endpoint e
      JOIN accounts_user u ON u.id = e.owner_id AND u.is_active
      LEFT JOIN busy b ON b.id = e.id
     CROSS JOIN LATERAL (
        SELECT w.id, w.due_at FROM webhooks_delivery w
         WHERE w.endpoint_id = e.id AND w.status = 'pending' AND w.due_at <= statement_timestamp()
         ORDER BY w.due_at
         LIMIT GREATEST(0, CASE WHEN e.failing_since IS NOT NULL THEN %(room_failing)s
                                WHEN e.id = ANY(%(slow)s::uuid[]) THEN %(room_slow)s
                                ELSE %(room)s END - COALESCE(b.taken, 0))
           FOR UPDATE SKIP LOCKED) p
     WHERE e.is_active
       AND (e.paused_until IS NULL OR e.paused_until <= statement_timestamp())
       AND (e.failing_since IS NOT NULL OR e.id = ANY(%(slow)s::uuid[])) = %(troubled)s
     ORDER BY p.due_at LIMIT %(limit)s
), claimed AS (
    UPDATE webhooks_delivery w
       SET due_at = statement_timestamp() + make_interval(secs => {LEASE_SECONDS})
      FROM picked WHERE w.id = picked.id AND w.status = 'pending'
 RETURNING w.id, w.endpoint_id, w.occurrence_id, w.attempts, w.due_at)
SELECT {_COLUMNS}
  FROM claimed d JOIN webhooks_occurrence o ON o.id = d.occurrence_id
  JOIN webhooks_endpoint e ON e.id = d.endpoint_id
"""  # noqa: S608 - the program's own words

# Of one delivery, whatever the state of its endpoint: a trial.
_CLAIM_ONE = f"""
WITH d AS (
    UPDATE webhooks_delivery w
       SET due_at = statement_timestamp() + make_interval(secs => {LEASE_SECONDS})
     WHERE w.id = %s AND w.status = 'pending'
 RETURNING w.id, w.endpoint_id, w.occurrence_id, w.attempts, w.due_at)
SELECT {_COLUMNS} FROM d JOIN webhooks_occurrence o ON o.id = d.occurrence_id
  JOIN webhooks_endpoint e ON e.id = d.endpoint_id
"""  # noqa: S608 - the program's own words

_RESULTS = RecordSet(
    {
        "id": "uuid",
        "leased_until": "timestamptz",
        "status": "text",
        "due_at": "timestamptz",
        "last_code": "smallint",
        "last_error": "text",
    }
)
_RECORD = f"""
UPDATE webhooks_delivery w
   SET status = r.status, attempts = w.attempts + 1, due_at = r.due_at,
       last_code = r.last_code, last_error = r.last_error
  FROM {_RESULTS.source}
 WHERE w.id = r.id AND w.status = 'pending' AND w.due_at = r.leased_until
RETURNING w.id
"""  # noqa: S608 - the program's own words


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours for a while, with all that sending it needs."""

    id: UUID
    endpoint_id: UUID
    #: Failed attempts so far.
    attempts: int
    leased_until: datetime
    occurrence_id: UUID
    payload: str
    url: str
    #: Encrypted, as stored.
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    previous_secret_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Result:
    """How one request went."""

    claimed: Claimed
    at: datetime
    duration_ms: int
    #: 0 for no answer.
    code: int = 0
    #: The start of the answer.
    response: str = ""
    #: Empty for success.
    error: str = ""
    retry_after_seconds: float | None = None
    #: A trial is made once.
    is_final: bool = False

    @property
    def is_ok(self) -> bool:
        """True if the receiver took it."""
        return not self.error


def claim(
    limit: int, *, busy: Mapping[UUID, int], slow: Iterable[UUID], is_troubled: bool
) -> list[Claimed]:
    """Take up to `limit` due deliveries, a few of each endpoint.

    `busy` tells how many requests each endpoint has open here, `slow` whose answers take long;
    `is_troubled` asks for those of slow and failing endpoints, else they are left out.
    """
    if limit <= 0:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM,
            {
                "busy": list(busy),
                "taken": list(busy.values()),
                "slow": list(slow),
                "troubled": is_troubled,
                "limit": limit,
                "room": ROOM,
                "room_slow": ROOM_SLOW,
                "room_failing": ROOM_FAILING,
            },
        )
        return [Claimed(*row) for row in cursor.fetchall()]


def claim_one(delivery_id: UUID) -> Claimed | None:
    """Take one delivery now; None if it is not pending or its endpoint is gone."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_ONE, [delivery_id])
        row = cursor.fetchone()
    return Claimed(*row) if row else None


def record(results: Sequence[Result]) -> int:
    """Write down how requests went, in one transaction; return how many counted.

    May disable endpoints, and then opens alerts.
    """
    if not results:
        return 0
    with transaction.atomic():
        now = database_now()
        verdicts: dict[UUID, Verdicts] = {}
        # In one order, so that two recorders cannot deadlock.
        rows = [_row(one, now, verdicts) for one in sorted(results, key=lambda r: r.claimed.id)]
        with connection.cursor() as cursor:
            cursor.execute(_RECORD, [to_json(rows)])
            counted = {found[0] for found in cursor.fetchall()}
        ATTEMPT_ROWS.insert(ATTEMPT, [_log(one) for one in results if one.claimed.id in counted])
        note_health(verdicts, now)
    return len(counted)


def _row(result: Result, now: datetime, verdicts: dict[UUID, Verdicts]) -> dict[str, Any]:
    claimed = result.claimed
    verdict = verdicts.setdefault(claimed.endpoint_id, Verdicts())
    status, due_at = DeliveryState.DELIVERED, now
    if result.is_ok:
        verdict.has_success = True
    else:
        step = after_failure(
            attempts=claimed.attempts + 1,
            code=result.code,
            retry_after_seconds=result.retry_after_seconds,
            chance=random.random(),  # noqa: S311 - spreads load, hides nothing
        )
        is_over = step.is_over or result.is_final
        status = DeliveryState.FAILED if is_over else DeliveryState.PENDING
        due_at = now + timedelta(seconds=step.wait_seconds)
        verdict.add_failure(
            result.error,
            pause_seconds=step.pause_seconds,
            is_gone=result.code == GONE,
            is_trial=result.is_final,
        )
    return {
        "id": claimed.id,
        "leased_until": claimed.leased_until,
        "status": status.value,
        "due_at": due_at,
        "last_code": result.code,
        "last_error": result.error,
    }


def _log(result: Result) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "delivery_id": result.claimed.id,
        "at": result.at,
        "duration_ms": result.duration_ms,
        "code": result.code,
        "response": result.response,
        "error": result.error,
    }
