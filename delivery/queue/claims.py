"""Claims and leases: which worker may send which messages, and until when.

A worker opens a lease (one row, renewed while it lives) and claims chunks of messages under it. The
claim is one statement over the partial index of what is claimable, so its cost does not grow with
the table, and `SKIP LOCKED` keeps workers out of each other's way.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.db import connection

from delivery.models import Lease
from mailservice.core.ids import uuid7
from mailservice.core.sql import database_now

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from delivery.states import Lane

#: Part of a chunk that each lower priority may fill with mail that waited too long (ageing).
AGED_SHARE = 10


@dataclass(frozen=True, slots=True)
class Claimed:
    """One message as its worker needs it."""

    id: UUID
    content_id: UUID
    owner_id: UUID
    email_type: str
    lane: int
    priority: int
    is_test: bool
    #: See `Message.recipients`.
    recipients: list[dict[str, Any]]
    addresses: list[str]
    context: dict[str, Any] | None
    headers: dict[str, str] | None
    pinned_provider_id: UUID | None
    sequence_key: str
    expires_at: datetime | None
    created_at: datetime
    #: Number of the attempt this claim is for, from 1.
    attempt: int
    #: Why it waited so far, as last recorded.
    error: str
    api_key_id: UUID | None = None
    tags: list[str] | None = None
    #: The account that may have it already, if it is sent again although nobody knows.
    doubtful_provider_id: UUID | None = None
    #: The addresses that got no mail because this claim found them suppressed, in normal form.
    withheld: set[str] = field(default_factory=set)


#: Which columns of the claim, returned in the order of the fields above, arrive as JSON text.
_JSON_PLACES = tuple(
    place
    for place, column in enumerate(fields(Claimed))
    if column.name in {"recipients", "context", "headers"}
)


_COLUMNS = """m.id, m.content_id, m.owner_id, m.email_type, m.lane, m.priority, m.is_test,
          m.recipients, m.addresses, m.context, m.headers, m.pinned_provider_id, m.sequence_key,
          m.expires_at, m.created_at, m.attempt_count, m.error, m.api_key_id, m.tags,
          CASE WHEN m.is_resend THEN m.provider_id END"""

# `queued` means claimable: no clock is compared, so workers' and web hosts' clocks may differ.
# Strict order first; then the heads of the lower priorities that have waited too long, so that a
# steady stream of priority 1 cannot starve priority 5.
_CLAIM = f"""
WITH strict AS MATERIALIZED (
    SELECT id FROM delivery_message
     WHERE lane = %(lane)s AND status = 'queued' AND NOT awaits_turn
     ORDER BY priority, due_at LIMIT %(n)s FOR UPDATE SKIP LOCKED
), aged AS MATERIALIZED (
    SELECT head.id FROM generate_series(2, 5) AS p(priority) CROSS JOIN LATERAL (
        SELECT id FROM delivery_message m
         WHERE m.lane = %(lane)s AND m.status = 'queued' AND NOT m.awaits_turn
           AND m.priority = p.priority AND m.due_at <= now() - make_interval(secs => %(ageing)s)
         ORDER BY m.due_at LIMIT %(share)s FOR UPDATE SKIP LOCKED) AS head
)
UPDATE delivery_message m
   SET status = 'sending', lease_id = %(lease)s, attempt_count = m.attempt_count + 1,
       updated_at = now()
  FROM (SELECT id FROM strict UNION SELECT id FROM aged) AS picked
 WHERE m.id = picked.id
RETURNING {_COLUMNS}
"""  # noqa: S608 - names from this module only, values are parameters

_HELD = f"""
SELECT {_COLUMNS} FROM delivery_message m WHERE m.lease_id = %s AND m.status = 'sending'
"""  # noqa: S608 - as above

_GIVE_BACK = """
UPDATE delivery_message
   SET status = 'queued', lease_id = NULL, attempt_count = attempt_count - 1, updated_at = now()
 WHERE lease_id = %s AND status = 'sending' AND (%s::uuid[] IS NULL OR id = ANY(%s::uuid[]))
