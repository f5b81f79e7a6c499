"""One TCP or TLS connection that writes bytes and reads replies, with time limits on both."""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import ssl
import time
from functools import lru_cache

from mailservice.core.networks import public_addresses
from providers.adapters.smtp.replies import ProtocolError, ReplyParser, WireReply

_RECV_BYTES = 16_384


class LostError(Exception):
    """The connection is gone: closed, reset, or its TLS failed."""


class TimedOutError(Exception):
    """The peer did not take or answer what it should have in time."""


#: Whatever ends a conversation without the peer's verdict.
WireError = LostError | TimedOutError | ProtocolError
WIRE_ERRORS = (LostError, TimedOutError, ProtocolError)


@lru_cache(maxsize=2)
def tls_context(*, verify: bool) -> ssl.SSLContext:
    """Return the shared TLS context; loading the trusted certificates costs 10 to 30 ms."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Connection:
    """A connected socket. Not thread-safe. Every fault surfaces as one of `WIRE_ERRORS`.

    `timeout_seconds` bounds each wait for progress; a reply as a whole may take at most twice that,
    so that a peer which drips bytes cannot hold us.
    """

    __slots__ = ("_parser", "_poll", "_socket", "timeout_seconds")

    def __init__(self, sock: socket.socket, *, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self._parser = ReplyParser()
        self._use(sock)

    @classmethod
    def to(
        cls, host: str, port: int, *, timeout_seconds: float, is_confined: bool = False
    ) -> Connection:
        """Connect by TCP, trying every address of `host`, or its public ones if `is_confined`.

        Raises `LostError`, `TimedOutError`.
        """
        try:
            sock = _dialled(host, port, timeout_seconds, is_confined=is_confined)
        except TimeoutError:
            raise TimedOutError(f"no connection within {timeout_seconds:g} s") from None
        except (OSError, UnicodeError) as error:
            raise LostError(f"cannot connect: {describe(error)}") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return cls(sock, timeout_seconds=timeout_seconds)

    def start_tls(self, host: str, *, verify: bool) -> None:
        """Turn to TLS. What the peer sent in plain text beyond its last reply is an attack.

        (CVE-2011-0411: injected plain text would otherwise be taken as said under TLS.)
        """
        if self._parser.has_pending:
            raise ProtocolError("data before the TLS handshake")
        try:
            secured = tls_context(verify=verify).wrap_socket(self._socket, server_hostname=host)
        except TimeoutError:
            raise TimedOutError("the TLS handshake timed out") from None
        except (OSError, ValueError) as error:
            raise LostError(f"TLS failed: {describe(error)}") from error
        self._parser = ReplyParser()
        self._use(secured)

    def hide(self, secrets: tuple[bytes, ...]) -> None:
        """Put `***` in the place of these in every reply from now on."""
        self._parser.hide(secrets)

    @property
    def tls_version(self) -> str:
        """`TLSv1.3` and the like; empty in plain text."""
        return (self._socket.version() or "") if isinstance(self._socket, ssl.SSLSocket) else ""

    @property
    def is_loopback(self) -> bool:
        """True if the peer is this host, so that nothing leaves it in plain text."""
        try:
            address = ipaddress.ip_address(self._socket.getpeername()[0].partition("%")[0])
        except (OSError, ValueError):
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback

    def own_address_literal(self) -> str:
        """Return our end as an address literal for EHLO (RFC 5321 §4.1.3)."""
        host = self._socket.getsockname()[0].partition("%")[0]
        return f"[IPv6:{host}]" if ":" in host else f"[{host}]"

    def write(self, data: bytes) -> None:
        """Hand all of `data` to the kernel.

        If this raises, the kernel did not take all of it, so the peer cannot have seen the end.
        """
        try:
            sent = self._socket.send(data)
            if sent < len(data):
                view = memoryview(data)
                while sent < len(data):
                    sent += self._socket.send(view[sent:])
        except TimeoutError:
            raise TimedOutError("the server stopped reading") from None
        except OSError as error:
            raise LostError(f"connection lost: {describe(error)}") from error

    def read_reply(self, *, timeout_seconds: float | None = None) -> WireReply:
        """Return the next reply, waiting for it."""
        next_reply = self._parser.next_reply
        if (reply := next_reply()) is not None:
            return reply
        limit = timeout_seconds or self.timeout_seconds
        deadline = time.monotonic() + limit
        while True:
            self._fill()
            if (reply := next_reply()) is not None:
                return reply
            if time.monotonic() >= deadline:
                raise TimedOutError(f"no reply within {limit:g} s")

    def read_parting_reply(self) -> WireReply | None:
        """Return the reply a peer left behind before it closed on us, if it already arrived."""
        try:
            if self._poll.poll(0):
                self._fill()
            return self._parser.next_reply()
        except WIRE_ERRORS:
            return None

    def is_quiet(self) -> bool:
        """Return whether the connection is open and the peer said nothing unasked (such as 421)."""
        if self._parser.has_pending or self._socket.fileno() < 0:
            return False
        try:
            if not self._poll.poll(0):
                return True
            self._socket.settimeout(0)
            try:
                # Under TLS 1.3 what made it readable may be a session ticket, which is no data.
                self._socket.recv(1)
            finally:
                self._socket.settimeout(self.timeout_seconds)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except (OSError, ValueError):
            return False
        return False

    def close(self) -> None:
        """Release the socket without ceremony. Never raises."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _use(self, sock: socket.socket) -> None:
        sock.settimeout(self.timeout_seconds)
        self._socket = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def _fill(self) -> None:
        try:
            data = self._socket.recv(_RECV_BYTES)
        except TimeoutError:
            return
        except OSError as error:
            raise LostError(f"connection lost: {describe(error)}") from error
        if not data:
            raise LostError("the server closed the connection")
        self._parser.feed(data)


def _dialled(host: str, port: int, timeout_seconds: float, *, is_confined: bool) -> socket.socket:
    """Return a socket connected to the first address that takes it. Raises `OSError`."""
    addresses = public_addresses(host, port) if is_confined else [host]
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return socket.create_connection((address, port), timeout=timeout_seconds)
    return socket.create_connection((addresses[-1], port), timeout=timeout_seconds)


def describe(error: Exception) -> str:
    """Return an operating system's or TLS library's complaint in one short line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS error").replace("_", " ").lower()
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
