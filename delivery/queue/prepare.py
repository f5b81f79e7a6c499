"""From a claimed message to one that is ready to route, or to its end without an attempt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from delivery.models import Suppression
from delivery.queue.outcomes import SERVED, Step, unresolved
from delivery.queue.record import Ended, Tried
from delivery.recipients import mail_fields
from delivery.states import EventKind, Status
from mailservice.core.addresses import normalized
from mailservice.core.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from delivery.compose import CompiledContent, MailFields
    from delivery.models import EmailType
    from delivery.queue.claims import Claimed

#: (normalised address, email type or "" for all) pairs that get no mail.
Suppressed = frozenset[tuple[str, str]]


@dataclass(slots=True)
class InHand:
    """A claimed message on its way through a drain."""

    message: Claimed
    content: CompiledContent
    #: The recipients that this attempt is for.
    to_send: list[dict[str, str]]
    attempts: list[Tried] = field(default_factory=list)
    #: Accounts that refused it as accounts, so the next attempt goes elsewhere.
    refused_by: frozenset[UUID] = frozenset()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the envelope's recipients, each once."""
        return tuple(dict.fromkeys(entry["a"] for entry in self.to_send))

    @property
    def fields(self) -> MailFields:
        """Return what the composer fills in."""
        message = self.message
        return mail_fields(
            message_id=message.id,
            created_at=message.created_at,
            recipients=message.recipients,
            context=message.context,
            headers=message.headers,
        )


def suppressed_among(messages: Iterable[Claimed]) -> Suppressed:
    """Return the suppressions that concern recipients of these messages."""
    addresses = {address for message in messages for address in message.addresses}
    found = Suppression.objects.filter(address__in=addresses)
    return frozenset(found.values_list("address", "email_type"))


def prepare(
    message: Claimed,
    content: CompiledContent | DomainError | None,
    *,
    types: Mapping[str, EmailType],
    suppressed: Suppressed,
    now: datetime,
) -> InHand | Ended:
    """Return the message ready to route, or its end if nothing is to be sent."""
    if message.expires_at is not None and message.expires_at <= now:
        return Ended(message, Step(Status.EXPIRED), event=EventKind.EXPIRED)
    if message.attempt > types[message.email_type].max_attempts:
        return _failed(message, "Given up: its workers kept vanishing.")
    if content is None:
        return _failed(message, "Its content is gone.")
    if isinstance(content, DomainError):
        return _failed(message, content.message)
    pending = unresolved(message.recipients)
    to_send = [entry for entry in pending if not _is_suppressed(entry, message, suppressed)]
    for entry in pending:
        if entry not in to_send:
            entry["s"] = Status.SUPPRESSED.value
    if not to_send:
        return _suppressed(message)
    return InHand(message, content, to_send)


def _failed(message: Claimed, error: str) -> Ended:
    return Ended(message, Step(Status.FAILED, error), event=EventKind.FAILED)


def _suppressed(message: Claimed) -> Ended:
    served = any(entry.get("s") in SERVED for entry in message.recipients)
    status = Status.SENT if served else Status.SUPPRESSED
    step = Step(status, "Every recipient is suppressed.", recipients=message.recipients)
    return Ended(message, step, event=EventKind.SUPPRESSED)


def _is_suppressed(entry: Mapping[str, str], message: Claimed, suppressed: Suppressed) -> bool:
    if not suppressed:
        return False
    address = normalized(entry["a"])
    return (address, "") in suppressed or (address, message.email_type) in suppressed
