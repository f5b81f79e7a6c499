"""What bulk statements write, in one place."""

from __future__ import annotations

from mailservice.core.sql import RecordSet

OCCURRENCE, DELIVERY, ATTEMPT = "webhooks_occurrence", "webhooks_delivery", "webhooks_attempt"

OCCURRENCE_ROWS = RecordSet(
    {
        "id": "uuid",
        "kind": "text",
        "owner_id": "uuid",
        "message_id": "uuid",
        "payload": "jsonb",
        "at": "timestamptz",
        "created_at": "timestamptz",
    }
)
DELIVERY_ROWS = RecordSet(
    {
        "id": "uuid",
        "endpoint_id": "uuid",
        "occurrence_id": "uuid",
        "status": "text",
        "attempts": "smallint",
        "due_at": "timestamptz",
        "last_code": "smallint",
        "last_error": "text",
    }
)
ATTEMPT_ROWS = RecordSet(
    {
        "id": "uuid",
        "delivery_id": "uuid",
        "at": "timestamptz",
        "duration_ms": "integer",
        "code": "smallint",
        "response": "text",
        "error": "text",
    }
)
