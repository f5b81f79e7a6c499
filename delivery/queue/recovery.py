"""What workers held that are gone: found in their wire journals, or by leases that ran out.

The journal of a dead process of this host settles its mails at once and exactly: verdicts that were
not written yet are, what was being handed over is of unknown outcome, and the rest was certainly
not sent. Where there is no journal (the host is gone), the end of the lease has everything sent
again, and its quota counts as used.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING

from django.db import connection, transaction
from django.db.models.functions import Now

from delivery.dispatch import wake_on_commit
from delivery.email_types import email_types
from delivery.models import Content, Lease
from delivery.queue.calls import WORKER_DIED
from delivery.queue.claims import Claimed, give_back, held_under
from delivery.queue.journal import Note, Stage, abandoned, journal_folder, journal_of
from delivery.queue.outcomes import Step, after_attempt, line_of, unresolved
from delivery.queue.prepare import suppressed_among, withhold
from delivery.queue.record import Ended, Recorder, Tried
from delivery.states import EventKind, Lane, Status
from delivery.tables import write_events
from mailservice.core.sql import advisory_key, database_now, try_lock_for_transaction
from providers import quotas
from providers.ports import Outcome, Reason, Reply, SendResult
from providers.quotas import mails_of
from providers.selectors import accounts_by_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from delivery.queue.journal import Abandoned
    from providers.models import Provider
    from providers.quotas import Settlement

logger = logging.getLogger(__name__)

_REQUEUE = """
UPDATE delivery_message
   SET status = 'queued', lease_id = NULL, updated_at = now(), error = %s
 WHERE lease_id = ANY(%s) AND status = 'sending'
RETURNING id, lane
"""

# One probe of the leases' index for each lease, however many messages they hold.
_HOLDERS = """
WITH RECURSIVE held AS (
    (SELECT lease_id FROM delivery_message WHERE lease_id IS NOT NULL ORDER BY lease_id LIMIT 1)
    UNION ALL
    SELECT (SELECT m.lease_id FROM delivery_message m WHERE m.lease_id > held.lease_id
             ORDER BY m.lease_id LIMIT 1)
      FROM held WHERE held.lease_id IS NOT NULL
)
SELECT lease_id FROM held WHERE lease_id IS NOT NULL
"""

_RECLAIMING = advisory_key("sweep", "reclaim")


def recover_dead() -> int:
    """Settle what processes of this host had in hand when they died; return how many messages.

    Cheap when nobody died. Raises `OSError` if the journals' folder cannot be used.
    """
    count = 0
    for journal in abandoned(journal_folder()):
        count += _recover(journal, Lease.objects.all())
        journal.remove()
    return count


def _recover(journal: Abandoned, leases: QuerySet[Lease]) -> int:
    """Settle the journal's mails if its lease is among `leases`."""
    now = database_now()
    with transaction.atomic():
        lease = leases.select_for_update().filter(pk=journal.lease_id).first()
        if lease is None:
            # It was closed, or ran out and was reclaimed: all is settled.
            return 0
        held = held_under(lease.pk)
        known = [(message, journal.notes.get(message.id)) for message in held]
        tried = [
            (message, note)
            for message, note in known
            if note is not None and note.stage >= Stage.HANDED_OVER
        ]
        _withhold_again(tried)
        providers = accounts_by_id({note.provider_id for _, note in tried if note.provider_id})
        ended = [_ended(message, note, providers, now) for message, note in tried]
        Recorder(worker=lease.worker).record(
            lease_id=lease.pk, ended=ended, settlements=_settlements(tried, providers), now=now
        )
        give_back(
            lease_id=lease.pk,
            ids=[m.id for m, note in known if note is not None and note.stage is Stage.HELD],
        )
        # What it was working on counts as tried, so that a mail that kills its workers ends.
        _requeue([lease.pk], WORKER_DIED, now)
        quotas.release(lease.pk)
        lease.delete()
        wake_on_commit({Lane(message.lane) for message in held})
    in_doubt = sum(item.step.status is Status.UNKNOWN for item in ended)
    logger.warning(
        "A worker died (%s): %d results recorded, %d of them unknown, %d messages queued again",
        lease.worker, len(ended), in_doubt, len(held) - len(ended),
    )  # fmt: skip
    return len(held)


