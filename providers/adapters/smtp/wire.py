"""A mail's data as it goes on the wire: dots stuffed, ended by the final dot (RFC 5321 §4.5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.mail_data import CHUNK_BYTES, chunks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.mail_data import MailData


def wire_data(data: bytes) -> bytes:
    """Return a message as it goes on the wire: dots stuffed, ended by the final dot.

    Dots after a bare LF are stuffed as well, which changes nothing for well-formed messages and
    keeps data with bare LF from ending early at servers that take LF for a line end.
    """
    stuffed = data.replace(b"\n.", b"\n..")
    dot = b"." if data.startswith(b".") else b""
    end = b".\r\n" if data.endswith(b"\r\n") else b"\r\n.\r\n"
    return b"".join((dot, stuffed, end))


def wire_chunks(data: MailData) -> Iterator[bytes]:
    """Yield what `wire_data` would return, piece by piece; a small mail is one piece.

    Raises `OSError` if a part of a large mail cannot be read.
    """
    if isinstance(data, bytes) and len(data) <= CHUNK_BYTES:
        yield wire_data(data)
    else:
        yield from stuffed(chunks_of(data))


def stuffed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield chunks with dots stuffed, wherever they were cut, and the final dot."""
    last_two = b""
    for chunk in chunks:
        starts_line = not last_two or last_two.endswith(b"\n")
        wire = chunk.replace(b"\n.", b"\n..")
        yield b"." + wire if starts_line and chunk.startswith(b".") else wire
        last_two = (last_two + chunk[-2:])[-2:]
    yield b".\r\n" if last_two == b"\r\n" else b"\r\n.\r\n"
