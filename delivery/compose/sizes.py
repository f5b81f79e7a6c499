"""How large a mail will be on the wire, before it is written: an estimate."""

from __future__ import annotations

#: What header and structure of a mail take, about.
_HEAD_BYTES = 2_048
#: Octets on the wire per octet of a file: base64 in lines of 76 characters and CRLF.
_FILE_GROWTH = 78 / 57
#: Octets on the wire per character of text, about.
_TEXT_GROWTH = 1.4


def wire_bytes(*, html: str, text: str, file_bytes: int) -> int:
    """Return about how large a mail is; what a template fills in is not counted."""
    # A mail with HTML only gets a text part made from it.
    chars = len(html) + len(text or html)
    return _HEAD_BYTES + int(chars * _TEXT_GROWTH + file_bytes * _FILE_GROWTH)
