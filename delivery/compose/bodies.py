"""Text parts as they go over the wire: canonical line ends and a 7-bit transfer encoding."""

from __future__ import annotations

from binascii import b2a_base64, b2a_qp
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from delivery.compose.errors import ComposeError

if TYPE_CHECKING:
    from collections.abc import Sequence

TransferEncoding = Literal["quoted-printable", "base64"]

_LINE = 76
#: Of a word so much stands on a line, before a soft break.
_WORD = 75
#: Octets from which a text is encoded line by line, and lines kept for it.
_WORTH_SPLITTING = 1024
_CACHED_LINES = 4096
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
    data = utf8(canonical_text(text))
    wire = data.replace(b"\n", b"\r\n")
    if transfer_encoding(wire) == "base64":
        return EncodedText("base64", wrapped_base64(wire))
    if len(data) < _WORTH_SPLITTING:
        return EncodedText("quoted-printable", b2a_qp(wire, istext=True))
    lines = data.split(b"\n")
    del lines[-1]  # empty: the text ends with a line end
    return EncodedText("quoted-printable", b"".join(map(_quoted_line, lines)))


def encode_pieces(pieces: Sequence[str]) -> EncodedText:
    """Encode a canonical text in pieces: every second one is a word of base64url.

    The words are this mail's own, and what is around them is shared: words stand on lines of their
    own, so that the rest is at hand encoded. Raises `ComposeError` as `encode_text` does.
    """
    text = "".join(pieces)
    if not text.isascii():
        wire = utf8(text).replace(b"\n", b"\r\n")
        if transfer_encoding(wire) == "base64":
            return EncodedText("base64", wrapped_base64(wire))
    encoded: list[bytes] = []
    for number in range(0, len(pieces) - 1, 2):
        *lines, last = pieces[number].encode().split(b"\n")
        encoded += map(_quoted_line, lines)
        encoded.append(_quoted_start(last))
        word = pieces[number + 1].encode()
        encoded += [word[at : at + _WORD] + b"=\r\n" for at in range(0, len(word), _WORD)]
    lines = pieces[-1].encode().split(b"\n")
    encoded += map(_quoted_line, lines[:-1])
    return EncodedText("quoted-printable", b"".join(encoded))


@lru_cache(maxsize=_CACHED_LINES)
def _quoted_line(line: bytes) -> bytes:
    """Encode one line. Mails of one content share most of theirs, so most are at hand.

    The line end is part of what is encoded: it makes the soft breaks CRLF.
    """
    return b2a_qp(line + b"\r\n", istext=True)


@lru_cache(maxsize=_CACHED_LINES)
def _quoted_start(line: bytes) -> bytes:
    """Encode the beginning of a line, up to a soft break."""
    # The break takes the column of the tilde.
    return b2a_qp(line + b"~\r\n", istext=True)[:-3] + b"=\r\n" if line else b""


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
