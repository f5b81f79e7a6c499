"""From a claimed message to one that is ready to route, or to its end without an attempt."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Sum

from delivery.compose.sizes import wire_bytes
from delivery.models import Attachment
from delivery.models.suppressions import ALL_MARKETING
from delivery.queue.outcomes import SERVED, Step, unresolved
from delivery.queue.record import Ended, Tried
from delivery.recipients import mail_fields
from delivery.states import EventKind, Status
from delivery.tracking import with_marks
from delivery.unsubscribing import link_of, with_links
from mailservice.core.addresses import domain_of, normalized
from mailservice.core.errors import DomainError
from mailservice.core.sealed import unsealed
from providers.routing import MessageFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from delivery.compose import CompiledContent, MailFields
    from delivery.models import EmailType
    from delivery.queue.claims import Claimed
    from delivery.tracking import Tracked, TrackedMails
    from providers.routing import Asks

_NONE: frozenset[str] = frozenset()

#: (normalised address, email type, list) that get no mail; "" for all types, and all lists.
Suppressed = frozenset[tuple[str, str, str]]


# As text, not as a query set: compiling that takes longer than all else that is done with a chunk.
_SUPPRESSED = (
    "SELECT address, email_type, list_key FROM delivery_suppression WHERE address = ANY(%s)"
)


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
    #: Its recipient may unsubscribe with one click.
    is_marketing: bool = False
    #: None: neither its opening nor its links.
    tracked: Tracked | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the envelope's recipients, each once."""
        return tuple(dict.fromkeys(entry["a"] for entry in self.to_send))

    @property
    def fields(self) -> MailFields:
        """Return what the composer fills in."""
        message, source = self.message, self.content.source
        fields = mail_fields(
            message_id=message.id,
            created_at=message.created_at,
            recipients=message.recipients,
            context=unsealed(message.context, message.addresses),
            headers=message.headers,
        )
        link = link_of(
            message_id=message.id,
            email_type=message.email_type,
            list_key=source.list_key,
            addresses=message.addresses,
        )
        fields = with_links(
            fields, link, is_template=source.is_template, is_marketing=self.is_marketing
        )
        if self.tracked is None:
            return fields
        return with_marks(fields, self.tracked, message.addresses)


def facts_of(item: InHand, asks: Asks) -> MessageFacts:
    """Return what the choice of an account depends on; what nobody asks about is left out."""
    message, source = item.message, item.content.source
    has_attachments = bool(source.attachments)
    return MessageFacts(
        owner_id=message.owner_id,
        email_type=message.email_type,
        from_email=source.from_email,
        pinned_provider_id=message.pinned_provider_id,
        doubtful_provider_id=message.doubtful_provider_id,
        excluded=item.refused_by,
        message_id=message.id,
        api_key_id=message.api_key_id,
        tags=frozenset(message.tags) if asks.tags and message.tags else _NONE,
        recipient_domains=frozenset(map(domain_of, message.addresses))
        if asks.recipient_domains
        else _NONE,
        size_bytes=_size_bytes(item) if asks.size_limits else 0,
        has_attachments=has_attachments,
        priority=message.priority,
        is_test=message.is_test,
        recipient_count=len(item.addresses) if asks.quotas else 1,
    )


def _size_bytes(item: InHand) -> int:
    source = item.content.source
    files = _file_bytes(item.message.content_id) if source.attachments else 0
    return wire_bytes(html=source.html, text=source.text, file_bytes=files)


@lru_cache(maxsize=1_000)
def _file_bytes(content_id: UUID) -> int:
    """Return the size of a content's files; a content never changes."""
    files = Attachment.objects.filter(content_id=content_id)
    return files.aggregate(sum=Sum("blob__size_bytes"))["sum"] or 0


def suppressed_among(messages: Iterable[Claimed]) -> Suppressed:
    """Return the suppressions that concern recipients of these messages."""
    addresses = {address for message in messages for address in message.addresses}
    with connection.cursor() as cursor:
        cursor.execute(_SUPPRESSED, [list(addresses)])
        return frozenset(cursor.fetchall())


def prepare(
    message: Claimed,
    content: CompiledContent | DomainError | None,
    *,
    types: Mapping[str, EmailType],
    suppressed: Suppressed,
    tracked: TrackedMails,
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
    email_type = types[message.email_type]
    to_send = withhold(message, email_type, content.source.list_key, suppressed)
    if not to_send:
        return _nobody_left(message, pending)
    return InHand(
        message,
        content,
        to_send,
        is_marketing=email_type.is_marketing,
        tracked=tracked.get(message.id),
    )


def withhold(
    message: Claimed, email_type: EmailType, list_key: str, suppressed: Suppressed
) -> list[dict[str, Any]]:
    """Mark the recipients that get no mail; return those that this attempt is for."""
    pending = unresolved(message.recipients)
    scopes = _scopes_of(email_type, list_key) if suppressed else ()
    to_send = []
    for entry in pending:
        if _is_in(suppressed, entry["a"], scopes):
            entry["s"] = Status.SUPPRESSED.value
            message.withheld.add(normalized(entry["a"]))
        else:
            to_send.append(entry)
    return to_send


def _failed(message: Claimed, error: str) -> Ended:
    return Ended(message, Step(Status.FAILED, error), event=EventKind.FAILED)


def _nobody_left(message: Claimed, pending: Sequence[object]) -> Ended:
    served = any(entry.get("s") in SERVED for entry in message.recipients)
    if not pending:  # everybody's fate was told while it waited
        return Ended(message, Step(Status.SENT if served else Status.BOUNCED))
    error = "Every recipient is suppressed."
    if served:
        step = Step(Status.SENT, error, recipients=message.recipients)
    else:
        step = Step(Status.SUPPRESSED, error)
    return Ended(message, step, event=EventKind.SUPPRESSED)


def _scopes_of(email_type: EmailType, list_key: str) -> Sequence[tuple[str, str]]:
    """Return the scopes that a mail falls under, as (email type, list)."""
    scopes = [("", ""), (email_type.name, "")]
    if email_type.is_marketing:
        scopes.append((ALL_MARKETING, ""))
    if list_key:
        scopes.append(("", list_key))
    return scopes


def _is_in(suppressed: Suppressed, email: str, scopes: Sequence[tuple[str, str]]) -> bool:
    if not scopes:
        return False
    address = normalized(email)
    return any((address, *scope) in suppressed for scope in scopes)
