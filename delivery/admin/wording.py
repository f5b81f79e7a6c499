"""Messages in words and colours."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from delivery.states import EventKind, Status
from providers.ports import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Colour of a status, in the theme's names.
TONES: Mapping[str, str] = {
    Status.SCHEDULED.value: "info",
    Status.QUEUED.value: "primary",
    Status.SENDING.value: "primary",
    Status.RETRY.value: "warning",
    Status.HELD.value: "warning",
    Status.UNKNOWN.value: "warning",
    Status.SENT.value: "success",
    Status.DELIVERED.value: "success",
    Status.BOUNCED.value: "danger",
    Status.COMPLAINED.value: "danger",
    Status.FAILED.value: "danger",
    Status.CANCELLED.value: "",
    Status.EXPIRED.value: "",
    Status.SUPPRESSED.value: "",
}

OUTCOMES: Mapping[str, tuple[str, str]] = {
    Outcome.ACCEPTED.value: ("Accepted", "success"),
    Outcome.NOT_ACCEPTED.value: ("Not accepted", "warning"),
    Outcome.REJECTED.value: ("Rejected", "danger"),
    Outcome.UNKNOWN.value: ("Outcome unknown", "warning"),
}

REASONS: Mapping[str, str] = {
    Reason.BAD_RECIPIENT.value: "the mailbox does not exist",
    Reason.MAILBOX.value: "the mailbox is full or closed",
    Reason.CONTENT.value: "content, size or policy",
    Reason.GREYLISTED.value: "greylisting: later, please",
    Reason.THROTTLED.value: "too fast or too much",
    Reason.AUTHENTICATION.value: "login refused",
    Reason.SETUP.value: "its credentials cannot be read, or its settings are wrong",
    Reason.CONNECTION.value: "no usable connection",
    Reason.LOST_AFTER_DATA.value: "connection lost after the data",
    Reason.OTHER.value: "other",
}

EVENT_TONES: Mapping[str, tuple[str, str]] = {
    EventKind.SCHEDULED.value: ("schedule", "info"),
    EventKind.CANCELLED.value: ("cancel", ""),
    EventKind.RESCHEDULED.value: ("update", "info"),
    EventKind.HELD.value: ("pause", "warning"),
    EventKind.RELEASED.value: ("play_arrow", "info"),
    EventKind.RETRIED.value: ("replay", "info"),
    EventKind.EXPIRED.value: ("timer_off", ""),
    EventKind.SUPPRESSED.value: ("block", ""),
    EventKind.LEASE_EXPIRED.value: ("sync_problem", "warning"),
    EventKind.DEFERRED.value: ("hourglass", "warning"),
    EventKind.FAILED.value: ("error", "danger"),
    EventKind.RESOLVED.value: ("help", "info"),
    EventKind.DELIVERED.value: ("mark_email_read", "success"),
    EventKind.DELAYED.value: ("hourglass", "warning"),
    EventKind.BOUNCED.value: ("undo", "danger"),
    EventKind.SOFT_BOUNCED.value: ("undo", "warning"),
    EventKind.COMPLAINED.value: ("report", "danger"),
    EventKind.OPENED.value: ("drafts", "success"),
    EventKind.CLICKED.value: ("ads_click", "success"),
    EventKind.UNSUBSCRIBED.value: ("unsubscribe", "warning"),
    EventKind.RESUBSCRIBED.value: ("person_add", "info"),
    EventKind.AUTO_REPLIED.value: ("smart_toy", "info"),
}

_IS_NOW = {
    Status.SCHEDULED.value: "only scheduled",
    Status.QUEUED.value: "queued already",
    Status.SENDING.value: "being sent right now",
    Status.RETRY.value: "waiting to retry",
    Status.HELD.value: "held already",
    Status.UNKNOWN.value: "of unknown outcome",
    Status.SENT.value: "sent already",
    Status.DELIVERED.value: "delivered already",
    Status.BOUNCED.value: "bounced",
    Status.COMPLAINED.value: "complained about",
    Status.FAILED.value: "failed",
    Status.CANCELLED.value: "cancelled already",
    Status.EXPIRED.value: "expired",
    Status.SUPPRESSED.value: "suppressed",
}


def refusals(statuses: Iterable[str]) -> str:
    """Return why messages could not move: “it is sent already”, “2 are bounced, 1 is failed”."""
    counts = Counter(statuses)
    if counts.total() == 1:
        return f"it is {_IS_NOW.get(next(iter(counts)), 'gone')}"
    return ", ".join(
        f"{count} {'is' if count == 1 else 'are'} {_IS_NOW.get(status, 'gone')}"
        for status, count in counts.most_common()
    )
