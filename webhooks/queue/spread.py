"""What happened becomes occurrences and deliveries, by the many and all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from delivery.announcements import take_announcements
from delivery.models import Attempt, Event, Message
from delivery.selectors import SUMMARY_FIELDS
from mailservice.core.ids import uuid7
from mailservice.core.sql import database_now
from webhooks.models import DeliveryState, Endpoint
from webhooks.queue.payloads import body_of, message_data
from webhooks.tables import DELIVERY, DELIVERY_ROWS, OCCURRENCE, OCCURRENCE_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from delivery.announcements import Announced

#: Announcements taken in one transaction.
BATCH = 500


class Happening:
    """Something that happened, ready to be written."""

    __slots__ = ("at", "data", "kind", "message_id", "owner_id")

    def __init__(
        self,
        *,
        kind: str,
        owner_id: UUID,
        at: datetime,
        data: Mapping[str, Any],
        message_id: UUID | None = None,
    ) -> None:
        self.kind = kind
        self.owner_id = owner_id
        self.at = at
        self.data = data
        self.message_id = message_id


def spread(limit: int = BATCH) -> int:
    """Take announcements and write who is to be told of them; return how many were taken."""
    with transaction.atomic():
        taken = take_announcements(limit)
        if not taken:
            return 0
        endpoints = list(Endpoint.objects.listening().defer("secret", "previous_secret"))
        if endpoints:
            write_happenings(_happenings(taken, endpoints), endpoints)
        return len(taken)


def write_happenings(happenings: Iterable[Happening], endpoints: Sequence[Endpoint]) -> int:
    """Write the occurrences that an endpoint wants and their deliveries; return how many of these.

    Within the caller's transaction.
    """
    now = database_now()
    occurrences, deliveries = [], []
    for one in happenings:
        takers = [each for each in endpoints if each.wants(one.kind, one.owner_id)]
        if not takers:
            continue
        occurrence_id = uuid7()
        occurrences.append(
            {
                "id": occurrence_id,
                "kind": one.kind,
                "owner_id": one.owner_id,
                "message_id": one.message_id,
                "payload": body_of(one.kind, one.at, one.data),
                "at": one.at,
                "created_at": now,
            }
        )
        deliveries += [delivery_row(each.pk, occurrence_id, due_at=now) for each in takers]
    OCCURRENCE_ROWS.insert(OCCURRENCE, occurrences)
    return DELIVERY_ROWS.insert(DELIVERY, deliveries)


def delivery_row(endpoint_id: UUID, occurrence_id: UUID, *, due_at: datetime) -> dict[str, Any]:
    """Return a delivery to be written."""
    return {
        "id": uuid7(),
        "endpoint_id": endpoint_id,
        "occurrence_id": occurrence_id,
        "status": DeliveryState.PENDING.value,
        "attempts": 0,
        "due_at": due_at,
        "last_code": 0,
        "last_error": "",
    }


def _happenings(taken: Sequence[Announced], endpoints: Sequence[Endpoint]) -> Iterable[Happening]:
    messages = _messages({one.message_id for one in taken})
    wanted = [
        one
        for one in taken
        if one.message_id in messages
        and any(each.wants(one.kind, messages[one.message_id]["owner_id"]) for each in endpoints)
    ]
    events = Event.objects.in_bulk([one.event_id for one in wanted if one.event_id])
    attempts = _last_attempts({one.message_id for one in wanted if one.event_id is None})
    for one in wanted:
        row = messages[one.message_id]
        yield Happening(
            kind=one.kind,
            owner_id=row["owner_id"],
            message_id=one.message_id,
            at=one.at,
            data=message_data(
                one.kind,
                row,
                event=events.get(one.event_id) if one.event_id else None,
                attempt=attempts.get(one.message_id),
            ),
        )


def _messages(ids: set[UUID]) -> dict[UUID, dict[str, Any]]:
    rows = Message.objects.filter(pk__in=list(ids)).order_by()
    return {row["id"]: row for row in rows.values(*SUMMARY_FIELDS, "context", "owner_id")}


def _last_attempts(ids: set[UUID]) -> dict[UUID, Attempt]:
    if not ids:
        return {}
    found = Attempt.objects.filter(message_id__in=list(ids)).defer("dialogue")
    last = found.order_by("message_id", "-id").distinct("message_id")
    return {attempt.message_id: attempt for attempt in last}
