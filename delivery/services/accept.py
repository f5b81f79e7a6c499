"""Acceptance: from checked input to committed rows.

One transaction writes contents, messages and attachment links, so that a message exists if and only
if its request was answered; the wake-up follows the commit.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from delivery.compose.sizes import wire_bytes
from delivery.dispatch import wake_on_commit
from delivery.email_types import email_types
from delivery.models import EmailType, Message
from delivery.queue.sequences import lock_sequences
from delivery.services.attachments import AttachmentLink, link_attachments, resolve_attachments
from delivery.services.texts import (
    Patience,
    check_context,
    compiled_source,
    source_of_message,
)
from delivery.states import Lane, Status
from delivery.tables import CONTENT, CONTENT_ROWS, MESSAGE, MESSAGE_ROWS
from mailservice.core.addresses import Address, domain_of, normalized
from mailservice.core.errors import DomainError, InvalidInputError
from mailservice.core.ids import uuid7
from mailservice.core.sql import to_json
from providers.models import Provider
from providers.routing import MessageFacts
from providers.selectors import recent_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from delivery.intake import MessageInput
    from templates_app.engine import Compiled


@dataclass(frozen=True, slots=True)
class Sender:
    """On whose behalf mail is accepted."""

    user_id: UUID
    api_key_id: UUID | None = None
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """One message as accepted."""

    message_id: UUID
    status: Status
    created_at: datetime
    #: The rows as written, for answers that show the message without reading it back.
    row: Mapping[str, Any] = field(repr=False)
    content: Mapping[str, Any] = field(repr=False)


@dataclass(slots=True)
class Draft:
    """The rows one acceptance will write: nothing is written yet."""

    now: datetime
    contents: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    links: list[tuple[UUID, Sequence[AttachmentLink]]] = field(default_factory=list)

    @property
    def is_one_statement(self) -> bool:
        """True if nothing but contents and messages is to be read, locked or written with it."""
        return not self.links and not any(row["sequence_key"] for row in self.messages)

    def parameters(self) -> list[str]:
        """Return what fills the statement of `insert_sql`."""
        used = {row["content_id"] for row in self.messages}
        contents = [row for row in self.contents if row["id"] in used]
        return [to_json(contents), to_json(self.messages)]

    def wake(self) -> None:
        """Wake the lanes whose mail is due, once the running transaction has committed."""
        wake_on_commit(
            Lane(row["lane"]) for row in self.messages if row["status"] == Status.QUEUED.value
        )


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A content ready for messages: its row, and its templates and schema to check contexts."""

    content: Mapping[str, Any]
    email_type: EmailType
    compiled: Mapping[str, Compiled]
    schema: Mapping[str, Any]


def queue_message(
    *, message: MessageInput, sender: Sender, group_id: UUID | None = None
) -> Accepted:
    """Accept one message. Raises `InvalidInputError` naming the field; then nothing is written."""
    draft, accepted = draft_message(message=message, sender=sender, group_id=group_id)
    _write(draft)
    return accepted


def draft_message(
    *, message: MessageInput, sender: Sender, group_id: UUID | None = None
) -> tuple[Draft, Accepted]:
    """Return the rows of one message and how it reads once they are written.

    Raises `InvalidInputError` naming the field.
    """
    draft = Draft(now=timezone.now())
    prepared = _add_content(message, sender, draft)
    return draft, _add_message(message, sender, prepared, draft, group_id)


def queue_messages(
    *,
    messages: Sequence[MessageInput],
    sender: Sender,
    group_id: UUID | None = None,
    is_shared_content: bool = False,
) -> list[Accepted | DomainError]:
    """Accept what can be accepted of `messages`, in one transaction.

    The result has one entry per message, in order. Messages that are the same but for recipient,
    context, headers, metadata and times share one content row. With `is_shared_content` a context
    on any of them makes the content a template for all: a recipient without one must not get the
    placeholders. What is left when checking templates has taken `MAX_CPU_SECONDS` is refused.
    """
    if is_shared_content and any(message.context is not None for message in messages):
        messages = [
            message if message.context is not None else replace(message, context={})
            for message in messages
        ]
    draft = Draft(now=timezone.now())
    shared: dict[tuple[object, ...], _Prepared | DomainError] = {}
    results: list[Accepted | DomainError] = []
    patience = Patience()
    for message in messages:
        try:
            patience.require(message)
            prepared = _shared_content(message, sender, draft, shared)
            results.append(_add_message(message, sender, prepared, draft, group_id))
        except DomainError as error:
            results.append(error)
    if draft.messages:
        _write(draft)
    return results


