"""The octets of a mail: plain bytes as a rule, parts that stay on disk for a large one.

Both kinds answer `len`, `isascii` and `bytes` alike; `chunks_of` reads either piece by piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The most that is read or written at once.
CHUNK_BYTES = 65_536


class Segment(Protocol):
    """ASCII octets kept outside of memory, the same at every reading; safe between threads."""

    def __len__(self) -> int:
        """Return how many they are."""

    def chunks(self) -> Iterator[bytes]:
        """Yield them in order, at most `CHUNK_BYTES` at once. Raises `OSError`."""


class LargeData:
    """A mail too large to be copied about: octets of its own and shared ones; immutable."""

    __slots__ = ("_is_ascii", "_segments", "_size")

    def __init__(self, segments: tuple[bytes | Segment, ...]) -> None:
        self._segments = tuple(part for part in segments if part)
        self._size = sum(map(len, segments))
        self._is_ascii = all(part.isascii() for part in segments if isinstance(part, bytes))

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self.chunks())

    def __repr__(self) -> str:
        return f"<LargeData of {self._size} bytes>"

    def isascii(self) -> bool:
        """Tell whether every octet is ASCII."""
        return self._is_ascii

    def chunks(self) -> Iterator[bytes]:
        """Yield the octets in order, at most `CHUNK_BYTES` at once. Raises `OSError`."""
        for part in self._segments:
            if isinstance(part, bytes):
                yield from chunks_of(part)
            else:
                yield from part.chunks()


MailData = bytes | LargeData


def chunks_of(data: MailData) -> Iterator[bytes]:
    """Yield the octets of a mail in order, at most `CHUNK_BYTES` at once. Raises `OSError`."""
    if isinstance(data, LargeData):
        yield from data.chunks()
    elif len(data) <= CHUNK_BYTES:
        yield data
    else:
        for start in range(0, len(data), CHUNK_BYTES):
            yield data[start : start + CHUNK_BYTES]
