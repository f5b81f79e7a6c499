"""What others tell of messages after they were sent, written down and acted upon.

Providers, returned mails and readers tell the same thing more than once, in any order, and at times
before the worker has recorded its own success. An event's id follows from what makes it the same
event, so that the primary key keeps it single; what it means for recipients and message is decided
by rank (`delivery.fates`), so that the end does not depend on the order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from django.db import connection, transaction
from django.utils import timezone

from delivery.fates import Told, fate_after
from delivery.models import Event, Message, SuppressionReason
from delivery.queue.sequences import lock_sequences_of, move_sequences_on
from delivery.services.suppressions import NewSuppression, add_suppressions
from delivery.states import UNFINISHED, EventKind, Status
from delivery.tables import EVENT, EVENT_ROWS
from mailservice.core.addresses import normalized
from mailservice.core.sql import RecordSet, to_json
from providers.bounces import is_block
from providers.figures import Returns, add_returns

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class News:
    """One thing that was told about a message."""

    message_id: UUID
    #: One of `delivery.states.NEWS`.
    kind: EventKind
    #: When it happened, by the teller's clock; aware.
    at: datetime
    #: What makes it the same news however often it is told, such as the provider's id of the event.
    key: str
    #: The address concerned, in normal form; empty if the teller did not say.
    recipient: str = ""
    #: Who told it, such as `provider:Postmark` or `recipient`.
    actor: str = ""
    #: In one line, for people.
    detail: str = ""
    #: For programs, such as {"class": "mailbox_full", "code": "5.2.2"} or {"url": …}.
    data: Mapping[str, Any] | None = None
    #: The account it came from; None for that of the latest attempt.
    provider_id: UUID | None = None
    #: Why its recipient gets no mail from now on.
    suppress: SuppressionReason | None = None

    @property
    def event_id(self) -> UUID:
        """Return the event's id: a UUIDv7 of the time told whose other bits follow from the key."""
        digest = hashlib.blake2b(
            f"{self.message_id}\x1f{self.kind}\x1f{self.recipient}\x1f{self.key}".encode(),
            digest_size=10,
        ).digest()
        milliseconds = max(0, int(self.at.timestamp() * 1000)) & ((1 << 48) - 1)
        bits = int.from_bytes(digest, "big")
        value = milliseconds << 80 | 7 << 76 | (bits >> 68) << 64 | 2 << 62 | bits & ((1 << 62) - 1)
        return UUID(int=value)


@dataclass(slots=True)
class Applied:
    """What became of news."""

    #: Written now.
    applied: int = 0
    #: Written before.
    repeated: int = 0
    #: Their messages are in a worker's hands right now: tell them again in a moment.
    waiting: list[News] = field(default_factory=list)
    #: There is no such message (any more); suppressions were written nevertheless.
    gone: list[News] = field(default_factory=list)


_LOCK = """
SELECT id, status, recipients, owner_id, sequence_key, provider_id, is_test, sent_at IS NOT NULL
  FROM delivery_message WHERE id = ANY(%s) AND status <> 'sending'
   FOR NO KEY UPDATE SKIP LOCKED
"""
_STEPS = RecordSet({"id": "uuid", "status": "text", "recipients": "jsonb", "error": "text"})
_APPLY = f"""
UPDATE delivery_message m
   SET status = r.status, recipients = r.recipients, updated_at = %s,
       error = CASE WHEN r.error <> '' THEN r.error
                    WHEN m.status = 'unknown' THEN '' ELSE m.error END,
       sent_at = CASE WHEN m.status = 'unknown' THEN COALESCE(m.sent_at, %s) ELSE m.sent_at END
  FROM {_STEPS.source}
 WHERE m.id = r.id
"""  # noqa: S608 - names from this module only, values are parameters


@dataclass(slots=True)
class _Row:
    """A locked message."""

    id: UUID
    status: Status
    recipients: list[dict[str, Any]]
    owner_id: UUID
    sequence_key: str
    provider_id: UUID | None
    is_test: bool
    #: A provider took it, at least for some.
    was_sent: bool


def apply_news(news: Sequence[News]) -> Applied:
    """Write down what was told, all or nothing; telling it again changes nothing.

    Writes events, recipients' and messages' states, suppressions and the accounts' figures, in a
    few statements however many there are. Messages that others hold are never waited for.
    """
    result = Applied()
    if not news:
        return result
    now = timezone.now()
    with transaction.atomic():
        rows = _locked({one.message_id for one in news})
        present = _sort_out(news, rows, result)
        add_suppressions(_suppressions([*present, *result.gone], rows))
        fresh = _write_events(_without_refused(present, rows))
        result.applied, result.repeated = len(fresh), len(present) - len(fresh)
        _move(fresh, rows, now)
        add_returns(_returns(fresh, rows), now)
    return result


def _locked(ids: Collection[UUID]) -> dict[UUID, _Row]:
    wanted = list(ids)
    # Only an unknown outcome can end a turn, and its sequence is locked before any row is.
    lock_sequences_of(
        list(
            Message.objects.filter(pk__in=wanted, status=Status.UNKNOWN).values_list(
                "pk", flat=True
            )
        )
    )
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [wanted])
        rows = cursor.fetchall()
    return {row[0]: _Row(row[0], Status(row[1]), orjson.loads(row[2]), *row[3:]) for row in rows}