def _shared_content(
    message: MessageInput,
    sender: Sender,
    draft: Draft,
    shared: dict[tuple[object, ...], _Prepared | DomainError],
) -> _Prepared:
    """Return the content row's stand-in, made once for all messages that say the same."""
    # The strings of one shared content are the same objects: comparing them costs nothing.
    key = (
        message.subject,
        message.html,
        message.text,
        message.from_,
        message.reply_to,
        message.template,
        message.locale if message.template or message.context is not None else "",
        message.context is None,
        message.email_type,
        message.list_key,
        message.provider_id,
        message.track_opens,
        message.track_clicks,
        tuple(id(attachment) for attachment in message.attachments),
    )
    if key not in shared:
        try:
            shared[key] = _add_content(message, sender, draft)
        except DomainError as error:
            shared[key] = error
    held = shared[key]
    if isinstance(held, DomainError):
        raise held
    return held


def _add_content(message: MessageInput, sender: Sender, draft: Draft) -> _Prepared:
    email_type = email_types().get(message.email_type)
    if email_type is None:
        known = ", ".join(sorted(email_types()))
        raise InvalidInputError.for_field(
            "email_type", f"Unknown email type {message.email_type!r}; known are {known}."
        )
    _check_provider(message, sender)
    source, schema = source_of_message(message, user_id=sender.user_id)
    compiled = compiled_source(source)
    links = resolve_attachments(message.attachments, owner_id=sender.user_id, now=draft.now)
    size_bytes = wire_bytes(
        html=source["html"],
        text=source["text"],
        file_bytes=sum(link.size_bytes for link in links),
    )
    from_ = _from_address(message, sender, size_bytes)
    content = {
        **source,
        "id": uuid7(),
        "from_email": from_.email,
        "from_name": from_.name,
        "reply_to": [{"email": a.email, "name": a.name} for a in message.reply_to],
        "track_opens": message.track_opens,
        "track_clicks": message.track_clicks,
        "list_key": message.list_key,
        "created_at": draft.now,
    }
    draft.contents.append(content)
    if links:
        draft.links.append((content["id"], links))
    return _Prepared(content, email_type, compiled, schema)


def _check_personal(message: MessageInput, email_type: EmailType) -> None:
    """Refuse marketing mail to several: one's click must not unsubscribe another."""
    if not email_type.is_marketing or len(message.to) + len(message.cc) + len(message.bcc) == 1:
        return
    text = (
        f"Mail of type {email_type.name!r} goes to one recipient each: its unsubscribe link is "
        "personal; use /emails/batch."
    )
    groups = (("to", message.to[1:]), ("cc", message.cc), ("bcc", message.bcc))
    raise InvalidInputError.for_fields([(name, "too_many", text) for name, more in groups if more])


def _check_provider(message: MessageInput, sender: Sender) -> None:
    if message.provider_id is None:
        return
    usable = Provider.objects.usable_by(sender.user_id).filter(pk=message.provider_id)
    if not usable.exists():
        raise InvalidInputError.for_field(
            "provider_id", "There is no such SMTP account.", code="not_found"
        )


def _from_address(message: MessageInput, sender: Sender, size_bytes: int) -> Address:
    """Return the From: the sender's, else the account's that would be chosen, else the default.

    An account that is closed for now, by its quota say, still counts: the mail waits for it.
    """
    if message.from_ is not None:
        return message.from_
    snapshot = recent_snapshot()
    facts = MessageFacts(
        owner_id=sender.user_id,
        email_type=message.email_type,
        from_email="",
        pinned_provider_id=message.provider_id,
        api_key_id=sender.api_key_id,
        tags=frozenset(message.tags),
        recipient_domains=frozenset(
            domain_of(normalized(address.email))
            for address in (*message.to, *message.cc, *message.bcc)
        ),
        size_bytes=size_bytes,
        has_attachments=bool(message.attachments),
        priority=message.priority or 3,
        recipient_count=len(message.to) + len(message.cc) + len(message.bcc),
    )
    chosen = snapshot.decide(facts).awaited_id or message.provider_id
    names = ("from_email", "from_name")
    own = Provider.objects.filter(pk=chosen).values_list(*names).first() if chosen else None
    if own is not None and own[0]:
        return Address(own[0], message.from_name or own[1])
    if settings.DEFAULT_FROM_EMAIL:
        return Address(settings.DEFAULT_FROM_EMAIL, message.from_name)
    raise InvalidInputError.for_field(
        "from",
        "Name a From address: neither an account nor this service has a default.",
        code="required",
    )


