"""The MIME entity of a mail by the standard library: what the direct way is compared with."""

from __future__ import annotations

from binascii import a2b_base64
from email.message import EmailMessage
from typing import TYPE_CHECKING

from delivery.compose.bodies import TransferEncoding, canonical_text, transfer_encoding, utf8
from delivery.compose.files import POLICY, description

if TYPE_CHECKING:
    from delivery.compose.source import AttachmentSource


def mime_entity(
    html: str | None, text: str, attachments: tuple[AttachmentSource, ...], *, boundary: str
) -> bytes:
    """Return `MIME-Version`, the content headers and the body of a mail, 7-bit, with CRLF.

    `boundary` starts every boundary and must not occur in an encoded part.
    """
    mail = EmailMessage(POLICY)
    mail["MIME-Version"] = "1.0"
    _set_text(mail, text, "plain")
    has_html = html is not None
    related = [item for item in attachments if has_html and item.disposition == "inline"]
    if html is not None:
        _add_html(mail, html, related)
    for item in attachments:
        if item not in related:
            mail.add_attachment(_octets(item), **description(item))
    for number, part in enumerate(mail.walk()):
        if number:
            del part["MIME-Version"]
        if part.is_multipart():
            # No boundary may start with another one.
            part.set_boundary(boundary.replace("=_", f"=_{number}_") if number else boundary)
    return mail.as_bytes()


def _set_text(part: EmailMessage, text: str, subtype: str) -> None:
    text = canonical_text(text)
    encoding = _encoding_of(text)
    part.set_content(text, subtype=subtype, charset="utf-8", cte=encoding)


def _add_html(mail: EmailMessage, html: str, related: list[AttachmentSource]) -> None:
    html = canonical_text(html)
    encoding = _encoding_of(html)
    mail.add_alternative(html, subtype="html", charset="utf-8", cte=encoding)
    part = mail.get_body(("html",))
    if isinstance(part, EmailMessage):
        for item in related:
            part.add_related(_octets(item), **description(item))


def _encoding_of(text: str) -> TransferEncoding:
    # Judged as it goes over the wire, line ends included.
    return transfer_encoding(utf8(text.replace("\n", "\r\n")))


def _octets(item: AttachmentSource) -> bytes:
    encoded = item.encoded()
    pieces = (encoded,) if isinstance(encoded, bytes) else encoded.chunks()
    return a2b_base64(b"".join(pieces))
