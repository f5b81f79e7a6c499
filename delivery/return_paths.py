"""Return paths of one's own for each mail (VERP): what comes back there names its message.

The signed token holds the message's id and, if the mail goes to one recipient only, four octets of
a digest of that address: a mail that comes back is understood when the message is long purged, and
nobody else can make such an address.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from delivery.link_keys import key_ring, ring_for_signed
from mailservice.core.addresses import normalized
from providers.return_paths import PREFIX, TOKEN_CHARS

if TYPE_CHECKING:
    from collections.abc import Sequence

_PURPOSE = b"bounce"
_ID_BYTES, _TAG_BYTES = 16, 4
#: Characters of a token without and with a recipient's digest.
_SHORT, _LONG = 39, TOKEN_CHARS
# Mail hosts may change case and the delimiter, and rewrite what stands before (SRS, BATV).
_TOKEN = re.compile(rf"[-+=]([A-Za-z2-7]{{{_LONG}}}|[A-Za-z2-7]{{{_SHORT}}})@")
_MAX_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Returned:
    """Which mail a return path belongs to."""

    message_id: UUID
    #: Four octets of the only recipient's digest, see `is_tag_of`; None if there were several.
    recipient_tag: bytes | None


def return_path_for(setting: str, message_id: UUID, recipients: Sequence[str]) -> str:
    """Return the envelope sender of a mail, the same for the same mail; empty without a setting.

    `setting` is an account's `return_path`: `bounces@example.com` or `@bounces.example.com`.
    """
    if not setting:
        return ""
    payload = message_id.bytes
    if len(recipients) == 1:
        payload += _tag(recipients[0])
    local, _, domain = setting.rpartition("@")
    token = key_ring().sign(_PURPOSE, payload)
    return f"{local}+{token}@{domain}" if local else f"{PREFIX}{token}@{domain}"


def read_return_path(address: str) -> Returned | None:
    """Return what a return path says; None if it is not one of ours. Never raises for its text."""
    if len(address) > _MAX_CHARS:
        return None
    found = _TOKEN.search(address)
    if found is None:
        return None
    token = found[1]
    payload = ring_for_signed(token).verified(_PURPOSE, token)
    if payload is None or len(payload) not in (_ID_BYTES, _ID_BYTES + _TAG_BYTES):
        return None
    return Returned(UUID(bytes=payload[:_ID_BYTES]), payload[_ID_BYTES:] or None)


def is_tag_of(tag: bytes, address: str) -> bool:
    """Tell whether a return path with this tag was made for a mail to `address`."""
    return tag == _tag(address)


def _tag(address: str) -> bytes:
    form = normalized(address).encode(errors="replace")
    return hashlib.blake2b(form, digest_size=_TAG_BYTES).digest()
