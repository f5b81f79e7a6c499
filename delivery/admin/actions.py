"""What an operator may do to messages: hold, release, retry, cancel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from accounts.admin.console import counted
from delivery.admin.wording import refusals
from delivery.models import Message
from delivery.services import change
from delivery.states import RETRIABLE, STOPPABLE, Status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from delivery.services.change import Change


class _Service(Protocol):
    def __call__(self, *, ids: Collection[UUID], actor: str) -> Change:
        """Move the messages."""


@dataclass(frozen=True)
class Operation:
    """One move, in words."""

    name: str
    label: str
    icon: str
    #: “3 …”: what the moved messages then are.
    done: str
    effect: str
    allowed: frozenset[Status]
    service: _Service
    is_dangerous: bool = False

    def question(self, count: int) -> str:
        """Return what to ask before it is done."""
        return f"{self.label} {counted(count, 'message')}?"


OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(
            "hold",
            "Hold",
            "pause",
            "held",
            "They stay where they are until somebody releases them; they can still expire.",
            frozenset(STOPPABLE - {Status.HELD}),
            change.hold,
        ),
        Operation(
            "release",
            "Release",
            "play_arrow",
            "released",
            "They are sent now, or at the time they were scheduled for.",
            frozenset({Status.HELD}),
            change.release,
        ),
        Operation(
            "retry",
            "Retry",
            "replay",
            "queued again",
            "They are sent again now, with fresh attempts. Recipients that were already served are "
            "not served again; a message of unknown outcome may arrive twice.",
            frozenset(RETRIABLE),
            change.retry,
        ),
        Operation(
            "cancel",
            "Cancel",
            "cancel",
            "cancelled",
            "They are withdrawn and not sent, unless somebody retries them.",
            frozenset(STOPPABLE),
            change.cancel,
            is_dangerous=True,
        ),
    )
}


def forecast(operation: Operation, ids: Sequence[UUID]) -> str:
    """Return what the operation would do to these messages as they are now."""
    statuses = list(Message.objects.filter(pk__in=ids).order_by().values_list("status", flat=True))
    refused = [status for status in statuses if Status(status) not in operation.allowed]
    if not refused:
        return operation.effect
    if len(refused) == len(statuses):
        return f"None of them can be {operation.done}: {refusals(refused)}."
    able = len(statuses) - len(refused)
    able_part = f"{able} of {len(statuses)} can be {operation.done}: {refusals(refused)}."
    return f"{able_part} {operation.effect}"


def report(operation: Operation, outcome: Change) -> str:
    """Return the result: “3 cancelled, 1 could not be: it is sent already”."""
    done = f"{len(outcome.changed)} {operation.done}"
    if not outcome.refused:
        return f"{done}."
    return f"{done}, {len(outcome.refused)} could not be: {refusals(outcome.refused.values())}."
