"""The hot tables as record sets: what the bulk statements write, in one place."""

from mailservice.core.sql import RecordSet

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
        "template_version_id": "uuid",
        "track_opens": "boolean",
        "track_clicks": "boolean",
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
    }
)
