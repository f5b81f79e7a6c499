"""One warm HTTP connection that knows how far the request under way has come.

Whether a mail may have been taken depends on one thing: did the whole body leave us? `requests`
does not tell, so the connection notes it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, cast

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from mailservice.core.networks import PrivateNetworkError, public_addresses
from providers.adapters.esp.classify import Stage

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

#: Servers close idle connections sooner or later; one this old is not trusted with a mail.
MAX_IDLE_SECONDS = 10.0


def _nobody() -> None:
    """Nobody wants to know when the body goes out."""


class Wire:
    """How far the request under way is."""

    __slots__ = ("_hand_over", "stage")

    def __init__(self) -> None:
        self.begin(_nobody)

    def begin(self, hand_over: Callable[[], None]) -> None:
        """Expect a request; `hand_over` is called right before its body goes out."""
        self._hand_over = hand_over
        self.stage = Stage.UNSENT

    def note_body(self) -> None:
        """Note that the headers are out and the body comes next."""
        self._hand_over()
        self.stage = Stage.SENDING

    def note_sent(self) -> None:
        """Note that the kernel took everything."""
        self.stage = Stage.SENT


class _Confined:
    """A connection that goes to public addresses only, looked up once; by a proxy, that decides."""

    is_confined: bool
    proxy: Any
    host: str
    port: int
    _dns_host: str

    def _new_conn(self) -> socket.socket:
        connect = super()._new_conn  # type: ignore[misc]  # of the connection it is mixed into
        if not self.is_confined or self.proxy is not None:
            return cast("socket.socket", connect())
        name = self._dns_host
        try:
            # TLS asks for `host` only afterwards.
            self._dns_host = _first_public(self, name)
            return cast("socket.socket", connect())
        finally:
            self._dns_host = name


def _first_public(connection: Any, name: str) -> str:
    try:
        return public_addresses(name, connection.port)[0]
    except PrivateNetworkError as error:
        raise NewConnectionError(connection, str(error)) from error
    except (OSError, UnicodeError) as error:
        raise NewConnectionError(connection, f"cannot find {name}") from error


class _PlainConnection(_Confined, HTTPConnection):
    """A connection that tells the wire what it does."""

    wire: Wire

    def endheaders(self, *args: Any, **options: Any) -> None:
        super().endheaders(*args, **options)
        self.wire.note_body()

    def request(self, *args: Any, **options: Any) -> None:
        super().request(*args, **options)
        self.wire.note_sent()


class _SecureConnection(_Confined, HTTPSConnection):
    """The same with TLS."""

    wire: Wire

    def endheaders(self, *args: Any, **options: Any) -> None:
        super().endheaders(*args, **options)
        self.wire.note_body()

    def request(self, *args: Any, **options: Any) -> None:
        super().request(*args, **options)
        self.wire.note_sent()


class _WatchedAdapter(HTTPAdapter):
    """The transport of `requests` with one connection, which is watched; nothing is repeated."""

    def __init__(self, wire: Wire, *, is_confined: bool) -> None:
        own = {"wire": wire, "is_confined": is_confined}
        plain = type("Plain", (_PlainConnection,), own)
        secure = type("Secure", (_SecureConnection,), own)
        self._pools = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


class WatchedSession(requests.Session):
    """A `requests` session for one API: no redirects, no cookies, no credentials but ours.

    Proxies and a CA bundle are taken from the environment as usual; `.netrc` is not, since it would
    replace the account's credentials.
    """

    def __init__(self, api_url: str, wire: Wire, *, is_confined: bool = False) -> None:
        super().__init__()
        self.trust_env = False
        self.proxies = get_environ_proxies(api_url)
        self.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
        self.headers["User-Agent"] = "mailservice"
        self._used_at = time.monotonic()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _WatchedAdapter(wire, is_confined=is_confined))

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """Send a request; a redirect is an answer like any other.

        Following one would turn the mail into a GET and carry credentials to another host.
        """
        if time.monotonic() - self._used_at > MAX_IDLE_SECONDS:
            for adapter in self.adapters.values():
                adapter.close()
        options["allow_redirects"] = False
        try:
            return super().request(*args, **options)
        finally:
            self.cookies.clear()
            self._used_at = time.monotonic()
