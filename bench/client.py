"""An HTTP client that costs little: prepared requests over kept connections."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SINGLE, BATCH = "/api/v1/emails", "/api/v1/emails/batch"


class Answer(NamedTuple):
    """One request and its answer."""

    #: Wall time when it was sent.
    sent_at: float
    seconds: float
    body: bytes


class Connection:
    """One kept connection."""

    def __init__(self, port: int, secret: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._secret = secret

    def post(self, path: str, body: bytes) -> Answer:
        """Post under a new idempotency key. Ends the run at any answer but 202."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._secret}\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: {uuid4()}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        sent_at, started = time.time(), time.perf_counter()
        self._socket.sendall(head.encode() + body)
        answer, content = self._read()
        if not answer.startswith(b"HTTP/1.1 202"):
            raise SystemExit(f"{answer!r} {content[:2000]!r}")
        return Answer(sent_at, time.perf_counter() - started, content)

    def _read(self) -> tuple[bytes, bytes]:
        """Return head and body of an answer, which must say its length."""
        answer = b""
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._receive()
        head = answer[:end].lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = answer[end + 4 :]
        while len(body) < length:
            body += self._receive()
        return answer[:end], body

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 18)
        if not data:
            raise SystemExit("The server hung up.")
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.close()


@dataclass
class Crowd:
    """So many clients, each of whom posts again as soon as it is answered."""

    port: int
    secret: str
    connections: int
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def post(self, count: int, path: str, body: Callable[[int], bytes]) -> list[float]:
        """Send `count` requests; return the seconds each took."""
        numbers = iter(range(count))
        took: list[float] = []
        problems: list[BaseException] = []

        def work() -> None:
            try:
                with Connection(self.port, self.secret) as connection:
                    while not problems and (number := self._next(numbers)) is not None:
                        took.append(connection.post(path, body(number)).seconds)
            except BaseException as problem:  # noqa: BLE001 - raised again below, for the main thread to see
                problems.append(problem)

        run_threads(work for _ in range(self.connections))
        if problems:
            raise problems[0]
        return took

    def _next(self, numbers: Iterator[int]) -> int | None:
        with self._lock:
            return next(numbers, None)


def run_threads(works: Iterable[Callable[[], None]]) -> None:
    """Run each in a thread; return when all have ended."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
