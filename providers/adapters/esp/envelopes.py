"""Whom one call serves, and what keeps a provider from taking a mail at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import UUID

from mailservice.core.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from providers.adapters.esp.kinds import Capabilities
    from providers.mail_parts import MailParts


@dataclass(frozen=True, slots=True)
class Envelope:
    """The recipients of one call."""

    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()

    @property
    def recipients(self) -> tuple[str, ...]:
        """Return all addresses, each once."""
        return tuple(one.email for one in (*self.to, *self.cc, *self.bcc))

    def repeat_key(self, message_id: UUID) -> UUID:
        """Return what this mail to these recipients is known by, the same at every try."""
        named = message_id.bytes + "\0".join(sorted(self.recipients)).encode()
        return UUID(bytes=sha256(named).digest()[:16], version=5)


def envelopes_for(
    parts: MailParts, recipients: Sequence[str], capabilities: Capabilities
) -> list[Envelope]:
    """Return the calls that serve exactly `recipients`, in their order as far as it goes.

    An API writes To and Cc from those it sends to, so they show only whom this call serves. Blind
    recipients alone get a call each where the API wants a To: nobody must see another of them.
    """
    left = dict.fromkeys(recipients)
    to = tuple(_taken(parts.to, left))
    cc = tuple(_taken(parts.cc, left))
    bcc = tuple(Address(email) for email in left)
    if not to and not capabilities.has_empty_to:
        to, cc = cc, ()
        if not to:
            return [Envelope(to=(one,)) for one in bcc]
    most = capabilities.max_recipients
    if len(to) + len(cc) + len(bcc) <= most:
        return [Envelope(to, cc, bcc)]
    return [_part(chunk) for chunk in _chunks((to, cc, bcc), most)]


def _taken(shown: Sequence[Address], left: dict[str, None]) -> Iterator[Address]:
    for one in shown:
        if one.email in left:
            del left[one.email]
            yield one


_Chunk = list[tuple[int, Address]]


def _chunks(groups: tuple[tuple[Address, ...], ...], most: int) -> Iterator[_Chunk]:
    everybody = [(role, one) for role, group in enumerate(groups) for one in group]
    for start in range(0, len(everybody), most):
        chunk = everybody[start : start + most]
        # Without a To, the first who may be seen moves there; blind ones go alone.
        if chunk[0][0] == len(groups) - 1:
            yield from ([(0, one)] for _, one in chunk)
        else:
            yield [(0, chunk[0][1]), *chunk[1:]]


def _part(chunk: _Chunk) -> Envelope:
    to, cc, bcc = (tuple(one for role, one in chunk if role == wanted) for wanted in range(3))
    return Envelope(to, cc, bcc)


def missing_ability(
    parts: MailParts, capabilities: Capabilities, *, needs_smtputf8: bool
) -> str | None:
    """Return what the provider cannot do that this mail needs, in words; None if it can do all."""
    wants = (
        (needs_smtputf8 and not capabilities.has_smtputf8, "addresses beyond ASCII"),
        (bool(parts.files) and not capabilities.has_attachments, "attachments"),
        (_has_inline(parts) and not capabilities.has_inline_images, "inline images"),
        (len(parts.reply_to) > capabilities.max_reply_to, "several Reply-To addresses"),
        (parts.size_bytes > capabilities.max_bytes, f"mail of {parts.size_bytes} bytes"),
    )
    return next((name for is_missing, name in wants if is_missing), None) or _missing_header(
        parts, capabilities
    )


def _has_inline(parts: MailParts) -> bool:
    return any(file.is_inline for file in parts.files)


def _missing_header(parts: MailParts, capabilities: Capabilities) -> str | None:
    for name, value in parts.headers.items():
        if not re.fullmatch(capabilities.custom_headers, name, re.IGNORECASE):
            return f"the header {name}"
        # An escape is what the API would take for a character beyond ASCII.
        is_plain = value.isascii() and "\\u" not in value
        if not is_plain and not capabilities.has_non_ascii_headers:
            return f"characters beyond ASCII in the header {name}"
    return None
