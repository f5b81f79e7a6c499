"""What comes out of intake: plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from mailservice.core.addresses import Address
    from mailservice.core.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request; each is named in the error that it causes."""

    #: Recipients of one message over to, cc and bcc.
    max_recipients: int = 100
    #: Items of one batch.
    max_batch: int = 1000
    #: Addresses over all items of one batch.
    max_batch_addresses: int = 10_000
    #: One message as sent: bodies and attachments after base64.
    max_message_bytes: int = 26_214_400
    #: One attachment, decoded.
    max_attachment_bytes: int = 20_971_520


class Disposition(StrEnum):
    """Where a mail program shows an attachment (RFC 2183)."""

    #: In the list of attachments.
    ATTACHMENT = "attachment"
    #: In the HTML body, referred to by `cid:`.
    INLINE = "inline"


@dataclass(frozen=True, slots=True)
class AttachmentInput:
    """One attachment: either `content` or a reference to an upload.

    For an upload, `filename` and `content_type` may be empty: then those of the upload count.
    `content_id` has no angle brackets and is empty unless the disposition is inline.
    """

    filename: str
    content_type: str
    content: bytes | None
    upload_id: UUID | None
    disposition: Disposition
    content_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageInput:
    """One message as asked for: well-formed, within limits, safe to put into headers.

    No address occurs twice over to, cc and bcc. Either `template` is set, or subject and at least
    one body are; a subject beside a template overrides the template's.
    """

    #: None: the provider's or the configured sender applies, under `from_name` if that is set.
    from_: Address | None = None
    #: Only set if `from_` is None.
    from_name: str = ""
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    subject: str = ""
    html: str = ""
    text: str = ""
    #: Id or slug.
    template: str | None = None
    #: None: inline subject and bodies are sent as they are, without rendering.
    context: dict[str, Any] | None = None
    #: Names in `context` that the service put there itself: a template's schema need not know them.
    given_names: frozenset[str] = frozenset()
    #: BCP 47 tag with hyphens, empty if none was given.
    locale: str = ""
    headers: dict[str, str]
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any]
    email_type: str = "transactional"
    #: The mailing list it goes to, for unsubscribing; empty for none.
    list_key: str = ""
    #: 1 (highest) to 5; None: the email type's.
    priority: int | None = None
    attachments: tuple[AttachmentInput, ...] = ()
    #: None: at once.
    send_at: datetime | None = None
    expires_at: datetime | None = None
    sequence_key: str = ""
    #: None: the default of type and provider.
    track_opens: bool | None = None
    track_clicks: bool | None = None
    encrypt: bool = False
    #: Refuse recipients that mail cannot reach, as far as that is known within a second.
    validate: bool | None = None
    #: With `validate`: where in the request an address (in normal form) stands, such as `to[1]`.
    places: dict[str, str] | None = None
    provider_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One entry of a batch: exactly one of `message` and `error` is set.

    Field paths in the error are relative to the item.
    """

    index: int
    message: MessageInput | None
    error: InvalidInputError | None


@dataclass(frozen=True, slots=True)
class BatchInput:
    """A batch; `items` has one entry per item of the request, in order."""

    items: tuple[BatchItem, ...]
    #: True: all messages share sender, subject, bodies, template and attachments.
    is_shared_content: bool