def _add_message(
    message: MessageInput,
    sender: Sender,
    prepared: _Prepared,
    draft: Draft,
    group_id: UUID | None,
) -> Accepted:
    _check_personal(message, prepared.email_type)
    check_context(
        message,
        compiled=prepared.compiled,
        schema=prepared.schema,
        locale=prepared.content["locale"],
        has_links=len(message.to) + len(message.cc) + len(message.bcc) == 1,
    )
    is_later = message.send_at is not None and message.send_at > draft.now
    status = Status.SCHEDULED if is_later else Status.QUEUED
    recipients = [
        {"k": kind, "a": address.email, **({"n": address.name} if address.name else {})}
        for kind, group in (("to", message.to), ("cc", message.cc), ("bcc", message.bcc))
        for address in group
    ]
    message_id = uuid7()
    row = {
        "id": message_id,
        "content_id": prepared.content["id"],
        "owner_id": sender.user_id,
        "api_key_id": sender.api_key_id,
        "group_id": group_id,
        "email_type": prepared.email_type.name,
        "lane": prepared.email_type.lane,
        "priority": message.priority or prepared.email_type.priority,
        "status": status.value,
        "is_test": sender.is_test,
        "recipients": recipients,
        "addresses": [normalized(recipient["a"]) for recipient in recipients],
        "context": message.context,
        "headers": message.headers or None,
        "metadata": message.metadata or None,
        "tags": list(message.tags) or None,
        "pinned_provider_id": message.provider_id,
        "sequence_key": message.sequence_key,
        "awaits_turn": False,
        "due_at": message.send_at if is_later else draft.now,
        "expires_at": message.expires_at,
        "created_at": draft.now,
        "updated_at": draft.now,
        "attempt_count": 0,
        "error": "",
    }
    draft.messages.append(row)
    return Accepted(message_id, status, draft.now, row, prepared.content)


def insert_sql(condition: str = "") -> tuple[str, str]:
    """Return the statements that write contents and messages, both or neither by `condition`."""
    return (
        CONTENT_ROWS.insert_sql(CONTENT, suffix=condition),
        MESSAGE_ROWS.insert_sql(MESSAGE, suffix=condition),
    )


# Both tables in one round trip; the reference between them is checked at the commit.
_INSERT = "WITH contents AS ({}) {}".format(*insert_sql())


def _write(draft: Draft) -> None:
    # A single statement is a transaction already. Within a caller's transaction no savepoint: a
    # failure here ends that one too.
    alone = draft.is_one_statement
    with nullcontext() if alone else transaction.atomic(savepoint=False):
        _take_turns(draft.messages)
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, draft.parameters())
        used = {row["content_id"] for row in draft.messages}
        for content_id, links in draft.links:
            if content_id in used:
                link_attachments(content_id=content_id, links=links, now=draft.now)
        draft.wake()


def _take_turns(rows: Iterable[dict[str, Any]]) -> None:
    """Mark messages whose sequence has an earlier unfinished one.

    The lock orders this against other acceptances and against the recorder that moves the sequence
    on, until our commit makes the new rows visible to them.
    """
    sequences: dict[tuple[UUID, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["sequence_key"]:
            sequences.setdefault((row["owner_id"], row["sequence_key"]), []).append(row)
    if not sequences:
        return
    lock_sequences(sequences.keys())
    for (owner_id, key), members in sequences.items():
        is_busy = Message.objects.unfinished_in_sequence(owner_id, key).exists()
        for row in members:
            row["awaits_turn"] = is_busy
            is_busy = True
