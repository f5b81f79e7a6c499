"""The story of one message: acceptance, attempts and events in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from delivery.admin.wording import EVENT_TONES, OUTCOMES, REASONS
from delivery.states import EventKind
from providers.amounts import amount_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from delivery.models import Attempt, Event, Message

#: Of a message that was tried without end, the newest are shown.
MAX_ATTEMPTS, MAX_EVENTS = 100, 200


@dataclass(frozen=True)
class Entry:
    """One thing that happened."""

    at: datetime
    title: str
    icon: str
    tone: str = ""
    detail: str = ""
    actor: str = ""
    attempt: Attempt | None = None
    #: Code, enhanced code and text of the provider's answer.
    reply: str = ""
    #: What the attempt cost, in words; empty if it was free.
    cost: str = ""
    #: Why this account was chosen, or none: `RoutingDecision.body`.
    decision: Mapping[str, Any] | None = None


def timeline(
    message: Message,
    attempts: Iterable[Attempt],
    events: Iterable[Event],
    decisions: Mapping[UUID, Mapping[str, Any]],
) -> Sequence[Entry]:
    """Return everything that happened to a message, oldest first."""
    entries = [
        Entry(
            message.created_at,
            "Accepted",
            "input",
            "info",
            detail=_accepted(message),
            actor=f"key {message.api_key.name}" if message.api_key else "",
        )
    ]
    entries.extend(_attempt(attempt, decisions) for attempt in attempts)
    entries.extend(_event(event, decisions) for event in events)
    return sorted(entries, key=lambda entry: entry.at)


def _accepted(message: Message) -> str:
    if message.is_test:
        return "With a test key: everything runs as in earnest, but nothing is sent."
    return ""


def _attempt(attempt: Attempt, decisions: Mapping[UUID, Mapping[str, Any]]) -> Entry:
    outcome, tone = OUTCOMES.get(attempt.outcome, (attempt.outcome, ""))
    by = f" by {attempt.provider.name}" if attempt.provider else ""
    code = str(attempt.code) if attempt.code else ""
    return Entry(
        attempt.started_at,
        f"Attempt {attempt.number}: {outcome.lower()}{by}",
        {"success": "check", "danger": "close"}.get(tone, "priority_high"),
        tone,
        detail=REASONS.get(attempt.reason, ""),
        attempt=attempt,
        reply=" ".join(part for part in (code, attempt.enhanced_code, attempt.reply) if part),
        cost=amount_text(attempt.cost_nanos) if attempt.cost_nanos else "",
        decision=decisions.get(attempt.decision_id) if attempt.decision_id else None,
    )


def _event(event: Event, decisions: Mapping[UUID, Mapping[str, Any]]) -> Entry:
    icon, tone = EVENT_TONES.get(event.kind, ("info", ""))
    title = EventKind(event.kind).label if event.kind in EventKind.values else event.kind
    if event.recipient:
        title = f"{title}: {event.recipient}"
    actor = event.actor.removeprefix("user:")
    decision = decisions.get(event.decision_id) if event.decision_id else None
    return Entry(event.at, title, icon, tone, detail=event.detail, actor=actor, decision=decision)
