"""Judging hits: who it was, and what of it becomes an event of the message.

A batch is one transaction: whoever is killed leaves its hits unjudged, and another worker judges
them. One batch is judged at a time, so that two hits of the same hour never make two events.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from delivery.links.tracks import MARK_BYTES, recipient_mark
from delivery.models import Message
from delivery.services.news import News, apply_news
from delivery.states import EventKind
from inbound.models import Hit, HitKind, HitQuerySet
from inbound.services.batches import SOON
from inbound.verdicts import BESIDE, HUMAN, Facts, Judgement, judge
from mailservice.core.addresses import normalized
from mailservice.core.sql import RecordSet, advisory_key, to_json, try_lock_for_transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Hits judged in one transaction.
BATCH = 500
_LOCK = advisory_key("inbound", "judging")
_HOUR = timedelta(hours=1)
#: Clocks of web hosts and the ids they make may differ by so much from each other.
_SLACK = timedelta(seconds=5)
_SHOWN_AGENT_CHARS = 200

_VERDICTS = RecordSet({"id": "uuid", "verdict": "text", "reason": "text"})
_WRITE = f"""
UPDATE inbound_hit h SET verdict = r.verdict, reason = r.reason, judged_at = %s
  FROM {_VERDICTS.source} WHERE h.id = r.id
"""  # noqa: S608 - names from this module only, values are parameters


@dataclass(slots=True)
class Judged:
    """What one batch came to."""

    hits: int = 0
    events: int = 0


@dataclass(slots=True)
class _Mail:
    """What is known of a hit's message; nothing if it is purged."""

    sent_at: datetime | None = None
    recipients: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class _Slot:
    """What makes one event of however many hits: within the hour, of one recipient and link."""

    message_id: UUID
    kind: str
    mark: int | None
    url: str
    hour: datetime


@dataclass(slots=True)
class _Batch:
    """Hits in work."""

    hits: Sequence[Hit]
    mails: Mapping[UUID, _Mail]
    verdicts: dict[UUID, Judgement] = field(default_factory=dict)
    #: Hits that cannot be judged yet.
    waiting: set[UUID] = field(default_factory=set)


def judge_batch(*, limit: int = BATCH) -> Judged:
    """Judge up to `limit` hits that are due; none if another process is at it."""
    now = timezone.now()
    with transaction.atomic():
        if not try_lock_for_transaction(_LOCK):
            return Judged()
        hits = list(Hit.objects.due(now)[:limit])
        if not hits:
            return Judged()
        batch = _Batch(hits, _mails_of({hit.message_id for hit in hits}))
        batch.verdicts = _verdicts(batch)
        events = _tell(batch)
        _write(batch, now)
    return Judged(len(hits), events)


def _mails_of(ids: Iterable[UUID]) -> dict[UUID, _Mail]:
    rows = Message.objects.filter(pk__in=list(ids)).values_list("pk", "sent_at", "recipients")
    return {pk: _Mail(sent_at, recipients) for pk, sent_at, recipients in rows}


def _verdicts(batch: _Batch) -> dict[UUID, Judgement]:
    """Return the verdicts on the batch's hits, with a look at what came beside them."""
    by_message: dict[UUID, list[Facts]] = defaultdict(list)
    for hit in _of_messages(batch.hits, BESIDE):
        by_message[hit.message_id].append(_facts(hit))
    found: dict[UUID, Judgement] = {}
    for message_id, facts in by_message.items():
        mail = batch.mails.get(message_id)
        found |= judge(facts, sent_at=mail.sent_at if mail else None)
    return {hit.pk: found[hit.pk] for hit in batch.hits}


def _of_messages(hits: Sequence[Hit], margin: timedelta) -> HitQuerySet:
    """Return the hits of the same messages about the same time; ids tell the time."""
    times = [hit.at for hit in hits]
    return Hit.objects.filter(
        message_id__in={hit.message_id for hit in hits},
        id__gte=_first_id_at(min(times) - margin - _SLACK),
        id__lt=_first_id_at(max(times) + margin + _SLACK),
    ).order_by()


def _facts(hit: Hit) -> Facts:
    return Facts(
        id=hit.pk,
        at=hit.at,
        is_click=hit.kind == HitKind.CLICK,
        url=hit.url,
        method=hit.method,
        user_agent=hit.user_agent,
        address=hit.address or "",
        purpose=hit.purpose,
        link_count=hit.link_count,
    )


def _tell(batch: _Batch) -> int:
    """Make events of what people did; return how many."""
    slots: dict[_Slot, list[Hit]] = defaultdict(list)
    for hit in sorted(batch.hits, key=lambda hit: hit.at):
        if batch.verdicts[hit.pk].verdict in HUMAN:
            slots[_slot_of(hit)].append(hit)
    if not slots:
        return 0
    told = _told_before([hits[0] for hits in slots.values()])
    news = {slot: _news(batch, hits[0]) for slot, hits in slots.items() if slot not in told}
    result = apply_news(list(news.values()))
    waiting = {id(one) for one in result.waiting}
    for slot, one in news.items():
        if id(one) in waiting:
            # Those behind the first wait as well: judged alone, they would count as told.
            batch.waiting.update(hit.pk for hit in slots[slot])
    return result.applied


def _told_before(hits: Sequence[Hit]) -> set[_Slot]:
    """Return the slots in which somebody was seen before."""
    known = _of_messages(hits, _HOUR).filter(verdict__in=[one.value for one in HUMAN])
    return {_slot_of(hit) for hit in known}


def _slot_of(hit: Hit) -> _Slot:
    hour = hit.at.replace(minute=0, second=0, microsecond=0)
    return _Slot(hit.message_id, hit.kind, hit.recipient_mark, hit.url, hour)


def _news(batch: _Batch, hit: Hit) -> News:
    is_click = hit.kind == HitKind.CLICK
    mail = batch.mails.get(hit.message_id)
    data = {
        "user_agent": hit.user_agent[:_SHOWN_AGENT_CHARS],
        "verdict": batch.verdicts[hit.pk].verdict.value,
    }
    return News(
        message_id=hit.message_id,
        kind=EventKind.CLICKED if is_click else EventKind.OPENED,
        at=hit.at,
        key=f"{hit.url}\x1f{_slot_of(hit).hour:%Y%m%d%H}",
        recipient=_recipient(hit, mail) if mail else "",
        actor="recipient",
        detail=hit.url,
        data={"url": hit.url, **data} if is_click else data,
    )


def _recipient(hit: Hit, mail: _Mail) -> str:
    """Return whose token it was; empty for a mail to several."""
    if hit.recipient_mark is None:
        return ""
    mark = hit.recipient_mark.to_bytes(MARK_BYTES, "big")
    addresses = (normalized(entry["a"]) for entry in mail.recipients)
    return next((one for one in addresses if recipient_mark(hit.message_id, one) == mark), "")


def _write(batch: _Batch, now: datetime) -> None:
    rows = [
        {
            "id": hit.pk,
            "verdict": batch.verdicts[hit.pk].verdict.value,
            "reason": batch.verdicts[hit.pk].reason,
        }
        for hit in batch.hits
        if hit.pk not in batch.waiting
    ]
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [now, to_json(rows)])
    if batch.waiting:
        Hit.objects.filter(pk__in=batch.waiting).update(due_at=now + SOON)


def _first_id_at(moment: datetime) -> UUID:
    return UUID(int=int(moment.timestamp() * 1000) << 80)
