"""What is told of single recipients, where a message's recipients do not all come to the same.

A message whose recipients share one end is told of as a whole, by the change of its status. Where
some are refused, given up or suppressed beside others, each of them has an event: a pure decision,
of which the overwhelming part of all mail costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from delivery.queue.outcomes import RESOLVED, words_of
from delivery.states import EventKind
from mailservice.core.addresses import normalized
from mailservice.core.ids import uuid7
from providers.bounces import classify, status_in
from providers.ports import Outcome, RecipientResult, SendResult

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from delivery.queue.claims import Claimed
    from delivery.queue.outcomes import Step

#: By the recipient's state; whoever was served hears of it from the provider's events.
_KINDS = {
    EventKind.BOUNCED.value: EventKind.BOUNCED,
    EventKind.FAILED.value: EventKind.FAILED,
    EventKind.SUPPRESSED.value: EventKind.SUPPRESSED,
}


def parted_events(
    message: Claimed, step: Step, result: SendResult | None, *, now: datetime
) -> list[dict[str, Any]]:
    """Return the events, as rows, of recipients that came to an end of their own by this step.

    `step` is complete (`outcomes.complete`), `result` that of the attempt which led to it; None if
    something else did.
    """
    if step.recipients is None:
        return []
    ends = {
        normalized(fresh["a"]): fresh
        for known, fresh in zip(message.recipients, step.recipients, strict=True)
        if fresh.get("s") in _KINDS and _is_news(message, known)
    }
    return [_row(message, address, entry, result, now) for address, entry in ends.items()]


def _is_news(message: Claimed, known: Mapping[str, Any]) -> bool:
    """Tell whether the recipient had no end before this claim."""
    return known.get("s") not in RESOLVED or normalized(known["a"]) in message.withheld


def _row(
    message: Claimed,
    address: str,
    entry: Mapping[str, Any],
    result: SendResult | None,
    now: datetime,
) -> dict[str, Any]:
    kind = _KINDS[entry["s"]]
    if kind is EventKind.SUPPRESSED:
        detail, data = "It is on a suppression list.", None
    else:
        detail, data = _told(message, entry, _result_of(address, result))
    return {
        "id": uuid7(),
        "message_id": message.id,
        "kind": kind.value,
        "recipient": address[:320],
        "at": now,
        "actor": "",
        "detail": detail,
        "data": data,
    }


def _result_of(address: str, result: SendResult | None) -> SendResult | RecipientResult | None:
    if result is None:
        return None
    own = (item for item in result.recipients if normalized(item.address) == address)
    return next(own, result)


def _told(
    message: Claimed, entry: Mapping[str, Any], item: SendResult | RecipientResult | None
) -> tuple[str, dict[str, str] | None]:
    """Return in words, and for programs, why a recipient got nothing."""
    if item is None or not (item.reply.code or item.reply.text):
        return entry.get("r", "").removeprefix(f"{entry['a']}: "), None
    reply = item.reply
    detail = words_of(reply)
    if item.outcome is Outcome.NOT_ACCEPTED:
        detail = f"Given up after {message.attempt} attempts: {detail}"
    is_final = item.outcome is Outcome.REJECTED
    verdict = classify(reply.code, reply.enhanced_code, reply.text, is_permanent=is_final)
    code = reply.enhanced_code or status_in(reply.text) or str(reply.code or "")
    return detail, verdict.data | ({"code": code} if code else {})
