"""Requests to addresses that people typed: bounded in time and size, and not into our own network.

The host is resolved once, addresses that are nobody's business are refused, and the connection goes
to the address that was looked at: a name that resolves differently a moment later (DNS rebinding)
gains nothing. Redirects are not followed, proxies from the environment are not used.

One thread per request does everything; the caller waits for it until the deadline, then closes the
connection under it. So neither a slow name server nor a server that sends a byte a second holds
the caller up.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from http.client import IncompleteRead
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import idna
from django.conf import settings
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from mailservice.core.errors import DomainError
from mailservice.core.networks import is_public

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3.response import BaseHTTPResponse

#: Of the answer; the rest is not read.
MAX_RESPONSE_BYTES = 65_536
MAX_URL_CHARS = 2000
DEFAULT_TIMEOUT_SECONDS = 10.0
#: Of a host's addresses so many are tried.
MAX_ADDRESSES = 3
_OK = range(200, 300)
_PORTS = {"http": 80, "https": 443}


class OutgoingHttpError(DomainError):
    """A request that brought no answer; the message tells people why, without path and query."""

    code = "no_answer"


class InvalidUrlError(OutgoingHttpError):
    """The address is none that requests may go to."""

    code = "invalid_url"


class BlockedAddressError(OutgoingHttpError):
    """The host lies in a network that requests must not go to."""

    code = "blocked_address"


class DeadlineError(OutgoingHttpError):
    """There was no whole answer in time."""

    code = "timeout"


@dataclass(frozen=True, slots=True)
class Url:
    """An address taken apart."""

    scheme: str
    #: A name as A-labels in lower case, or an address without brackets.
    host: str
    port: int
    #: Path and query, as sent.
    target: str

    @property
    def netloc(self) -> str:
        """Return what goes into the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; the body is cut after 64 KiB."""

    status: int
    body: bytes
    #: By names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        """True for 2xx."""
        return self.status in _OK

    @property
    def text(self) -> str:
        """Return the body as text, whatever it is."""
        return self.body.decode("utf-8", "replace")


def parse_url(text: str) -> Url:
    """Take an address apart. Raises `InvalidUrlError` for what is not a plain http(s) URL."""
    if len(text) > MAX_URL_CHARS or any(ord(char) <= ord(" ") or char == "\x7f" for char in text):
        raise InvalidUrlError(f"A URL has no spaces and at most {MAX_URL_CHARS} characters.")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InvalidUrlError("That is no URL.") from error
    if parts.scheme not in _PORTS or not host:
        raise InvalidUrlError("Begin with https:// (or http://) and a host.")
    if parts.username is not None or parts.password is not None:
        raise InvalidUrlError("A URL with a user name or password is not supported.")
    if port == 0:
        raise InvalidUrlError("There is no port 0.")
    query = f"?{parts.query}" if parts.query else ""
    return Url(
        parts.scheme,
        _ascii_host(host),
        port or _PORTS[parts.scheme],
        _ascii(f"{parts.path or '/'}{query}"),
    )


def _ascii_host(host: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError as error:
        raise InvalidUrlError(f"There can be no host {host!r}.") from error


def _ascii(target: str) -> str:
    if not target.isascii():
        raise InvalidUrlError("Write path and query with %-escapes instead of other letters.")
    return target


def post_json(
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    allow_private: bool | None = None,
) -> Response:
    """Send JSON and return the answer, whatever its status; a redirect is an answer too.

    `timeout_seconds` bounds all of it: finding the host, connecting, sending, and reading.
    `allow_private` None means what `OUTGOING_HTTP_ALLOW_PRIVATE` says. Raises `OutgoingHttpError`.
    """
    if allow_private is None:
        allow_private = settings.OUTGOING_HTTP_ALLOW_PRIVATE
    sent = {
        "User-Agent": "mailservice",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        **(headers or {}),
    }
    exchange = _Exchange(
        parse_url(url), body, sent, time.monotonic() + timeout_seconds, allow_private=allow_private
    )
    return exchange.run(timeout_seconds)


def get(
    url: str,
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    allow_private: bool | None = None,
) -> Response:
    """Fetch an address under the same rules as `post_json`. Raises `OutgoingHttpError`."""
    if allow_private is None:
        allow_private = settings.OUTGOING_HTTP_ALLOW_PRIVATE
    sent = {"User-Agent": "mailservice", "Accept-Encoding": "identity"}
    deadline = time.monotonic() + timeout_seconds
    exchange = _Exchange(parse_url(url), None, sent, deadline, allow_private=allow_private)
    return exchange.run(timeout_seconds)


class _Exchange:
    """One request in a thread of its own, which the caller can give up."""

    def __init__(
        self,
        url: Url,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline: float,
        *,
        allow_private: bool,
    ) -> None:
        self._url = url
        self._body = body
        self._headers = {"Host": url.netloc, **headers}
        self._deadline = deadline
        self._allow_private = allow_private
        self._lock = threading.Lock()
        self._is_over = False
        #: Kept, for the connection forgets it while a body is read that ends with it.
        self._socket: socket.socket | None = None
        self._response: Response | None = None
        self._error: Exception | None = None

    def run(self, timeout_seconds: float) -> Response:
        """Wait for the answer. Raises `OutgoingHttpError`."""
        thread = threading.Thread(target=self._work, name="outgoing-http", daemon=True)
        thread.start()
        thread.join(max(0.0, self._deadline - time.monotonic()))
        with self._lock:
            self._is_over = True
            response, error, sock = self._response, self._error, self._socket
        if response is not None:
            return response
        if isinstance(error, OutgoingHttpError):
            raise error
        host = self._url.host
        if error is None or isinstance(error, TimeoutError) or time.monotonic() >= self._deadline:
            _cut(sock)
            raise DeadlineError(
                f"{host} gave no whole answer within {timeout_seconds:g} seconds."
            ) from error
        raise OutgoingHttpError(f"{host}: {_in_words(error)}") from error

    def _work(self) -> None:
        try:
            response = self._exchange()
        except Exception as error:  # noqa: BLE001 - raised again where the caller waits
            self._error = error
        else:
            self._response = response

    def _exchange(self) -> Response:
        addresses = self._addresses()
        for place, address in enumerate(addresses, start=1):
            connection = self._connection_to(address)
            try:
                try:
                    connection.connect()
                except (OSError, HTTPError):
                    if place == len(addresses):
                        raise
                    continue
                return self._ask(connection)
            finally:
                connection.close()
        raise OutgoingHttpError(f"{self._url.host} has no address.")

    def _addresses(self) -> list[str]:
        host = self._url.host
        try:
            found = socket.getaddrinfo(host, self._url.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise OutgoingHttpError(f"There is no host {host}, or it cannot be found.") from error
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        usable = [each for each in addresses if self._allow_private or is_public(each)]
        if not usable:
            raise BlockedAddressError(
                f"{host} lies in a private or reserved network, where requests must not go "
                "(OUTGOING_HTTP_ALLOW_PRIVATE allows it)."
            )
        return usable[:MAX_ADDRESSES]

    def _connection_to(self, address: str) -> HTTPConnection:
        timeout = max(0.001, self._deadline - time.monotonic())
        if self._url.scheme == "https":
            return HTTPSConnection(
                address,
                self._url.port,
                timeout=timeout,
                ssl_context=_tls(),
                server_hostname=self._url.host,
            )
        return HTTPConnection(address, self._url.port, timeout=timeout)

    def _ask(self, connection: HTTPConnection) -> Response:
        with self._lock:
            if self._is_over:
                raise DeadlineError("The caller has given up.")
            self._socket = connection.sock
        connection.request(
            "GET" if self._body is None else "POST",
            self._url.target,
            body=self._body,
            headers=self._headers,
            preload_content=False,
            decode_content=False,
        )
        answer: BaseHTTPResponse = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status, _start_of(answer), headers)


def _start_of(answer: BaseHTTPResponse) -> bytes:
    """Return what is kept of a body."""
    kept = bytearray()
    while len(kept) < MAX_RESPONSE_BYTES:
        chunk = answer.read(MAX_RESPONSE_BYTES - len(kept), decode_content=False)
        if not chunk:
            break
        kept += chunk
    return bytes(kept)


def _cut(sock: socket.socket | None) -> None:
    """End a connection that another thread reads from; that one then closes it."""
    if sock is not None:
        try:
            # Of the plain socket: TLS has a state that only its reader may touch.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            return  # it has just ended by itself


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Return the system's idea of whom to trust; reading the certificates takes milliseconds."""
    return ssl.create_default_context()


def _in_words(error: Exception) -> str:
    """Return what went wrong on the wire, without the objects that urllib3 names."""
    cause = error.__cause__ or error.args[-1] if isinstance(error, HTTPError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate is refused: {cause.verify_message}"
    if isinstance(cause, OSError) and cause.strerror:
        return str(cause.strerror)
    if isinstance(cause, ConnectionError | IncompleteRead):
        return "the connection ended before the answer did"
    return f"the answer is no HTTP ({type(cause or error).__name__})"
