"""A mail before it is written: what an HTTP API wants to be told field by field."""

from __future__ import annotations

from binascii import a2b_base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mailservice.core.addresses import Address
    from providers.mail_data import Segment


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file that goes with the mail."""

    #: May be empty.
    filename: str
    #: `type/subtype` without parameters, never `message` or `multipart`.
    content_type: str
    #: The HTML refers to it as `cid:…`.
    is_inline: bool
    #: Without angle brackets; may be empty.
    content_id: str
    #: Base64 in lines of 76, shared by all mails that carry the file.
    encoded: bytes | Segment = field(repr=False)

    def read(self) -> bytes:
        """Return the file's octets. Raises `OSError`."""
        encoded = self.encoded
        return a2b_base64(encoded if isinstance(encoded, bytes) else b"".join(encoded.chunks()))


@dataclass(frozen=True, slots=True)
class MailParts:
    """Subject, bodies, files and header fields of one mail, checked like those of a written one.

    Addresses have their domains in A-labels. `to` and `cc` are what the header shows; whom to serve
    now says `OutgoingMail.recipients`, which may be fewer, and those shown in neither are blind.
    """

    sender: Address
    subject: str
    #: Lines end in LF; never empty.
    text: str
    #: Empty if the mail has no HTML part.
    html: str
    #: With angle brackets.
    message_id: str
    #: Aware; when the message was accepted.
    date: datetime
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    #: Those that neither the fields above nor MIME set; no two differ only in case.
    headers: Mapping[str, str] = field(default_factory=dict)
    files: tuple[FilePart, ...] = ()
    #: Short words by which the provider's statistics may tell mails apart.
    tags: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Return about how many octets it takes: files as base64, texts as UTF-8."""
        texts = len(self.html.encode()) + len(self.text.encode())
        return texts + sum(len(file.encoded) for file in self.files)
