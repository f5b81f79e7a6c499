"""The sweep: what time and accidents leave behind.

Everything here is a guarded statement, so running it twice, beside itself or beside any worker does
no harm; running it late costs delay only. The database's clock counts: hosts' clocks may differ.
"""

from __future__ import annotations

import logging
import time

from django.db import connection, transaction

from delivery.dispatch import wake
from delivery.models import EmailType, UnknownPolicy
from delivery.queue.claims import has_claimable
from delivery.queue.recovery import reclaim_lost, recover_dead
from delivery.queue.sequences import lock_sequences_of, move_sequences_on
from delivery.states import STOPPABLE, EventKind, Lane
from delivery.tables import write_events
from mailservice.core.sql import database_now

logger = logging.getLogger(__name__)

#: Rows moved by one statement: enough to keep up, few enough not to hold locks for long.
BATCH = 5000
#: A draining process promotes what is due at most so often.
PROMOTE_SECONDS = 1.0

_PROMOTE = """
UPDATE delivery_message SET status = 'queued', updated_at = now()
 WHERE id IN (SELECT id FROM delivery_message
               WHERE status IN ('scheduled', 'retry') AND due_at <= statement_timestamp()
               ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING lane
"""

# The states stand in the text: with parameters no partial index would serve.
_OVERDUE = """
SELECT id FROM delivery_message
 WHERE expires_at <= statement_timestamp() AND status IN ('scheduled', 'queued', 'retry', 'held')
 ORDER BY expires_at LIMIT %s
"""

_EXPIRE = """
UPDATE delivery_message SET status = 'expired', updated_at = now()
 WHERE id = ANY(%s) AND status = ANY(%s) AND expires_at <= statement_timestamp()
RETURNING id, owner_id, sequence_key
"""

_RESOLVE = """
UPDATE delivery_message SET status = 'queued', is_resend = true, updated_at = now()
 WHERE id IN (SELECT id FROM delivery_message
               WHERE status = 'unknown' AND email_type = ANY(%s) AND due_at <= statement_timestamp()
               ORDER BY email_type, due_at LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING id
"""

_last_promotion = 0.0


def sweep() -> dict[str, int]:
    """Do all of it once; return how many messages each part moved."""
    moved = {
        "recovered": recover_dead(),
        "reclaimed": reclaim_lost(),
        "expired": expire_overdue(),
        "resolved": resolve_unknown(),
        "promoted": promote_due(is_forced=True),
    }
    for lane in Lane:
        if has_claimable(lane):
            wake(lane)
    return moved


def promote_due(*, is_forced: bool = False) -> int:
    """Queue scheduled and waiting messages whose time has come; return how many."""
    global _last_promotion  # noqa: PLW0603 - counts for the whole process
    now = time.monotonic()
    if not is_forced and now - _last_promotion < PROMOTE_SECONDS:
        return 0
    _last_promotion = now
    with connection.cursor() as cursor:
        cursor.execute(_PROMOTE, [BATCH])
        return int(cursor.rowcount)


def expire_overdue() -> int:
    """End messages whose `expires_at` passed while they waited; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_OVERDUE, [BATCH])
        ids = [row[0] for row in cursor.fetchall()]
    if not ids:
        return 0
    now = database_now()
    with transaction.atomic():
        lock_sequences_of(ids)
        with connection.cursor() as cursor:
            cursor.execute(_EXPIRE, [ids, sorted(STOPPABLE)])
            moved = cursor.fetchall()
        write_events([row[0] for row in moved], EventKind.EXPIRED, now)
        move_sequences_on({(row[1], row[2]) for row in moved if row[2]}, now=now)
    return len(moved)


def resolve_unknown() -> int:
    """Queue again what fell into silence long enough ago, for types that prefer twice to never."""
    names = list(
        EmailType.objects.filter(unknown_policy=UnknownPolicy.RESEND).values_list("pk", flat=True)
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_RESOLVE, [names, BATCH])
        ids = [row[0] for row in cursor.fetchall()]
        if ids:
            write_events(ids, EventKind.RESOLVED, database_now())
    return len(ids)
