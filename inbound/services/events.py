"""Working off what providers posted: read, matched, applied, in batches.

A batch is one transaction in which its posts are locked: whoever is killed leaves them as they
were, and doing it twice changes nothing.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from delivery.models import Message, SuppressionReason
from delivery.services.news import News, apply_news
from delivery.services.suppressions import (
    NewSuppression,
    add_suppressions,
    unsubscribe_scope,
)
from delivery.states import EventKind
from inbound.adapters import posts
from inbound.adapters.normal import heard
from inbound.models import EventSource, RawEvent, RawStatus
from inbound.selectors.matching import Clue, messages_of
from inbound.services.batches import SOON, RowTable, apply_all_or_each, wait_after
from inbound.verdicts import HUMAN, REASONS, Verdict, judge_told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from inbound.adapters.normal import Heard
    from inbound.adapters.readers import Reader

logger = logging.getLogger(__name__)

#: Events applied in one transaction, more or less: posts are not split.
BATCH_EVENTS = 400
_FIRST_POSTS, _MOST_POSTS = 20, 400
#: The time of the last post is noted no more often than this.
_LAST_SECONDS = timedelta(seconds=10)

_POSTS = RowTable("inbound_rawevent")


@dataclass(slots=True)
class Worked:
    """What one batch came to."""

    posts: int = 0
    events: int = 0
    applied: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Post:
    """A post in work."""

    row: RawEvent
    heard: list[Heard] = field(default_factory=list)
    news: list[News] = field(default_factory=list)
    #: Events without a message (yet).
    strangers: int = 0
    #: Events of messages in others' hands.
    waiting: int = 0
    fault: str = ""


def work_off_batch(*, post_count: int = _FIRST_POSTS) -> Worked:
    """Work off up to `post_count` posts that are due; `posts` is 0 if there were none."""
    now = timezone.now()
    with transaction.atomic():
        rows = list(
            RawEvent.objects.due(now)
            .select_related("source__provider")
            .defer("source__token", "source__secrets", "source__provider__secrets")
            .select_for_update(skip_locked=True, of=("self",))[:post_count]
        )
        if not rows:
            return Worked()
        work = [_read(row) for row in rows]
        _match(work)
        applied = _apply(work)
        _write(work, now)
        _note_last(work)
    return Worked(
        len(work),
        sum(len(post.heard) for post in work),
        applied,
        sum(1 for post in work if post.fault),
    )


def posts_for_next(worked: Worked) -> int:
    """Return how many posts make a batch, going by those of the last one."""
    per_post = max(1.0, worked.events / max(1, worked.posts))
    return max(1, min(_MOST_POSTS, int(BATCH_EVENTS / per_post)))


def _read(row: RawEvent) -> _Post:
    post = _Post(row)
    kind = row.source.provider.kind
    try:
        events = posts.events_in(bytes(row.body), row.content_type, row.headers, kind=kind)
        found = [heard(event, kind=kind, received_at=row.received_at) for event in events]
    except Exception as error:  # noqa: BLE001 - whatever in a post a reader stumbles over
        logger.info("A post of %s cannot be read: %s", kind, type(error).__name__)
        post.fault = f"Cannot be read: {type(error).__name__}: {error}"[:500]
        return post
    post.heard = [one for one in found if one is not None]
    return post


def _match(work: Sequence[_Post]) -> None:
    """Make news of what belongs to a message."""
    pairs = [(post, one) for post in work for one in post.heard]
    found = messages_of(
        [Clue(post.row.source.provider_id, one.message_id, one.remote_id) for post, one in pairs]
    )
    for (post, one), message_id in zip(pairs, found, strict=True):
        if message_id is None:
            post.strangers += 1
        else:
            post.news.append(_news(post.row.source, one, message_id))


def _news(source: EventSource, one: Heard, message_id: UUID) -> News:
    detail, data = (one.detail, one.data) if one.reader is None else _read_by(one, one.reader)
    return News(
        message_id=message_id,
        kind=one.kind,
        at=one.at,
        key=f"{source.provider_id}:{one.key}",
        recipient=one.recipient,
        actor=f"provider:{source.provider.name}",
        detail=detail,
        data=data,
        provider_id=source.provider_id,
        suppress=one.suppress,
    )


def _read_by(one: Heard, reader: Reader) -> tuple[str, dict[str, Any]]:
    """Return detail and data of an open or click, with who it was as far as one can tell."""
    judgement = judge_told(
        is_click=one.kind is EventKind.CLICKED,
        user_agent=reader.user_agent,
        address=reader.address,
        said=Verdict(reader.verdict) if reader.verdict else None,
    )
    data = {**(one.data or {}), "verdict": judgement.verdict.value}
    if judgement.verdict in HUMAN:
        return one.detail, data
    return f"By a machine: {REASONS[judgement.reason]}.", data


def _apply(work: Sequence[_Post]) -> int:
    """Apply the news of all posts; return how much was new."""

    def blame(post: _Post, why: str) -> None:
        post.fault = why

    return apply_all_or_each(work, _tell, blame)


def _tell(work: Sequence[_Post]) -> int:
    news = [one for post in work for one in post.news]
    result = apply_news(news)
    waiting = Counter(id(one) for one in result.waiting)
    gone = Counter(id(one) for one in result.gone)
    for post in work:
        post.waiting = sum(waiting[id(one)] for one in post.news)
        post.strangers += sum(gone[id(one)] for one in post.news)
    _unsubscribe(one for one in news if one.kind is EventKind.UNSUBSCRIBED and one.recipient)
    return result.applied


def _unsubscribe(news: Iterable[News]) -> None:
    """Take recipients off the list or the kind of mail that they did not want any more."""
    asked = {(one.message_id, one.recipient): one for one in news}
    if not asked:
        return
    rows = Message.objects.filter(pk__in={message_id for message_id, _ in asked})
    scopes = {
        pk: unsubscribe_scope(email_type=email_type, list_key=list_key)
        for pk, email_type, list_key in rows.values_list("pk", "email_type_id", "content__list_key")
    }
    add_suppressions(
        NewSuppression(
            address,
            SuppressionReason.UNSUBSCRIBE,
            email_type=scopes[message_id][0],
            list_key=scopes[message_id][1],
            note=one.actor,
            message_id=message_id,
        )
        for (message_id, address), one in asked.items()
        if message_id in scopes
    )


def _write(work: Iterable[_Post], now: datetime) -> None:
    rows: list[dict[str, Any]] = []
    for post in work:
        status, error, due_at = _verdict(post, now)
        rows.append({"id": post.row.pk, "status": status.value, "error": error, "due_at": due_at})
    _POSTS.write(rows)


def _verdict(post: _Post, now: datetime) -> tuple[RawStatus, str, datetime]:
    """Return status, reason and due time of a post after work."""
    if post.fault:
        return RawStatus.FAILED, post.fault, now
    if post.waiting:
        return RawStatus.NEW, f"{post.waiting} of {len(post.heard)} wait for a worker", now + SOON
    if post.strangers:
        status = RawStatus.NEW if now < post.row.patient_until else RawStatus.UNMATCHED
        text = f"{post.strangers} of {len(post.heard)} belong to no mail that this account sent"
        return status, text, now + wait_after(post.row.attempts)
    return RawStatus.DONE, "", now


def _note_last(work: Iterable[_Post]) -> None:
    """Note when each source told something, without writing a row for every post."""
    latest: dict[UUID, datetime] = {}
    for post in work:
        row = post.row
        latest[row.source_id] = max(latest.get(row.source_id, row.received_at), row.received_at)
    for source_id, at in sorted(latest.items()):
        EventSource.objects.filter(
            Q(last_event_at=None) | Q(last_event_at__lt=at - _LAST_SECONDS), pk=source_id
        ).update(last_event_at=at)
