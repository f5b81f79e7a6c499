"""Making accounts and messages for tests, through the services that everybody uses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from delivery.intake import Limits, parse_message
from delivery.models import Message
from delivery.queue.drain import DrainReport, drain_lane
from delivery.services.accept import Sender, queue_message
from delivery.states import Lane
from providers.models import Provider


def smtp_account(port: int, **fields: Any) -> Provider:
    """An account at a local server without TLS or login."""
    settings = {"host": "127.0.0.1", "port": port, "timeout_seconds": 5} | fields.pop(
        "settings", {}
    )
    defaults = {"name": f"server {port}", "kind": "smtp", "from_email": "shop@example.com"}
    return Provider.objects.create(settings=settings, **defaults | fields)


def simulator(*rules: dict[str, Any], **fields: Any) -> Provider:
    """An account that does as its rules say."""
    defaults = {"name": "simulator", "kind": "simulator", "from_email": "shop@example.com"}
    return Provider.objects.create(settings={"rules": list(rules)}, **defaults | fields)


def queue(
    user: User, *, is_test: bool = False, from_email: str | None = None, **fields: Any
) -> Message:
    """Accept a message as the API would."""
    data = {"to": "bob@example.net", "subject": "Hello", "text": "Hi Bob"} | fields
    if from_email is not None:
        data["from"] = from_email
    message = parse_message(data, now=timezone.now(), limits=Limits())
    accepted = queue_message(message=message, sender=Sender(user.pk, is_test=is_test))
    return Message.objects.get(pk=accepted.message_id)


def unwritable(user: User, **fields: Any) -> Message:
    """Accept a message that can then not be written: acceptance refuses what it sees itself."""
    message = queue(user, text="{{ n | divided_by: m }}", context={"n": 1, "m": 1}, **fields)
    Message.objects.filter(pk=message.pk).update(context={"n": 1, "m": 0})
    message.refresh_from_db()
    return message


def drain(lane: Lane = Lane.TRANSACTIONAL, *, seconds: float = 20) -> DrainReport:
    """Drain a lane in this process."""
    return drain_lane(lane=lane, worker="test", seconds=seconds)


def make_due(*ids: UUID) -> None:
    """Let the wait of messages be over."""
    Message.objects.filter(pk__in=ids).update(due_at=timezone.now() - timedelta(seconds=1))


def force_status(message: Message, status: str, **fields: Any) -> None:
    """Put a message into any state, past the guard that allows only moves of the table."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        Message.objects.filter(pk=message.pk).update(status=status, **fields)
        cursor.execute("SET LOCAL session_replication_role = origin")
    message.refresh_from_db()
