"""Posts of providers: checked, kept as they came, worked off later."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from inbound.adapters import posts, sns
from inbound.adapters.posts import ForgedError
from inbound.dispatch import wake_events
from inbound.models import EventSource, RawEvent, RawStatus
from inbound.services.batches import RowTable
from inbound.services.sources import hook_url, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from django.http import HttpRequest

#: So long events wait for a message that they belong to: workers record some time after the send.
PATIENCE = timedelta(minutes=10)
_MAX_HEADER_CHARS = 300


def receive(request: HttpRequest, source: EventSource) -> None:
    """Keep a genuine post. Raises `ForgedError`.

    Raises `OutgoingHttpError` if it cannot be told right now.
    """
    if source.provider.kind == "amazon_ses":
        _check_sns(request.body, source)
    else:
        url = hook_url(source) if source.provider.kind == "mandrill" else ""
        posts.check(request, kind=source.provider.kind, key=key_of(source), url=url)
    now = timezone.now()
    kept = {name: request.headers[name] for name in posts.KEPT_HEADERS if name in request.headers}
    with transaction.atomic():
        RawEvent(
            source_id=source.pk,
            received_at=now,
            content_type=_storable(request.META.get("CONTENT_TYPE", ""))[:200],
            headers={name: _storable(value) for name, value in kept.items()},
            body=request.body,
            due_at=now,
            patient_until=now + PATIENCE,
        ).save(force_insert=True)
        transaction.on_commit(wake_events)


def count_refusal(source: EventSource) -> None:
    """Count a post with a wrong address or signature."""
    EventSource.objects.filter(pk=source.pk).update(refused_count=F("refused_count") + 1)


def try_again(*, ids: Iterable[UUID]) -> int:
    """Have posts worked off once more, with new patience; return how many."""
    now = timezone.now()
    count = (
        RawEvent.objects.filter(pk__in=list(ids))
        .exclude(status=RawStatus.NEW)
        .update(status=RawStatus.NEW, attempts=0, due_at=now, patient_until=now + PATIENCE)
    )
    wake_events()
    return int(count)


def delete_old(*, now: datetime) -> int:
    """Forget posts older than `RAW_EVENT_DAYS`, in short statements; return how many."""
    return RowTable("inbound_rawevent").delete_before(now - timedelta(days=settings.RAW_EVENT_DAYS))


def _check_sns(body: bytes, source: EventSource) -> None:
    """Check a message of SNS; one that asks for the confirmation of a subscription gets it.

    Whoever tells a topic our address can have Amazon post here, so one topic alone is believed: the
    one set, or the first that was confirmed.
    """
    message = sns.parse(body)
    sns.check(message)
    topic = message["TopicArn"]
    is_asking = message["Type"] == sns.SUBSCRIPTION
    if source.topic_arn and topic != source.topic_arn:
        raise ForgedError("Another topic is believed here.")
    if not source.topic_arn and not is_asking:
        raise ForgedError("No topic has been confirmed yet.")
    if is_asking:
        sns.confirm(str(message.get("SubscribeURL")))
        mine = EventSource.objects.filter(Q(topic_arn="") | Q(topic_arn=topic), pk=source.pk)
        if not mine.update(topic_arn=topic[:300]):
            raise ForgedError("Another topic was confirmed just now.")


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "")[:_MAX_HEADER_CHARS]
