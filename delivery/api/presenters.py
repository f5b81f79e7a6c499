"""Messages, their history and files as the API shows them: plain functions, plain dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings

from delivery.api.links import download_url
from delivery.selectors import bodies_of, subject_of
from delivery.states import UNFINISHED, Status
from mailservice.core.addresses import Address, format_address
from providers.amounts import exact_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from delivery.models import Attachment, Attempt, Content, Event, Upload
    from delivery.selectors import History
    from delivery.services.accept import Accepted

_LABELS = {status.value: str(status.label) for status in Status}
_OPEN = frozenset(status.value for status in UNFINISHED)
_COLUMNS_OF_CONTENT = ("subject", "is_template", "locale", "from_email", "from_name", "reply_to")
#: What a message just accepted cannot have yet.
_FRESH = {"provider_id": None, "provider__name": None, "sent_at": None}


def accepted_row(accepted: Accepted) -> dict[str, Any]:
    """Return a message just accepted in the shape in which it would be read."""
    row = {**accepted.row, **_FRESH, "email_type_id": accepted.row["email_type"]}
    for name in _COLUMNS_OF_CONTENT:
        row[f"content__{name}"] = accepted.content[name]
    return row


def summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message in short; `row` has `delivery.selectors.SUMMARY_FIELDS` and `context`."""
    to, cc, bcc = _by_kind(row["recipients"])
    status = row["status"]
    is_open = status in _OPEN
    is_scheduled = status == "scheduled"
    return {
        "id": row["id"],
        "email_id": row["id"],
        "status": status,
        "status_description": _LABELS[status],
        "subject": subject_of(row),
        "sender": row["content__from_email"],
        "sender_name": row["content__from_name"],
        "recipients": to,
        "cc": cc,
        "bcc": bcc,
        "reply_to": [_address(item["email"], item["name"]) for item in row["content__reply_to"]],
        "priority": row["priority"],
        "email_type": row["email_type_id"],
        "tags": row["tags"] or [],
        "metadata": row["metadata"] or {},
        "test": row["is_test"],
        "retry_count": max(0, row["attempt_count"] - 1),
        "smtp_config": row["provider_id"] or row["pinned_provider_id"],
        "provider": row["provider__name"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "send_at": row["due_at"] if is_scheduled else None,
        "due_at": row["due_at"] if is_open else None,
        "sent_at": row["sent_at"],
        "expires_at": row["expires_at"],
        "sequence_key": row["sequence_key"] or None,
        "error_message": row["error"] or None,
        "batch_id": row["group_id"],
    }


def _by_kind(recipients: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str], list[str]]:
    to: list[str] = []
    cc: list[str] = []
    bcc: list[str] = []
    groups = {"to": to, "cc": cc, "bcc": bcc}
    for entry in recipients:
        groups[entry["k"]].append(_address(entry["a"], entry.get("n", "")))
    return to, cc, bcc


def _address(email: str, name: str) -> str:
    return format_address(Address(email, name)) if name else email


def detail(row: Mapping[str, Any], history: History) -> dict[str, Any]:
    """Return a message with its attempts, its recipients' fates, its events and files."""
    return {
        **summary(row),
        "cost": exact_text(sum(attempt.cost_nanos for attempt in history.attempts)),
        "currency": settings.CURRENCY,
        "recipient_status": [_recipient_status(entry, row) for entry in row["recipients"]],
        "attempts": [_attempt(attempt, history) for attempt in history.attempts],
        "events": _timeline(row, history),
        "attachments": [_file(attachment) for attachment in history.attachments],
    }


def _recipient_status(entry: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "address": entry["a"],
        "name": entry.get("n", ""),
        "kind": entry["k"],
        "status": entry.get("s") or row["status"],
        "reason": entry.get("r") or (row["error"] if not entry.get("s") else "") or None,
    }


def _attempt(attempt: Attempt, history: History) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "provider": {"id": attempt.provider_id, "name": attempt.provider.name}
        if attempt.provider is not None
        else None,
        "outcome": attempt.outcome,
        "reason": attempt.reason or None,
        "code": attempt.code or None,
        "enhanced_code": attempt.enhanced_code or None,
        "reply": attempt.reply or None,
        **_refusal(attempt),
        "remote_id": attempt.remote_id or None,
        "started_at": attempt.started_at,
        "duration_ms": attempt.duration_ms,
        "cost": exact_text(attempt.cost_nanos),
        "recipients": attempt.recipients or [],
        "routing": history.decisions.get(attempt.decision_id) if attempt.decision_id else None,
    }


def _refusal(attempt: Attempt) -> dict[str, str | None]:
    told = attempt.refusal.data if attempt.refusal is not None else {}
    return {"class": told.get("class"), "side": told.get("side")}


def _timeline(row: Mapping[str, Any], history: History) -> list[dict[str, Any]]:
    """Return all that happened in time order, each with `at` and `type`."""
    entries = [
        {"at": row["created_at"], "type": "accepted"},
        *(_attempt_entry(attempt) for attempt in history.attempts),
        *(_event_entry(event, history) for event in history.events),
    ]
    return sorted(entries, key=lambda entry: entry["at"])


def _attempt_entry(attempt: Attempt) -> dict[str, Any]:
    return {
        "at": attempt.started_at,
        "type": "attempt",
        "number": attempt.number,
        "outcome": attempt.outcome,
        "provider": attempt.provider.name if attempt.provider is not None else None,
        "detail": attempt.reply or None,
    }


def _event_entry(event: Event, history: History) -> dict[str, Any]:
    # Which operator acted is the company's own business; which key acted, its owner's.
    actor = "operator" if event.actor.startswith("user:") else event.actor
    return {
        "at": event.at,
        "type": event.kind,
        "recipient": event.recipient or None,
        "actor": actor or None,
        "detail": event.detail or None,
        "data": event.data if event.decision_id is None else None,
        "routing": history.decisions.get(event.decision_id) if event.decision_id else None,
    }


def _file(attachment: Attachment) -> dict[str, Any]:
    return {
        "id": attachment.pk,
        "filename": attachment.filename,
        "content_type": attachment.content_type,
        "size": attachment.blob.size_bytes,
        "disposition": attachment.disposition,
        "content_id": attachment.cid or None,
        "download_url": download_url(attachment.pk),
    }


def bodies(content: Content, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a message says to its recipients; the source where it cannot be filled."""
    html, text = bodies_of(content, row)
    return {"subject": subject_of(row), "html": html, "text": text}


def upload(item: Upload) -> dict[str, Any]:
    """Return an uploaded file, with a link that works for an hour."""
    return {
        "id": item.pk,
        "filename": item.filename,
        "content_type": item.content_type,
        "size": item.blob.size_bytes,
        "created_at": item.created_at,
        "expires_at": item.expires_at,
        "download_url": download_url(item.pk),
    }
