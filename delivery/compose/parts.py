"""The same mail as unwritten parts, for providers that write it themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from delivery.compose.bodies import canonical_text
from delivery.compose.files import description
from delivery.compose.headers import wire_email
from mailservice.core.addresses import Address
from mailservice.core.headers import check_header
from providers.mail_parts import FilePart, MailParts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from delivery.compose.source import AttachmentSource, ContentSource, MailFields


def mail_parts(
    source: ContentSource, fields: MailFields, *, subject: str, html: str, text: str
) -> MailParts:
    """Return the parts of a mail whose header is known to be sound.

    Raises what encoding a file raises.
    """
    (sender,) = _wired((Address(source.from_email, source.from_name),))
    has_html = bool(source.html)
    return MailParts(
        sender=sender,
        subject=subject,
        text=canonical_text(text),
        html=canonical_text(html) if has_html else "",
        message_id=f"<{fields.message_id.hex}@{sender.email.rpartition('@')[2]}>",
        date=fields.date.replace(microsecond=0),
        to=_wired(fields.to),
        cc=_wired(fields.cc),
        reply_to=_wired(source.reply_to),
        headers=_headers(source.headers, fields.headers or {}),
        files=tuple(_file(item, has_html=has_html) for item in source.attachments),
    )


def _wired(addresses: Iterable[Address]) -> tuple[Address, ...]:
    return tuple(
        replace(one, email=wire_email(one.email), name=one.name.strip(" ")) for one in addresses
    )


def _headers(*layers: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of all layers; a later one replaces an earlier one of its name."""
    found: dict[str, tuple[str, str]] = {}
    for layer in layers:
        for name, value in layer.items():
            found[name.lower()] = (name, check_header(name, value))
    return dict(found.values())


def _file(item: AttachmentSource, *, has_html: bool) -> FilePart:
    described = description(item)
    return FilePart(
        filename=item.filename,
        content_type=f"{described['maintype']}/{described['subtype']}",
        is_inline=has_html and item.disposition == "inline",
        content_id=item.content_id,
        encoded=item.encoded(),
    )