def _sort_out(news: Iterable[News], rows: Mapping[UUID, _Row], result: Applied) -> list[News]:
    """Return the news of messages at hand, each once; note the others on `result`."""
    present: dict[UUID, News] = {}
    missing = []
    for one in news:
        if one.message_id in rows:
            present.setdefault(one.event_id, one)
        else:
            missing.append(one)
    if missing:
        ids = {one.message_id for one in missing}
        held = set(Message.objects.filter(pk__in=ids).values_list("pk", flat=True))
        for one in missing:
            (result.waiting if one.message_id in held else result.gone).append(one)
    return list(present.values())


def _without_refused(news: Sequence[News], rows: Mapping[UUID, _Row]) -> list[News]:
    """Leave out the returns of what was refused while it was sent: that has been told."""
    bounced = {
        (row.id, normalized(entry["a"]))
        for row in (rows[one.message_id] for one in news if one.kind in _CAME_BACK)
        for entry in row.recipients
        if entry.get("s") == Status.BOUNCED
    }
    refused = Event.objects.filter(kind=EventKind.BOUNCED, actor="").exclude(recipient="")
    told = set()
    if bounced:
        found = refused.filter(message_id__in={message_id for message_id, _ in bounced})
        told = bounced & set(found.values_list("message_id", "recipient"))
    return [one for one in news if not _is_refused(one, rows[one.message_id], told)]


def _is_refused(one: News, row: _Row, told: Collection[tuple[UUID, str]]) -> bool:
    """Tell whether news is of a refusal; `told` has those that were told one by one."""
    if one.kind not in _CAME_BACK:
        return False
    is_uniform = not any(entry.get("s") for entry in row.recipients)
    if is_uniform and row.status is Status.BOUNCED and not row.was_sent:
        return True
    return (row.id, one.recipient) in told


def _write_events(news: Sequence[News]) -> list[News]:
    """Write the events; return those that were not there yet."""
    if not news:
        return []
    by_id = {one.event_id: one for one in news}
    rows = [
        {
            "id": event_id,
            "message_id": one.message_id,
            "kind": one.kind.value,
            "recipient": one.recipient[:320],
            "at": one.at,
            "actor": one.actor[:330],
            "detail": one.detail[:500],
            "data": dict(one.data) if one.data else None,
        }
        for event_id, one in sorted(by_id.items())
    ]
    statement = EVENT_ROWS.insert_sql(EVENT, suffix="ON CONFLICT (id) DO NOTHING RETURNING id")
    with connection.cursor() as cursor:
        cursor.execute(statement, [to_json(rows)])
        return [by_id[row[0]] for row in cursor.fetchall()]


def _move(fresh: Iterable[News], rows: Mapping[UUID, _Row], now: datetime) -> None:
    """Write recipients' and messages' states as the news has them."""
    told: dict[UUID, list[News]] = {}
    for one in fresh:
        told.setdefault(one.message_id, []).append(one)
    steps, ended = [], set()
    for message_id, items in told.items():
        step = _step(rows[message_id], items)
        if step is None:
            continue
        steps.append(step)
        row = rows[message_id]
        if row.sequence_key and row.status in UNFINISHED and step["status"] not in UNFINISHED:
            ended.add((row.owner_id, row.sequence_key))
    if not steps:
        return
    with connection.cursor() as cursor:
        cursor.execute(_APPLY, [now, now, to_json(steps)])
    move_sequences_on(ended, now=now)


def _step(row: _Row, items: Iterable[News]) -> dict[str, Any] | None:
    told = [Told(one.kind, one.recipient, one.detail) for one in items]
    fate = fate_after(row.status, row.recipients, told)
    if fate is None:
        return None
    return {
        "id": row.id,
        "status": fate.status.value,
        "recipients": fate.recipients,
        "error": fate.error[:500],
    }


def _suppressions(news: Iterable[News], rows: Mapping[UUID, _Row]) -> list[NewSuppression]:
    found = []
    for one in news:
        address = one.recipient or _only_recipient(rows.get(one.message_id))
        if one.suppress is not None and address:
            found.append(
                NewSuppression(address, one.suppress, note=one.detail, message_id=one.message_id)
            )
    return found


def _only_recipient(row: _Row | None) -> str:
    if row is None or len(row.recipients) != 1:
        return ""
    return normalized(row.recipients[0]["a"])


_COUNTED = {
    EventKind.DELIVERED: "delivered",
    EventKind.BOUNCED: "bounced",
    EventKind.COMPLAINED: "complained",
}
_CAME_BACK = frozenset({EventKind.BOUNCED, EventKind.SOFT_BOUNCED})


def _returns(fresh: Iterable[News], rows: Mapping[UUID, _Row]) -> dict[UUID, Returns]:
    counts: dict[UUID, Returns] = {}
    for one in fresh:
        row = rows[one.message_id]
        account = one.provider_id or row.provider_id
        names = _counted(one)
        if account is None or not names or row.is_test:
            continue
        returns = counts.setdefault(account, Returns())
        for name in names:
            setattr(returns, name, getattr(returns, name) + 1)
    return counts


def _counted(one: News) -> list[str]:
    """Return as what its account counts it."""
    names = [_COUNTED[one.kind]] if one.kind in _COUNTED else []
    if one.kind in _CAME_BACK and is_block(one.data):
        names.append("blocked")
    return names
