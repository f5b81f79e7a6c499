"""Recipients looked at before their mail is accepted, for requests that ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailservice.core.addresses import normalized
from mailservice.core.errors import InvalidInputError
from verification.services import validate_many
from verification.validation import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from delivery.intake import MessageInput
    from verification.validation import Result

#: For all recipients of a request together: what is not known by then passes.
BUDGET_SECONDS = 1.0


def undeliverable(messages: Sequence[MessageInput | None]) -> list[InvalidInputError | None]:
    """Return per message why it cannot reach its recipients, None for those that may.

    Looks only at messages that ask for it, and looks names up in the DNS: not within a transaction.
    The errors name the places of the addresses, such as `to[1]`.
    """
    asked = [message for message in messages if message is not None and message.validate]
    addresses = {
        address.email for message in asked for address in (*message.to, *message.cc, *message.bcc)
    }
    if not addresses:
        return [None] * len(messages)
    ordered = sorted(addresses)
    results = validate_many(ordered, budget_seconds=BUDGET_SECONDS)
    by_email = dict(zip(ordered, results, strict=True))
    return [
        _error(message, by_email) if message is not None and message.validate else None
        for message in messages
    ]


def _error(message: MessageInput, results: dict[str, Result]) -> InvalidInputError | None:
    places = message.places or {}
    faults = [
        (
            places.get(normalized(address.email), field),
            "undeliverable",
            _sentence(results[address.email]),
        )
        for field, group in (("to", message.to), ("cc", message.cc), ("bcc", message.bcc))
        for address in group
        if results[address.email].verdict is Verdict.INVALID
    ]
    return InvalidInputError.for_fields(faults) if faults else None


def _sentence(result: Result) -> str:
    reason = result.reasons[0].message
    hint = f" Did you mean {result.suggestion}?" if result.suggestion else ""
    return f"{result.email}: {reason}{hint}"
