"""The MIME entity of a mail by the standard library: attachments, inline files, reference."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.policy import SMTP
from typing import TYPE_CHECKING, Any

from delivery.compose.bodies import canonical_text, transfer_encoding, utf8
from delivery.compose.errors import ComposeError
from mailservice.core.headers import UNSAFE_IN_HEADER

if TYPE_CHECKING:
    from delivery.compose.source import AttachmentSource

_POLICY = SMTP.clone(cte_type="7bit")
_MEDIA_TYPE = re.compile(r"([A-Za-z0-9!#$&^_.+-]+)/([A-Za-z0-9!#$&^_.+-]+)\Z")
_CONTENT_ID = re.compile(r"[^\s<>\x00-\x1f\x7f-\uffff]+\Z")


def mime_entity(
    html: str, text: str, attachments: tuple[AttachmentSource, ...], *, boundary: str
) -> bytes:
    """Return `MIME-Version`, the content headers and the body of a mail, 7-bit, with CRLF.

    `boundary` starts every boundary and must not occur in an encoded part.
    """
    mail = EmailMessage(_POLICY)
    mail["MIME-Version"] = "1.0"
    _set_text(mail, text, "plain")
    related = [item for item in attachments if html and item.disposition == "inline"]
    if html:
        _add_html(mail, html, related)
    for item in attachments:
        if item not in related:
            _attach(mail, item)
    for number, part in enumerate(mail.walk()):
        if number:
            del part["MIME-Version"]
        if part.is_multipart():
            # No boundary may start with another one.
            part.set_boundary(boundary.replace("=_", f"=_{number}_") if number else boundary)
    return mail.as_bytes()


def check_attachment(item: AttachmentSource) -> None:
    """Raise `ComposeError` if the description of a file cannot stand in a header."""
    if not _MEDIA_TYPE.match(item.content_type):
        raise ComposeError(f"{item.content_type!r} is no media type.")
    if UNSAFE_IN_HEADER.search(item.filename):
        raise ComposeError("A file name holds a line break or control character.")
    if item.content_id and not _CONTENT_ID.match(item.content_id):
        raise ComposeError(f"{item.content_id!r} is no content id.")


def _set_text(part: EmailMessage, text: str, subtype: str) -> None:
    text = canonical_text(text)
    encoding = transfer_encoding(utf8(text))
    part.set_content(text, subtype=subtype, charset="utf-8", cte=encoding)


def _add_html(mail: EmailMessage, html: str, related: list[AttachmentSource]) -> None:
    html = canonical_text(html)
    encoding = transfer_encoding(utf8(html))
    mail.add_alternative(html, subtype="html", charset="utf-8", cte=encoding)
    part = mail.get_body(("html",))
    if isinstance(part, EmailMessage):
        for item in related:
            part.add_related(item.read(), **_description(item))


def _attach(mail: EmailMessage, item: AttachmentSource) -> None:
    mail.add_attachment(item.read(), **_description(item))


def _description(item: AttachmentSource) -> dict[str, Any]:
    main, _, sub = item.content_type.lower().partition("/")
    if main in {"message", "multipart"}:
        # RFC 2046 §5 forbids base64 for these, and any other encoding would not survive.
        main, sub = "application", "octet-stream"
    description = {"maintype": main, "subtype": sub, "disposition": item.disposition}
    if item.filename:
        description["filename"] = item.filename
    if item.content_id:
        description["cid"] = f"<{item.content_id}>"
    return description