"""


# In the text, not as parameters, and in the index's order: see test_plans.
_CLAIMABLE = """
SELECT 1 FROM delivery_message WHERE lane = %s AND status = 'queued' AND NOT awaits_turn
 ORDER BY priority, due_at LIMIT 1
"""


def has_claimable(lane: Lane) -> bool:
    """Tell whether a claim would find anything."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIMABLE, [int(lane)])
        return cursor.fetchone() is not None


def claim(*, lease_id: UUID, lane: Lane, limit: int) -> list[Claimed]:
    """Claim up to about `limit` messages of a lane (a few more when low priorities have waited)."""
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM,
            {
                "lane": int(lane),
                "n": limit,
                "share": max(1, limit // AGED_SHARE),
                "ageing": settings.AGEING_SECONDS,
                "lease": lease_id,
            },
        )
        rows = cursor.fetchall()
    return [_claimed(row) for row in rows]


def held_under(lease_id: UUID) -> list[Claimed]:
    """Return what was claimed under a lease and is not recorded."""
    with connection.cursor() as cursor:
        cursor.execute(_HELD, [lease_id])
        return [_claimed(row) for row in cursor.fetchall()]


def _claimed(row: tuple[Any, ...]) -> Claimed:
    values = list(row)
    for place in _JSON_PLACES:
        if values[place] is not None:
            values[place] = orjson.loads(values[place])
    return Claimed(*values)


def give_back(*, lease_id: UUID, ids: Collection[UUID] | None = None) -> int:
    """Return claimed messages, certain not to be on the wire, to the queue as if never claimed.

    Without `ids` all that the lease still holds, also what was claimed by a statement whose answer
    got lost. Returns how many.
    """
    wanted = None if ids is None else list(ids)
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_BACK, [lease_id, wanted, wanted])
        return int(cursor.rowcount)


class LeaseHolder:
    """A worker's lease: opened, renewed while it lives, closed.

    `deadline` is on this process's monotonic clock and always before the row's expiry, so a worker
    that was stopped for too long (SIGSTOP, a swapping host) knows it before it sends.
    """

    def __init__(self, *, worker: str, lane: Lane) -> None:
        self.id = uuid7()
        self.worker = worker[:80]
        self.lane = lane
        self._seconds = settings.LEASE_SECONDS
        self.deadline = self._new_deadline()
        now = database_now()
        self._clock = now - timedelta(seconds=time.monotonic())
        Lease.objects.create(
            id=self.id,
            worker=self.worker,
            lane=lane,
            started_at=now,
            expires_at=now + timedelta(seconds=self._seconds),
        )

    def now(self) -> datetime:
        """Return the database's time without asking it: this host's clock may be wrong, or set."""
        return self._clock + timedelta(seconds=time.monotonic())

    def _new_deadline(self) -> float:
        # Taken before the row is written; a quarter is kept for what a send takes.
        return time.monotonic() + self._seconds * 0.75

    def renew_if_due(self) -> bool:
        """Prolong the lease when a third of it is used up; False if it was lost."""
        if self.deadline - time.monotonic() > self._seconds * 0.45:
            return True
        if not self.deadline:
            return False
        deadline = self._new_deadline()
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE delivery_lease"
                " SET expires_at = clock_timestamp() + make_interval(secs => %s)"
                " WHERE id = %s AND expires_at > clock_timestamp()",
                [self._seconds, self.id],
            )
            if cursor.rowcount == 0:
                self.deadline = 0.0
                return False
        self.deadline = deadline
        return True

    @property
    def is_live(self) -> bool:
        """True while messages claimed under it may be put on the wire."""
        return time.monotonic() < self.deadline

    def abandon(self) -> None:
        """Let nothing more go on the wire; the sweep takes over when the row expires."""
        self.deadline = 0.0

    def close(self) -> None:
        """Remove the lease; the worker has recorded or given back all it claimed."""
        Lease.objects.filter(pk=self.id).delete()
