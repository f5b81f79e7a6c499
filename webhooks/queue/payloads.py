"""What receivers read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from delivery.selectors import subject_of
from delivery.states import Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from delivery.models import Attempt, Event


#: What a message came to because it was refused.
_REFUSED = frozenset({Status.BOUNCED.value, Status.FAILED.value})


def body_of(kind: str, at: datetime, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a request, as Standard Webhooks has it."""
    return {"type": kind, "timestamp": at.isoformat(), "data": dict(data)}


def message_data(
    kind: str, row: Mapping[str, Any], *, event: Event | None, attempt: Attempt | None
) -> dict[str, Any]:
    """Return what is told of a message: first what happened, then what it is.

    `row` has `delivery.selectors.SUMMARY_FIELDS` and `context`; `event` is what was told of it,
    `attempt` the last one, for a change of its status.
    """
    return {
        **(_from_event(event, row) if event is not None else _from_attempt(kind, row, attempt)),
        "email_id": str(row["id"]),
        "to": _addresses(row, "to"),
        "cc": _addresses(row, "cc"),
        "subject": subject_of(row),
        "email_type": row["email_type_id"],
        "tags": row["tags"] or [],
        "metadata": row["metadata"] or {},
        "provider": row["provider__name"],
        "test": row["is_test"],
    }


def _from_event(event: Event, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **(event.data or {}),
        "event_id": str(event.pk),
        "status": event.kind,
        "recipient": event.recipient or _only_recipient(row),
        "detail": event.detail or None,
    }


def _from_attempt(kind: str, row: Mapping[str, Any], attempt: Attempt | None) -> dict[str, Any]:
    # The message may have moved on meanwhile: what is told is what happened then.
    status = kind.rpartition(".")[2]
    told: dict[str, Any] = {"status": status, "recipient": _only_recipient(row)}
    if status not in {Status.SENT, Status.CANCELLED}:
        told["error"] = row["error"] or None
    if attempt is not None:
        told |= {
            "attempt": attempt.number,
            "code": attempt.code or None,
            "enhanced_code": attempt.enhanced_code or None,
            "reply": attempt.reply or None,
            "reason": attempt.reason or None,
            "remote_id": attempt.remote_id or None,
        }
        if status in _REFUSED and attempt.refusal is not None:
            told |= attempt.refusal.data
    return told


def _only_recipient(row: Mapping[str, Any]) -> str | None:
    entries = row["recipients"]
    return entries[0]["a"] if len(entries) == 1 else None


def _addresses(row: Mapping[str, Any], kind: str) -> list[str]:
    return [entry["a"] for entry in row["recipients"] if entry["k"] == kind]
