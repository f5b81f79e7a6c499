"""How a file is described in a mail: its part's header, the same on both ways of writing it."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.policy import SMTP
from typing import TYPE_CHECKING, Any

from delivery.compose.errors import ComposeError
from mailservice.core.headers import UNSAFE_IN_HEADER

if TYPE_CHECKING:
    from delivery.compose.source import AttachmentSource

#: The standard library's way of writing a 7-bit mail with CRLF.
POLICY = SMTP.clone(cte_type="7bit")

_MEDIA_TYPE = re.compile(r"([A-Za-z0-9!#$&^_.+-]+)/([A-Za-z0-9!#$&^_.+-]+)\Z")
_CONTENT_ID = re.compile(r"[^\s<>\x00-\x1f\x7f-\uffff]+\Z")


def check_file(item: AttachmentSource) -> None:
    """Raise `ComposeError` if the description of a file cannot stand in a header."""
    if not _MEDIA_TYPE.match(item.content_type):
        raise ComposeError(f"{item.content_type!r} is no media type.")
    if UNSAFE_IN_HEADER.search(item.filename):
        raise ComposeError("A file name holds a line break or control character.")
    if item.content_id and not _CONTENT_ID.match(item.content_id):
        raise ComposeError(f"{item.content_id!r} is no content id.")


def file_head(item: AttachmentSource) -> bytes:
    """Return the header of a file's part and the empty line after it."""
    part = EmailMessage(POLICY)
    part.set_content(b"", **description(item))
    del part["MIME-Version"]
    return part.as_bytes()


def description(item: AttachmentSource) -> dict[str, Any]:
    """Return what `EmailMessage` is told of a file besides its octets."""
    main, _, sub = item.content_type.lower().partition("/")
    if main in {"message", "multipart"}:
        # RFC 2046 §5 forbids base64 for these, and any other encoding would not survive.
        main, sub = "application", "octet-stream"
    found = {"maintype": main, "subtype": sub, "disposition": item.disposition}
    if item.filename:
        found["filename"] = item.filename
    if item.content_id:
        found["cid"] = f"<{item.content_id}>"
    return found
