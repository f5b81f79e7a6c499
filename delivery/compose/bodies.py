"""Text parts as they go over the wire: canonical line ends and a 7-bit transfer encoding."""

from __future__ import annotations

from binascii import b2a_base64, b2a_qp
from typing import Literal, NamedTuple

from delivery.compose.errors import ComposeError

TransferEncoding = Literal["quoted-printable", "base64"]

_LINE = 76
_ASCII = bytes(range(128))


class EncodedText(NamedTuple):
    """A text body, UTF-8, encoded for transfer, ending in CRLF."""

    encoding: TransferEncoding
    data: bytes


def canonical_text(text: str) -> str:
    """Return the text with LF as its only line end, also after the last line, and without NUL.

    Raises `ComposeError` for half a surrogate pair, which has no encoding.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        text = text.replace("\0", "")
    if not text.endswith("\n"):
        text += "\n"
    return text


def encode_text(text: str) -> EncodedText:
    """Encode any text; raises `ComposeError` if it holds half a surrogate pair."""
    data = utf8(canonical_text(text)).replace(b"\n", b"\r\n")
    if transfer_encoding(data) == "quoted-printable":
        # The data ends in CRLF, so the soft breaks are CRLF, too.
        return EncodedText("quoted-printable", b2a_qp(data, istext=True))
    return EncodedText("base64", wrapped_base64(data))


def transfer_encoding(data: bytes) -> TransferEncoding:
    """Return the smaller encoding: base64 where a good sixth of the bytes is not ASCII."""
    if data.isascii() or 6 * len(data.translate(None, _ASCII)) <= len(data):
        return "quoted-printable"
    return "base64"


def wrapped_base64(data: bytes) -> bytes:
    """Return base64 in lines of 76, each ending in CRLF."""
    encoded = b2a_base64(data, newline=False)
    lines = [encoded[start : start + _LINE] for start in range(0, len(encoded), _LINE)]
    return b"\r\n".join([*lines, b""])


def utf8(text: str) -> bytes:
    """Return the text in UTF-8. Raises `ComposeError`."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ComposeError(
            f"The text holds half of a surrogate pair at character {error.start + 1}."
        ) from error
