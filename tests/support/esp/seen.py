"""What a provider understood of a mail, in the same words for all of them."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import MIMEPart
from email.utils import getaddresses
from typing import Any

from mailservice.core.addresses import Address


@dataclass
class Seen:
    """One mail as the provider would send it."""

    sender: Address
    subject: str
    text: str
    html: str = ""
    to: list[Address] = field(default_factory=list)
    cc: list[Address] = field(default_factory=list)
    bcc: list[Address] = field(default_factory=list)
    reply_to: list[Address] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    #: Octets by name; inline ones by content id.
    files: dict[str, bytes] = field(default_factory=dict)
    inline: dict[str, bytes] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    #: By which the provider knows a repeat.
    repeat_key: str = ""

    @property
    def recipients(self) -> list[str]:
        """Return the bare addresses of all recipients."""
        return [one.email for one in (*self.to, *self.cc, *self.bcc)]


def listed(header: str | None) -> list[Address]:
    """Return the mailboxes of a header."""
    return [named(name, email) for name, email in getaddresses([header or ""]) if email]


def named(name: str | None, email: str) -> Address:
    """Return a mailbox; encoded words are read."""
    return Address(email, str(make_header(decode_header(name or ""))))


def objects(
    entries: Iterable[Mapping[str, str]] | None, *, email: str = "email", name: str = "name"
) -> list[Address]:
    """Return mailboxes from objects."""
    return [named(one.get(name), one[email]) for one in entries or ()]


def unseen(everybody: Iterable[str], *shown: Address) -> list[Address]:
    """Return those who are sent to and not shown."""
    seen = {one.email for one in shown}
    return [Address(one) for one in everybody if one not in seen]


def files(entries: Iterable[Mapping[str, Any]] | None, name: str, data: str) -> dict[str, bytes]:
    """Return octets by name."""
    return {one[name]: b64decode(one[data], validate=True) for one in entries or ()}


def octets_of(part: MIMEPart) -> bytes:
    """Return what a MIME part holds."""
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets


def from_mime(data: bytes, recipients: list[str]) -> Seen:
    """Return what a written mail says, sent to `recipients`."""
    mail = message_from_bytes(data, policy=policy.default)
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    to, cc = listed(mail["To"]), listed(mail["Cc"])
    parts = [part for part in mail.walk() if part.get_content_disposition()]
    own = {"x-order", "list-unsubscribe", "message-id"}
    return Seen(
        sender=listed(mail["From"])[0],
        subject=mail["Subject"],
        text=text.get_content() if text else "",
        html=html.get_content() if html else "",
        to=[one for one in to if one.email in recipients],
        cc=[one for one in cc if one.email in recipients],
        bcc=unseen(recipients, *to, *cc),
        reply_to=listed(mail["Reply-To"]),
        headers={name: str(value) for name, value in mail.items() if name.lower() in own},
        files={
            str(part.get_filename()): octets_of(part)
            for part in parts
            if part.get_content_disposition() == "attachment"
        },
        inline={
            part["Content-ID"].strip("<>"): octets_of(part)
            for part in parts
            if part.get_content_disposition() == "inline"
        },
    )
