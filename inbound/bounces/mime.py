"""Mails taken apart in linear time: no depth, number or size of anything can hold the reader up.

The standard library's parser builds the whole tree, at a cost that grows with its depth. Here parts
are cut out one after the other, within bounds; what lies beyond is left out.
"""

from __future__ import annotations

import binascii
import codecs
import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header
from html import unescape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Of a mail so much is looked at.
MAX_BYTES = 262_144
MAX_PARTS = 40
MAX_DEPTH = 6
MAX_HEADERS = 300
MAX_HEAD_BYTES = 65_536
MAX_VALUE_CHARS = 2000
#: Of a part's text so much is read.
MAX_TEXT_BYTES = 65_536

_BOUNDARY = re.compile(
    r'\bboundary\s{0,9}=\s{0,9}(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE
)
_CHARSET = re.compile(r'\bcharset\s{0,9}=\s{0,9}"?([\w.:-]{1,40})', re.IGNORECASE)
_NAME = re.compile(r"[!-9;-~]{1,76}\Z")
_TYPE = re.compile(r"\s*([\w.+-]{1,60}/[\w.+-]{1,60})")
_TAG = re.compile(r"<[^<>]{0,500}>")
_UNSTORABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACE = re.compile(r"\s+")
_BLANK = re.compile(rb"\n[ \t]*\n")
#: Decoding these takes more than linear time, or is no decoding of text.
_ODD_CODECS = frozenset({"punycode", "idna", "undefined", "unicode-escape", "raw-unicode-escape"})


class Headers:
    """The header of a mail or part; names in lower case, values unfolded."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def get(self, name: str) -> str:
        """Return the first value of a name, or an empty string."""
        return next((value for key, value in self._pairs if key == name), "")

    def all(self, name: str) -> list[str]:
        """Return all values of a name."""
        return [value for key, value in self._pairs if key == name]

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self._pairs)

    def __bool__(self) -> bool:
        return bool(self._pairs)


@dataclass(frozen=True, slots=True)
class Part:
    """A leaf of a mail."""

    #: Such as `text/plain`.
    type: str
    headers: Headers
    #: As it is written, not decoded.
    body: bytes


def split_head(raw: bytes) -> tuple[Headers, bytes]:
    """Return header and body of a mail or part with plain line feeds."""
    if raw.startswith(b"\n"):
        return Headers([]), raw[1:]
    blank = _BLANK.search(raw)
    head, body = (raw[: blank.start()], raw[blank.end() :]) if blank else (raw, b"")
    return parse_headers(head[:MAX_HEAD_BYTES].decode("utf-8", "replace")), body


def parse_headers(text: str) -> Headers:
    """Return the fields of a header; lines that are none are left out."""
    pairs: list[tuple[str, str]] = []
    for line in text.split("\n"):
        if line[:1] in {" ", "\t"}:
            if pairs and len(pairs[-1][1]) < MAX_VALUE_CHARS:
                name, value = pairs[-1]
                pairs[-1] = name, f"{value} {line.strip()}"[:MAX_VALUE_CHARS]
            continue
        name, colon, value = line.partition(":")
        name = name.rstrip()
        if colon and _NAME.match(name):
            if len(pairs) >= MAX_HEADERS:
                break
            pairs.append((name.lower(), value.strip()[:MAX_VALUE_CHARS]))
    return Headers(pairs)


def normal_lines(raw: bytes) -> bytes:
    """Return the start of a mail with plain line feeds, without NUL and mbox's first line."""
    data = raw[:MAX_BYTES].replace(b"\x00", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if data.startswith((b"From ", b">From ")):
        data = data.partition(b"\n")[2]
    return data


def leaves(headers: Headers, body: bytes) -> list[Part]:
    """Return the parts of a mail that have no parts, in order; a mail in a mail is one of them."""
    found: list[Part] = []
    for part in _walk(headers, body, 0):
        found.append(part)
        if len(found) >= MAX_PARTS:
            break
    return found


def text_of(part: Part) -> str:
    """Return the text of a part, whatever its encoding and charset claim to be."""
    charset = _CHARSET.search(part.headers.get("content-type"))
    text = _text(decoded(part), charset[1] if charset else "utf-8")
    return unescape(_TAG.sub(" ", text)) if part.type == "text/html" else text


def decoded(part: Part) -> bytes:
    """Return the start of a part's content, its transfer encoding undone."""
    body = part.body[:MAX_TEXT_BYTES]
    how = part.headers.get("content-transfer-encoding").lower()
    if how == "base64":
        return _from_base64(body)
    return binascii.a2b_qp(body) if how == "quoted-printable" else body


def header_text(value: str) -> str:
    """Return a header's value with its encoded words (RFC 2047) decoded, in one line."""
    value = value[:MAX_VALUE_CHARS]
    if "=?" not in value:
        return one_line(value, MAX_VALUE_CHARS)
    try:
        words = [_word(text, charset) for text, charset in decode_header(value)]
    except (HeaderParseError, ValueError):
        return one_line(value, MAX_VALUE_CHARS)
    return one_line("".join(words), MAX_VALUE_CHARS)


def one_line(text: str, limit: int) -> str:
    """Return text that can be stored and shown in one line."""
    return _SPACE.sub(" ", _UNSTORABLE.sub("", text[: 4 * limit])).strip()[:limit]


def type_of(headers: Headers) -> str:
    """Return the type of a mail or part, `text/plain` if it names none (RFC 2045 §5.2)."""
    found = _TYPE.match(headers.get("content-type"))
    return found[1].lower() if found else "text/plain"


def _walk(headers: Headers, body: bytes, depth: int) -> Iterator[Part]:
    kind = type_of(headers)
    boundary = _boundary(headers) if kind.startswith("multipart/") else b""
    if not boundary:
        yield Part(kind, headers, body)
        return
    if depth >= MAX_DEPTH:
        return
    for piece in _pieces(body, boundary):
        yield from _walk(*split_head(piece), depth + 1)


def _pieces(body: bytes, boundary: bytes) -> list[bytes]:
    delimiter = b"\n--" + boundary
    found: list[bytes] = []
    for piece in (b"\n" + body).split(delimiter, MAX_PARTS)[1:]:
        rest, _, content = piece.partition(b"\n")
        if rest.strip() and not rest.startswith(b"--"):
            # A longer boundary that begins the same: content of the part before.
            if found:
                found[-1] += delimiter + piece
            continue
        if rest.startswith(b"--"):
            break
        found.append(content)
    return found


def _boundary(headers: Headers) -> bytes:
    found = _BOUNDARY.search(headers.get("content-type"))
    return (found[1] or found[2]).rstrip().encode() if found else b""


def _text(data: bytes, charset: str) -> str:
    """Return what octets say in a charset; in latin-1, which can say anything, if it is none."""
    try:
        if codecs.lookup(charset).name not in _ODD_CODECS:
            return data.decode(charset, "replace")
    except (LookupError, ValueError):
        pass
    return data.decode("latin-1")


def _word(text: bytes | str, charset: str | None) -> str:
    if isinstance(text, str):
        return text
    return _text(text, charset or "latin-1")


def _from_base64(body: bytes) -> bytes:
    clean = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
    try:
        return binascii.a2b_base64(clean[: len(clean) // 4 * 4])
    except binascii.Error:
        return b""
