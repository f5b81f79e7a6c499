"""News for those who listen above this app, such as outgoing webhooks.

The database announces (`delivery.models.Announcement`) what happens to messages, in the transaction
in which it happens, if anybody listens to that kind. A listener takes announcements in a
transaction of its own, in which it writes what it makes of them: nothing is lost, nothing is told
twice, and who sends mail never waits for who listens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import connection, transaction

from delivery.models import Listener

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

#: Every kind there is: what the triggers of the first migration can tell.
KINDS = (
    "email.sent",
    "email.delivered",
    "email.delayed",
    "email.bounced",
    "email.soft_bounced",
    "email.complained",
    "email.failed",
    "email.expired",
    "email.suppressed",
    "email.cancelled",
    "email.unknown",
    "email.opened",
    "email.clicked",
    "email.unsubscribed",
    "email.resubscribed",
    "email.auto_replied",
)

_TAKE = """
DELETE FROM delivery_announcement WHERE id IN (
    SELECT id FROM delivery_announcement ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING id, kind, message_id, event_id, at
"""


@dataclass(frozen=True, slots=True)
class Announced:
    """One thing that happened to a message."""

    id: int
    kind: str
    message_id: UUID
    #: The event it tells of; None for a change of the message's status.
    event_id: UUID | None
    at: datetime


def listen_to(kinds: Collection[str]) -> None:
    """Have exactly these kinds announced from now on. Raises `ValueError` for an unknown one."""
    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise ValueError(f"No such announcements: {', '.join(sorted(unknown))}.")
    with transaction.atomic():
        Listener.objects.exclude(kind__in=list(kinds)).delete()
        Listener.objects.bulk_create([Listener(kind=kind) for kind in kinds], ignore_conflicts=True)


def take_announcements(limit: int) -> list[Announced]:
    """Take up to `limit` announcements, oldest first; they are back if the transaction fails.

    Call it within a transaction. Takers beside each other get different ones.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [limit])
        return sorted((Announced(*row) for row in cursor.fetchall()), key=lambda one: one.id)
