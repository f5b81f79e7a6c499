"""What an attempt's result means for its message: a pure decision.

Input is the claimed message, the policy of its type and the result; output is the row's next state,
complete, so that recording is one statement for many messages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from delivery.retries import RetryPolicy, next_attempt_at
from delivery.states import Status
from mailservice.core.addresses import normalized
from providers.bounces import classify
from providers.ports import Outcome, Reason, RecipientResult, Reply, SendResult

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from delivery.queue.claims import Claimed

#: A message of unknown outcome whose type prefers twice to never is sent again after so long.
UNKNOWN_WAIT = timedelta(minutes=15)
#: Recipient states that need no further attempt.
RESOLVED = frozenset({"sent", "delivered", "bounced", "failed", "suppressed", "complained"})
#: Recipient states that mean: the mail reached the provider.
SERVED = frozenset({"sent", "delivered", "complained"})
#: State and reason of a recipient who still needs an attempt.
_OPEN = ("", "")
#: Ends of a message that may not be the end of each recipient.
_PARTING = frozenset({Status.BOUNCED, Status.FAILED, Status.SUPPRESSED, Status.UNKNOWN})
#: Reasons of a rejection that speak of the recipient, not of the mail.
_RECIPIENT_REASONS = frozenset({Reason.BAD_RECIPIENT, Reason.MAILBOX})


@dataclass(frozen=True, slots=True)
class Step:
    """The state a message moves to."""

    status: Status
    error: str = ""
    #: When a waiting message becomes due.
    due_at: datetime | None = None
    #: The new recipients value, or None if nothing differs per recipient.
    recipients: list[dict[str, Any]] | None = None


def unresolved(recipients: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the recipients that still need an attempt."""
    return [entry for entry in recipients if entry.get("s") not in RESOLVED]


def after_attempt(
    message: Claimed, result: SendResult, *, policy: RetryPolicy, now: datetime, jitter: float
) -> Step:
    """Return where the message goes after `result`."""
    in_doubt = _in_doubt(message, result, policy=policy, now=now)
    if in_doubt is not None:
        return in_doubt
    if not result.recipients:
        step = _uniform(message, result, policy=policy, now=now, jitter=jitter)
        return step if step.status is Status.SENT else _mark_all(message, step)
    return _mixed(message, result, policy=policy, now=now, jitter=jitter)


def _in_doubt(
    message: Claimed, result: SendResult, *, policy: RetryPolicy, now: datetime
) -> Step | None:
    """Return the step of a mail of which some or all recipients may have it; None if none may.

    What is known of the others is kept: they are not sent to again. A recipient who was put off
    shares the fate of those in doubt, for the message has one state.
    """
    unknown = [item for item in result.recipients if item.outcome is Outcome.UNKNOWN]
    if result.outcome is not Outcome.UNKNOWN and not unknown:
        return None
    due_at = now + UNKNOWN_WAIT if policy.resends_unknown else None
    line = _recipient_line(unknown[0]) if unknown else line_of(result)
    if not result.recipients:
        return Step(Status.UNKNOWN, error=line, due_at=due_at)
    fates = {normalized(item.address): _settled(item) for item in result.recipients}
    default = ("sent", "") if result.outcome is Outcome.ACCEPTED else _OPEN
    marked = _mark(message, fates, default=default)
    return Step(Status.UNKNOWN, error=line, due_at=due_at, recipients=marked)


def _settled(item: RecipientResult) -> tuple[str, str]:
    """Return a recipient's state and why, both empty if there is more to come."""
    if item.outcome in (Outcome.UNKNOWN, Outcome.NOT_ACCEPTED):
        return _OPEN
    return _fate(item), _recipient_line(item)


def complete(message: Claimed, step: Step) -> Step:
    """Return the step with the state of every recipient, if they have not all come to the same.

    A step that has none says so of all: then the row's status is everybody's.
    """
    if step.recipients is not None or step.status not in _PARTING:
        return step
    if not any(entry.get("s") for entry in message.recipients):
        return step
    if step.status is Status.UNKNOWN:
        return replace(step, recipients=message.recipients)
    if all(normalized(entry["a"]) in message.withheld for entry in message.recipients):
        return step
    marked = _mark(message, {}, default=(step.status.value, step.error))
    return replace(step, recipients=marked)


def dead_addresses(message: Claimed, result: SendResult) -> list[tuple[str, str]]:
    """Return whom a rejection proves dead, in normal form, each with what was said.

    `result` is that of the attempt by which `message` ends its claim.
    """
    if result.recipients:
        return [
            (normalized(item.address), words_of(item.reply))
            for item in result.recipients
            if _is_dead(item)
        ]
    if not _is_dead(result):
        return []
    # Each was refused for itself, and they are dead or alive together: see
    # `providers.adapters.outcomes.combine`.
    line = words_of(result.reply)
    return [(normalized(entry["a"]), line) for entry in unresolved(message.recipients)]


