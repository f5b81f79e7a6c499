"""An HTTP server in a thread that keeps what it is sent and misbehaves on demand."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """What arrived whole."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    #: Which connection it came by.
    peer: tuple[str, int]

    @property
    def json(self) -> Any:
        """Return the body's value."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """An answer; a body that is no bytes goes as JSON."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """Return the body's octets."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Torn:
    """Hang up in the middle of the answer's body."""

    answer: Answer


@dataclass(frozen=True)
class Stall:
    """Take the request and say nothing until the server ends."""


@dataclass(frozen=True)
class Drop:
    """Hang up without an answer: before reading the body (RST), or after all of it."""

    before_body: bool = False


Action = Answer | Torn | Stall | Drop
Handler = Callable[[Request], Answer]


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # With keep-alive, 40 ms per answer would be spent on waiting for ACKs.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_POST(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def log_message(self, *_: Any) -> None:
        return None

    def _serve(self) -> None:
        owner = self.server.owner
        action = owner.next_action()
        if isinstance(action, Drop) and action.before_body:
            self._hang_up(reset=True)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        request = Request(
            self.command,
            address.path,
            address.query,
            {name.lower(): value for name, value in self.headers.items()},
            body,
            self.client_address,
        )
        owner.requests.append(request)
        if isinstance(action, Drop):
            self._hang_up(reset=False)
        elif isinstance(action, Stall):
            owner.is_over.wait(10)
            self.close_connection = True
        elif isinstance(action, Torn):
            self._answer(action.answer, is_torn=True)
        else:
            self._answer(action or owner.handler(request))

    def _hang_up(self, *, reset: bool) -> None:
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # `shutdown` first would send a FIN.
            self.connection.close()
        self.close_connection = True

    def _answer(self, answer: Answer, *, is_torn: bool = False) -> None:
        body = answer.encoded()
        self.send_response(answer.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        for name, value in (headers | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if is_torn else body)
        self.wfile.flush()
        self.close_connection |= is_torn


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    owner: ApiServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet: clients that leave early are part of the tests."""


class ApiServer:
    """The server of one stand-in on a free port of this machine; a context manager."""

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self._tls = tls
        self.requests: list[Request] = []
        self.is_over = threading.Event()
        #: What is done with the next requests, one each, before it behaves again.
        self.actions: list[Action | None] = []

    def __enter__(self) -> Self:
        self._http = _Server(("127.0.0.1", 0), _HttpHandler)
        self._http.owner = self
        if self._tls is not None:
            self._http.socket = self._tls.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
        serve = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        serve.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def port(self) -> int:
        """Return where it listens."""
        return int(self._http.server_address[1])

    def then(self, *actions: Action | None) -> None:
        """Answer the next requests so, one each, instead of properly; None: properly."""
        self.actions += actions

    def next_action(self) -> Action | None:
        """Return what is to be done with the next request; None: treat it properly."""
        return self.actions.pop(0) if self.actions else None
