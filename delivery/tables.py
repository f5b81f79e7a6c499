"""The hot tables as record sets: what the bulk statements write, in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailservice.core.ids import uuid7
from mailservice.core.sql import RecordSet

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from delivery.states import EventKind

CONTENT = "delivery_content"
MESSAGE = "delivery_message"
ATTEMPT = "delivery_attempt"
EVENT = "delivery_event"

CONTENT_ROWS = RecordSet(
    {
        "id": "uuid",
        "from_email": "text",
        "from_name": "text",
        "reply_to": "jsonb",
        "subject": "text",
        "html": "text",
        "text": "text",
        "is_template": "boolean",
        "locale": "text",
        "inlines_css": "boolean",
        "template_version_id": "uuid",
        "track_opens": "boolean",
        "track_clicks": "boolean",
        "list_key": "text",
        "created_at": "timestamptz",
    }
)

MESSAGE_ROWS = RecordSet(
    {
        "id": "uuid",
        "content_id": "uuid",
        "owner_id": "uuid",
        "api_key_id": "uuid",
        "group_id": "uuid",
        "email_type": "text",
        "lane": "smallint",
        "priority": "smallint",
        "status": "text",
        "is_test": "boolean",
        "recipients": "jsonb",
        "addresses": "text[]",
        "context": "jsonb",
        "headers": "jsonb",
        "metadata": "jsonb",
        "tags": "text[]",
        "pinned_provider_id": "uuid",
        "sequence_key": "text",
        "awaits_turn": "boolean",
        "due_at": "timestamptz",
        "expires_at": "timestamptz",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
        "attempt_count": "smallint",
        "error": "text",
    }
)

ATTEMPT_ROWS = RecordSet(
    {
        "id": "uuid",
        "message_id": "uuid",
        "number": "smallint",
        "provider_id": "uuid",
        "decision_id": "uuid",
        "started_at": "timestamptz",
        "duration_ms": "integer",
        "outcome": "text",
        "reason": "text",
        "scope": "text",
        "code": "smallint",
        "enhanced_code": "text",
        "reply": "text",
        "remote_id": "text",
        "recipients": "jsonb",
        "dialogue": "text",
        "worker": "text",
        "cost_nanos": "bigint",
    }
)

EVENT_ROWS = RecordSet(
    {
        "id": "uuid",
        "message_id": "uuid",
        "kind": "text",
        "recipient": "text",
        "at": "timestamptz",
        "actor": "text",
        "detail": "text",
        "data": "jsonb",
    }
)


def write_events(
    message_ids: Iterable[UUID],
    kind: EventKind,
    at: datetime,
    *,
    actor: str = "",
    detail: str = "",
) -> None:
    """Write the same event for each of the messages."""
    EVENT_ROWS.insert(
        EVENT,
        [
            {
                "id": uuid7(),
                "message_id": message_id,
                "kind": kind.value,
                "recipient": "",
                "at": at,
                "actor": actor,
                "detail": detail,
                "data": None,
            }
            for message_id in message_ids
        ],
    )