def _is_dead(item: SendResult | RecipientResult) -> bool:
    if item.outcome is not Outcome.REJECTED or item.reason not in _RECIPIENT_REASONS:
        return False
    reply = item.reply
    return classify(reply.code, reply.enhanced_code, reply.text, is_permanent=True).is_hard


def words_of(reply: Reply) -> str:
    """Return a reply in one line."""
    return _words(reply.code, reply.enhanced_code, reply.text, "")


def _uniform(
    message: Claimed, result: SendResult, *, policy: RetryPolicy, now: datetime, jitter: float
) -> Step:
    if result.outcome is Outcome.ACCEPTED:
        is_partial = any(entry.get("s") for entry in message.recipients)
        marked = _mark(message, {}, default=("sent", "")) if is_partial else None
        return Step(Status.SENT, recipients=marked)
    if result.outcome is Outcome.REJECTED:
        status = Status.BOUNCED if result.reason in _RECIPIENT_REASONS else Status.FAILED
        return Step(status, error=line_of(result))
    moment = next_attempt_at(
        now=now,
        created_at=message.created_at,
        expires_at=message.expires_at,
        attempts=message.attempt,
        reason=result.reason,
        retry_after_seconds=result.retry_after_seconds,
        policy=policy,
        jitter=jitter,
    )
    if moment is not None:
        return Step(Status.RETRY, error=line_of(result), due_at=moment)
    return Step(
        Status.FAILED, error=f"Given up after {message.attempt} attempts: {line_of(result)}"
    )


def _mark_all(message: Claimed, step: Step) -> Step:
    """Where some recipients were served earlier, the end of the others does not undo that."""
    served = any(entry.get("s") in SERVED for entry in message.recipients)
    if not served or step.status is Status.RETRY:
        return step
    marked = _mark(message, {}, default=(step.status.value, step.error))
    return Step(Status.SENT, error=step.error, recipients=marked)


def _mixed(
    message: Claimed, result: SendResult, *, policy: RetryPolicy, now: datetime, jitter: float
) -> Step:
    """Settle each recipient; the message waits while one of them may yet be served."""
    differing = {normalized(item.address): item for item in result.recipients}
    deferred = [item for item in result.recipients if item.outcome is Outcome.NOT_ACCEPTED]
    wait = _wait(message, result, deferred, policy=policy, now=now, jitter=jitter)
    default = ("sent", "") if result.outcome is Outcome.ACCEPTED else ("failed", line_of(result))
    fates = {}
    for address, item in differing.items():
        if item.outcome is Outcome.NOT_ACCEPTED and wait is not None:
            fates[address] = _OPEN
        else:
            fates[address] = (_fate(item), _recipient_line(item))
    marked = _mark(message, fates, default=default)
    error = _recipient_line(result.recipients[0])
    if wait is not None:
        return Step(Status.RETRY, error=error, due_at=wait, recipients=marked)
    states = {entry.get("s") for entry in marked}
    if states & SERVED:
        return Step(Status.SENT, error=error, recipients=marked)
    status = Status.BOUNCED if "bounced" in states else Status.FAILED
    return Step(status, error=error, recipients=marked)


def _wait(
    message: Claimed,
    result: SendResult,
    deferred: Sequence[RecipientResult],
    *,
    policy: RetryPolicy,
    now: datetime,
    jitter: float,
) -> datetime | None:
    if not deferred:
        return None
    return _uniform(
        message,
        replace(result, outcome=Outcome.NOT_ACCEPTED, reason=deferred[0].reason, recipients=()),
        policy=policy,
        now=now,
        jitter=jitter,
    ).due_at


def _mark(
    message: Claimed, fates: dict[str, tuple[str, str]], *, default: tuple[str, str]
) -> list[dict[str, Any]]:
    marked = []
    for entry in message.recipients:
        if entry.get("s") in RESOLVED:
            marked.append(entry)
            continue
        state, why = fates.get(normalized(entry["a"]), default)
        fresh: dict[str, Any] = {key: entry[key] for key in ("k", "a", "n") if key in entry}
        if state:
            fresh["s"] = state
        if why:
            fresh["r"] = why
        marked.append(fresh)
    return marked


def _fate(item: RecipientResult) -> str:
    if item.outcome is Outcome.ACCEPTED:
        return "sent"
    is_bounce = item.outcome is Outcome.REJECTED and item.reason in _RECIPIENT_REASONS
    return "bounced" if is_bounce else "failed"


def line_of(result: SendResult) -> str:
    """Return what was said, in one line."""
    return _words(result.reply.code, result.reply.enhanced_code, result.reply.text, result.reason)


def _recipient_line(item: RecipientResult) -> str:
    if item.outcome is Outcome.ACCEPTED:
        return ""
    line = _words(item.reply.code, item.reply.enhanced_code, item.reply.text, item.reason)
    return f"{item.address}: {line}"[:500]


def _words(code: int, enhanced_code: str, text: str, reason: str) -> str:
    parts = [str(code) if code else "", enhanced_code, text]
    line = " ".join(part for part in parts if part)
    return (line or reason or "no answer")[:500]
