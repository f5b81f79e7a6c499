"""What a mail is made of, as plain data: the shared content and what belongs to one message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    from delivery.compose.encoded import Encoded
    from delivery.compose.marks import Marks
    from mailservice.core.addresses import Address


@dataclass(frozen=True, slots=True)
class AttachmentSource:
    """A file that goes with every mail of a content."""

    filename: str
    #: `type/subtype` without parameters.
    content_type: str
    #: `inline` files are referred to from the HTML as `cid:…`.
    disposition: Literal["attachment", "inline"]
    #: Without angle brackets; may be empty for an attachment.
    content_id: str
    #: Called each time a mail is composed: returns the same octets, without encoding them anew.
    encoded: Callable[[], Encoded] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ContentSource:
    """Everything that the mails of one content share."""

    subject: str
    #: Empty if absent; one of `html` and `text` may be absent, a text part is made from HTML.
    html: str
    text: str
    from_email: str
    from_name: str
    reply_to: tuple[Address, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Subject and bodies are templates, filled with each message's context.
    is_template: bool = False
    #: How dates and numbers read in templates.
    locale: str = ""
    #: CSS rules are written into the elements of each filled HTML.
    inlines_css: bool = False
    attachments: tuple[AttachmentSource, ...] = ()
    #: The mailing list it goes to; empty for none.
    list_key: str = ""
    #: None leaves the choice to the email type.
    track_opens: bool | None = None
    track_clicks: bool | None = None


@dataclass(frozen=True, slots=True)
class MailFields:
    """What belongs to one message; the same fields always give the same bytes."""

    message_id: UUID
    #: Aware; also what `'now' | date` means in a template.
    date: datetime
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    context: Mapping[str, object] | None = None
    #: Added to the content's headers; the same name replaces.
    headers: Mapping[str, str] | None = None
    #: None for a mail that is not tracked.
    marks: Marks | None = None
