"""Tokens of pixels and tracked links: which mail, whose, and where the link leads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from delivery.links.ring import KeyRing

#: Octets that stand for the recipient of a mail to one; zeros in a mail to several.
MARK_BYTES = 4
NOBODY = bytes(MARK_BYTES)
#: The largest number of links that a token tells.
MOST_LINKS = 255
#: Longer ones do not fit into the first line of a request (4,094 octets at gunicorn's).
MAX_URL_BYTES = 2_000
#: What a token of the longest URL takes, and some room.
MAX_TOKEN_CHARS = 3_000

_OPEN, _CLICK = b"open", b"click"
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Track:
    """What a token says."""

    message_id: UUID
    #: See `recipient_mark`.
    recipient: bytes
    #: Where the link leads; empty for a pixel.
    url: str = ""
    #: Different links that are tracked in the mail, at most `MOST_LINKS`.
    link_count: int = 0


def recipient_mark(message_id: UUID, address: str) -> bytes:
    """Return what stands for an address in normal form, different in every mail."""
    mark = hashlib.blake2b(
        address.encode("utf-8", "surrogatepass"), key=message_id.bytes, digest_size=MARK_BYTES
    ).digest()
    return mark if mark != NOBODY else b"\0\0\0\1"


def open_token(ring: KeyRing, message_id: UUID, recipient: bytes) -> str:
    """Return the token of a mail's pixel."""
    return ring.sign_url(_OPEN, message_id.bytes + recipient)


def click_head(message_id: UUID, recipient: bytes, link_count: int) -> bytes:
    """Return what the tokens of all links of a mail begin with."""
    return message_id.bytes + recipient + bytes([min(link_count, MOST_LINKS)])


def click_token(ring: KeyRing, head: bytes, url: bytes) -> str:
    """Return the token of a link to `url`, which is UTF-8."""
    return ring.sign_url(_CLICK, head + url)


def read_open(ring: KeyRing, token: str) -> Track | None:
    """Return what a pixel's token says; None if no key of the ring made it."""
    payload = ring.read_url(_OPEN, token)
    if payload is None:
        return None
    return Track(UUID(bytes=payload[:_ID_BYTES]), payload[_ID_BYTES:])


def read_click(ring: KeyRing, token: str) -> Track | None:
    """Return what a link's token says; None if no key of the ring made it."""
    payload = ring.read_url(_CLICK, token)
    if payload is None:
        return None
    mark_end = _ID_BYTES + MARK_BYTES
    return Track(
        UUID(bytes=payload[:_ID_BYTES]),
        payload[_ID_BYTES:mark_end],
        payload[mark_end + 1 :].decode(),
        payload[mark_end],
    )
