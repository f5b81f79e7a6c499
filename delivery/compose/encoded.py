"""Files encoded for mail once, and read by every mail that carries them.

A large one lies in an anonymous temporary file, which is gone when the process is: reading is
positional, so threads share it without a lock.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from concurrent.futures import Future
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import IO, TYPE_CHECKING
from weakref import finalize

from delivery.compose.bodies import wrapped_base64
from providers.mail_data import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: Octets of base64 up to which a file stays in memory.
IN_MEMORY_BYTES = 65_536
#: What one process keeps on disk, beyond what mails under way still read.
MAX_SPOOLED_BYTES = 268_435_456
#: Files kept by one process, for its file descriptors and for the small ones in its memory.
MAX_FILES = 128
#: A line of 76 characters stands for so many octets.
_OCTETS_PER_LINE = 57


class SpoolError(OSError):
    """The temporary folder does not take a file, or has lost part of one."""


class SpooledFile:
    """An encoded file on disk; deleted with the last reference to it."""

    __slots__ = ("__weakref__", "_descriptor", "_size")

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._descriptor = os.dup(file.fileno())
        self._size = size
        finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return self._size

    def chunks(self) -> Iterator[bytes]:
        """Yield the octets in order, at most `CHUNK_BYTES` at once. Raises `OSError`."""
        for start in range(0, self._size, CHUNK_BYTES):
            wanted = min(CHUNK_BYTES, self._size - start)
            chunk = os.pread(self._descriptor, wanted, start)
            if len(chunk) != wanted:
                raise SpoolError("A temporary file has lost its end.")
            yield chunk


#: Base64 in lines of 76, each ending in CRLF; equal for equal files.
Encoded = bytes | SpooledFile


def encode_file(pieces: Iterable[bytes]) -> Encoded:
    """Return a file encoded for mail, never holding more of it than a piece.

    Raises `SpoolError` and whatever reading the pieces raises.
    """
    with SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
        rest = b""
        for piece in pieces:
            data = rest + piece
            end = len(data) - len(data) % _OCTETS_PER_LINE
            _write(spool, wrapped_base64(data[:end]))
            rest = data[end:]
        _write(spool, wrapped_base64(rest))
        size = spool.tell()
        if size > IN_MEMORY_BYTES:
            return SpooledFile(spool, size)
        spool.seek(0)
        return spool.read()


def _write(spool: IO[bytes], data: bytes) -> None:
    try:
        spool.write(data)
        spool.flush()
    except OSError as error:
        # Not as it is: a FileNotFoundError would say that the attachment is gone.
        raise SpoolError(f"The temporary folder takes no file: {error.strerror}") from error


class EncodedFiles:
    """The encoded files that a process used last; safe between threads.

    However many threads ask for a file at once, one encodes it and the others share the outcome.
    """

    def __init__(self, *, max_bytes: int = MAX_SPOOLED_BYTES, max_files: int = MAX_FILES) -> None:
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._lock = Lock()
        #: Least recently used first; one that failed is not kept.
        self._held: OrderedDict[str, Future[Encoded]] = OrderedDict()

    def get(self, key: str, read: Callable[[], Iterable[bytes]]) -> Encoded:
        """Return the file of this key, encoded; `read` gives its pieces if it is not at hand.

        Raises `SpoolError` and whatever `read` raises; the next call then tries again.
        """
        with self._lock:
            file = self._held.get(key)
            is_missing = file is None
            if file is None:
                file = self._held[key] = Future()
            self._held.move_to_end(key)
        if is_missing:
            self._fill(key, file, read)
        return file.result()

    def _fill(self, key: str, file: Future[Encoded], read: Callable[[], Iterable[bytes]]) -> None:
        try:
            encoded = encode_file(read())
        except BaseException as error:  # noqa: BLE001 - those who wait must hear of it
            with self._lock:
                if self._held.get(key) is file:
                    del self._held[key]
            file.set_exception(error)
        else:
            file.set_result(encoded)
            self._evict()

    def _evict(self) -> None:
        """Forget the least recently used; mails that still read one keep it alive."""
        with self._lock:
            held = sum(map(_size, self._held.values()))
            while len(self._held) > 1 and (
                held > self._max_bytes or len(self._held) > self._max_files
            ):
                held -= _size(self._held.popitem(last=False)[1])


def _size(file: Future[Encoded]) -> int:
    return len(file.result()) if file.done() else 0
