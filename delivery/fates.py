"""What news means for recipients and for their message: a pure decision.

News comes in any order and more than once. Each kind has a rank, a recipient's state is the highest
rank heard of, and the message's status follows from its recipients' states: the end is the same
whatever came first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from delivery.states import TRANSITIONS, EventKind, Status
from mailservice.core.addresses import normalized

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_STATE_OF = {
    EventKind.DELIVERED: Status.DELIVERED,
    EventKind.BOUNCED: Status.BOUNCED,
    EventKind.SOFT_BOUNCED: Status.BOUNCED,
    EventKind.COMPLAINED: Status.COMPLAINED,
}
_RANK = {Status.SENT: 1, Status.DELIVERED: 2, Status.BOUNCED: 3, Status.COMPLAINED: 4}
#: Whatever is told of these, they did not get the mail through us.
_NOT_SERVED = frozenset({Status.SUPPRESSED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})
#: Nor does what is told of the mail as a whole hold for those in doubt, but for those who have it.
_UNMOVED = _NOT_SERVED | {Status.UNKNOWN}
_AFTER_SENDING = frozenset(_RANK)


@dataclass(frozen=True, slots=True)
class Told:
    """What one piece of news says."""

    kind: EventKind
    #: In normal form; empty for every recipient.
    recipient: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fate:
    """What a message has come to."""

    status: Status
    #: See `Message.recipients`.
    recipients: list[dict[str, Any]]
    #: Why it bounced, or who complained; empty if neither.
    error: str = ""


def fate_after(
    status: Status, recipients: Sequence[Mapping[str, Any]], told: Iterable[Told]
) -> Fate | None:
    """Return what a message becomes after news of it, or None if nothing changes."""
    told = list(told)
    is_proven = status is Status.UNKNOWN and _proves_sending(recipients, told)
    present = Status.SENT if is_proven else status
    states = [_state(entry, present) for entry in recipients]
    reasons: dict[int, str] = {}
    for one in told:
        proven = _STATE_OF.get(one.kind)
        if proven is None:
            continue
        for place, entry in enumerate(recipients):
            if one.recipient not in ("", normalized(entry["a"])) or states[place] in _UNMOVED:
                continue
            if _RANK[proven] > _RANK.get(states[place], 0):
                states[place] = proven
                reasons[place] = one.detail
    after = _status_of(states) if present in _AFTER_SENDING else present
    if after not in TRANSITIONS[status]:
        after = status
    marked = [
        _marked(entry, state, after, reasons.get(place))
        for place, (entry, state) in enumerate(zip(recipients, states, strict=True))
    ]
    if after is status and marked == list(recipients):
        return None
    is_bad = after in (Status.BOUNCED, Status.COMPLAINED) and after is not status
    return Fate(after, marked, next(filter(None, reasons.values()), "") if is_bad else "")


def _proves_sending(recipients: Sequence[Mapping[str, Any]], told: Iterable[Told]) -> bool:
    """Tell whether news of a mail of unknown outcome shows that it was sent.

    It does if it is of somebody in doubt; where only some are, news of no one's name does not.
    """
    doubtful = {normalized(entry["a"]) for entry in recipients if not entry.get("s")}
    is_of_all = len(doubtful) == len(recipients)
    return any(one.recipient in doubtful or (is_of_all and not one.recipient) for one in told)


def _state(entry: Mapping[str, Any], present: Status) -> Status:
    return Status(entry["s"]) if entry.get("s") else present


def _status_of(states: Iterable[Status]) -> Status:
    """Return the status of a sent message from its recipients' states.

    One complaint is a complaint about the mail. It bounced if it came back from everybody it went
    to; it is delivered when it came back from some and all others have it.
    """
    served = set(states) - _NOT_SERVED
    if Status.COMPLAINED in served:
        return Status.COMPLAINED
    if served == {Status.BOUNCED}:
        return Status.BOUNCED
    if served and served <= {Status.DELIVERED, Status.BOUNCED}:
        return Status.DELIVERED
    return Status.SENT


def _marked(
    entry: Mapping[str, Any], state: Status, status: Status, reason: str | None
) -> dict[str, Any]:
    """Return the recipient with its state where that differs from the message's."""
    fresh = {key: entry[key] for key in ("k", "a", "n") if key in entry}
    if state is not status:
        fresh["s"] = state.value
    why = entry.get("r") if reason is None else reason
    if why and (state is not status or reason is None):
        fresh["r"] = why[:500]
    return fresh
