"""Header fields as they go over the wire: encoded (RFC 2047), folded (RFC 5322 §2.2.3), safe.

Written here and not by the standard library, which takes sixty times as long and, in Python 3.11,
drops the quotes around a long display name when it folds it, so that a comma in it splits the list.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import idna

from delivery.compose.errors import ComposeError
from mailservice.core.headers import MAX_LINE_OCTETS, UNSAFE_IN_HEADER, HeaderError, check_header

if TYPE_CHECKING:
    from mailservice.core.addresses import Address

#: RFC 2047 §2 and RFC 5322 §2.1.1: what lines should keep to.
_LINE = 76
_WORD = 75
_WORD_FRAME = len("=?utf-8?q??=")
#: A longer plain name is written as encoded words, which can be folded anywhere.
_MAX_PLAIN_NAME = 60

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_SINGLE_SPACE = re.compile(r"(?<! ) (?! )")
# RFC 2047 §5 (3): what needs no encoding even in a display name.
_Q_UNSAFE = re.compile(rb"[^A-Za-z0-9!*+/ -]")
_ADDR_SPEC = re.compile(
    r'(?:[^\s<>(),;:\\"\[\]@]+|"(?:[^"\\]|\\.)+")@(?:[^\s<>(),;:\\"\[\]@]+|\[[A-Za-z0-9.:-]+\])\Z'
)


_Encode = Callable[[str], str]
_Length = Callable[[str], int]


def text_header(name: str, value: str) -> str:
    """Return `Name: value` with CRLF for a value without structure. Raises `ComposeError`."""
    _check_safe(name, value)
    value = value.strip(" ")
    if len(name) + 2 + len(value) <= _LINE and value.isascii() and "=?" not in value:
        return f"{name}: {value}\r\n"
    if value.isascii() and "=?" not in value:
        chunks = _SINGLE_SPACE.split(value)
        if max(map(len, chunks)) + len(name) + 2 <= MAX_LINE_OCTETS:
            return fold(name, chunks)
    return fold(name, encoded_words(value, _LINE - len(name) - 2))


def custom_header(name: str, value: str) -> str:
    """Return a header that a caller added, refusing the ones that are ours to set.

    An ASCII value is kept as given, encoded words included.
    """
    try:
        value = check_header(name, value)
    except HeaderError as error:
        raise ComposeError(f"Header {name!r}: {error.message}") from error
    if value.isascii():
        return fold(name, _SINGLE_SPACE.split(value))
    return fold(name, encoded_words(value, _LINE - len(name) - 2))


def address_header(name: str, addresses: Sequence[Address]) -> str:
    """Return `Name: mailbox, mailbox…` with CRLF. Raises `ComposeError`."""
    if len(addresses) == 1 and not addresses[0].name:
        return f"{name}: {wire_email(addresses[0].email)}\r\n"
    chunks: list[str] = []
    for address in addresses:
        if chunks:
            chunks[-1] += ","
        chunks += _mailbox(name, address)
    return fold(name, chunks)


def fold(name: str, chunks: Iterable[str]) -> str:
    """Return a header of chunks joined by spaces, broken between them where a line is full."""
    parts = [name, ":"]
    column = len(name) + 1
    start = column
    for chunk in chunks:
        if column != start and column + 1 + len(chunk) > _LINE:
            parts.append("\r\n")
            column = 0
        parts += (" ", chunk)
        column += 1 + len(chunk)
    parts.append("\r\n")
    return "".join(parts)


def wire_email(email: str) -> str:
    """Return an address as it stands in a header: the domain in A-labels, no specials loose.

    Raises `ComposeError`.
    """
    if not _ADDR_SPEC.match(email) or UNSAFE_IN_HEADER.search(email):
        raise ComposeError(f"{email!r} is no address that can stand in a header.")
    if email.isascii():
        return email
    local, _, domain = email.rpartition("@")
    return f"{local}@{wire_domain(domain)}"


@lru_cache(maxsize=1024)
def wire_domain(domain: str) -> str:
    """Return a domain in A-labels (RFC 5890). Raises `ComposeError`."""
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise ComposeError(f"{domain!r} is no domain name: {error}") from error


def needs_smtputf8(email: str) -> bool:
    """Tell whether the part before the @-sign can only be sent with SMTPUTF8 (RFC 6531)."""
    return not email.isascii() and not email.rpartition("@")[0].isascii()


def encoded_words(text: str, room: int) -> list[str]:
    """Return the text as encoded words, the first at most `room` long, the others 75.

    Characters are never split between words (RFC 2047 §5). Raises `ComposeError`.
    """
    data = text.encode()
    if 6 * len(_Q_UNSAFE.findall(data)) <= len(data):
        return [f"=?utf-8?q?{word}?=" for word in _split(text, room, _q_encoded, len)]
    words = _split(text, room, _unchanged, _b64_length)
    return [f"=?utf-8?b?{b64encode(word.encode()).decode()}?=" for word in words]


def _split(text: str, room: int, encode: _Encode, length: _Length) -> list[str]:
    """Cut the text into pieces whose encoding fits a word, each piece already `encode`d."""
    limit = max(min(room, _WORD) - _WORD_FRAME, 16)
    pieces: list[str] = []
    current = ""
    for character in text:
        longer = current + encode(character)
        if length(longer) > limit:
            pieces.append(current)
            longer = encode(character)
            limit = _WORD - _WORD_FRAME
        current = longer
    return [*pieces, current]


def _q_encoded(character: str) -> str:
    if character == " ":
        return "_"
    data = character.encode()
    if _Q_UNSAFE.search(data):
        return "".join(f"={byte:02X}" for byte in data)
    return character


def _unchanged(character: str) -> str:
    return character


def _b64_length(text: str) -> int:
    return (len(text.encode()) + 2) // 3 * 4


def _mailbox(header: str, address: Address) -> list[str]:
    """Return a mailbox as chunks between which the line may be broken."""
    email = wire_email(address.email)
    name = address.name.strip(" ")
    if not name:
        return [email]
    _check_safe(header, name)
    if name.isascii() and len(name) <= _MAX_PLAIN_NAME and "=?" not in name:
        if _ATOMS.match(name):
            return [f"{name} <{email}>"]
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return [f'"{quoted}" <{email}>']
    return [*encoded_words(name, _WORD - len(header) - 2), f"<{email}>"]


def _check_safe(name: str, value: str) -> None:
    if UNSAFE_IN_HEADER.search(value):
        raise ComposeError(f"{name} holds a line break or control character.")