def _withhold_again(tried: Iterable[tuple[Claimed, Note]]) -> None:
    """Find again who was suppressed, where a mail was for fewer than it could be."""
    short = [
        message
        for message, note in tried
        if note.recipients < len({entry["a"] for entry in unresolved(message.recipients)})
    ]
    if not short:
        return
    suppressed, types = suppressed_among(short), email_types()
    contents = Content.objects.filter(pk__in={message.content_id for message in short})
    list_keys = dict(contents.values_list("pk", "list_key"))
    for message in short:
        list_key = list_keys.get(message.content_id, "")
        withhold(message, types[message.email_type], list_key, suppressed)


def _ended(
    message: Claimed, note: Note, providers: Mapping[UUID, Provider], now: datetime
) -> Ended:
    result = _result(note)
    policy = email_types()[message.email_type].retry_policy
    provider = providers.get(note.provider_id) if note.provider_id else None
    if provider is not None:
        policy = policy.at(provider.retry_first_seconds, provider.retry_max_seconds)
    step = after_attempt(
        message,
        result,
        policy=policy,
        now=now,
        jitter=random.random(),  # noqa: S311 - spreads retries, protects nothing
    )
    if result.spares_the_mail or (result.is_account_fault and step.status is Status.RETRY):
        # Its worker would have tried the next account at once.
        step = Step(Status.RETRY, line_of(result), due_at=now)
    tried = Tried(
        provider_id=note.provider_id,
        decision_id=note.decision_id,
        number=note.number,
        started_at=note.started_at,
        duration_ms=note.duration_ms,
        result=result,
        mails=mails_of(result, note.recipients),
    )
    return Ended(message, step, (tried,))


def _result(note: Note) -> SendResult:
    if note.result is not None:
        return note.result
    reply = Reply(text="Its worker died while it was being handed over.")
    return SendResult(Outcome.UNKNOWN, Reason.LOST_AFTER_DATA, reply=reply)


def _settlements(
    tried: Iterable[tuple[Claimed, Note]], providers: Mapping[UUID, Provider]
) -> list[Settlement]:
    """Return what counts as used; what is left of the reservations is released as a whole."""
    book = quotas.SettlementBook()
    for message, note in tried:
        provider = providers.get(note.provider_id) if note.provider_id else None
        if provider is not None and not message.is_test:
            sent = mails_of(_result(note), note.recipients)
            book.note(provider, mails=note.recipients, sent=sent)
    return book.take()


def reclaim_lost() -> int:
    """Queue again what workers held whose lease ran out or is gone; return how many.

    A process of this host that was stopped for too long may send no more, so its journal counts as
    if it were dead.
    """
    count = 0
    expired = Lease.objects.filter(expires_at__lte=Now())
    for lease_id in expired.values_list("pk", flat=True):
        journal = journal_of(journal_folder(), lease_id)
        if journal is not None:
            count += _recover(journal, expired)
            journal.remove()
    return count + _reclaim()


def _reclaim() -> int:
    with transaction.atomic():
        if not try_lock_for_transaction(_RECLAIMING):
            # Another sweep is at it, perhaps waiting for a worker that was stopped while recording.
            return 0
        now = database_now()
        expired = list(
            Lease.objects.select_for_update(skip_locked=True)
            .filter(expires_at__lte=now)
            .values_list("pk", flat=True)
        )
        with connection.cursor() as cursor:
            cursor.execute(_HOLDERS)
            held = {row[0] for row in cursor.fetchall()}
        orphaned = held - set(Lease.objects.filter(pk__in=held).values_list("pk", flat=True))
        dead = [*expired, *orphaned]
        if not dead:
            return 0
        count = _requeue(dead, "Its worker vanished; it may have been sent.", now)
        quotas.abandon(dead)
        Lease.objects.filter(pk__in=expired).delete()
    if count:
        logger.warning("Queued again %d messages of %d vanished workers", count, len(dead))
    return count


def _requeue(lease_ids: Collection[UUID], error: str, now: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_REQUEUE, [error, list(lease_ids)])
        ids = [row[0] for row in cursor.fetchall()]
    write_events(ids, EventKind.LEASE_EXPIRED, now, detail=error)
    return len(ids)
