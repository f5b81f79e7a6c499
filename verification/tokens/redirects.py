"""Where a confirmed person may be sent: only below addresses that the owner has named.

An open redirect lends our name to whoever wants to phish. So a URL is taken apart strictly, what
browsers and servers read in different ways is refused, and what is sent out is put together anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_URL_CHARS = 2_000
_PORTS = {"http": 80, "https": 443}
# Spaces, control characters, backslashes and what is not ASCII are read differently by everybody.
_SAFE = re.compile(r"[!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]+\Z")
_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\Z"
    r"|[0-9a-f:.]*:[0-9a-f:.]*\Z"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%(?:2f|5c|00|25)", re.IGNORECASE)


class RedirectError(ValueError):
    """The URL cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart; host in lower case, port as a number, path never empty."""

    scheme: str
    host: str
    port: int
    path: str
    query: str
    fragment: str

    @property
    def origin(self) -> str:
        """Return `https://app.example.com`, with the port unless it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def url(self) -> str:
        """Return the whole, written in one way."""
        query = f"?{self.query}" if self.query else ""
        fragment = f"#{self.fragment}" if self.fragment else ""
        return f"{self.origin}{self.path}{query}{fragment}"


def read_target(url: str) -> Target:
    """Take a URL apart. Raises `RedirectError`."""
    if len(url) > MAX_URL_CHARS:
        raise RedirectError(f"A URL has at most {MAX_URL_CHARS} characters here.")
    if not _SAFE.match(url):
        raise RedirectError("Use ASCII only, without spaces or backslashes; escape the rest (%…).")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RedirectError("This is no URL.") from None
    if parts.scheme not in _PORTS:
        raise RedirectError("Begin with https:// (or http://).")
    host = parts.hostname or ""
    if "@" in parts.netloc or not _HOST.match(host):
        raise RedirectError("Name a host, without user name or password.")
    _check_path(parts.path)
    return Target(
        scheme=parts.scheme,
        host=host,
        port=_PORTS[parts.scheme] if port is None else port,
        path=parts.path or "/",
        query=parts.query,
        fragment=parts.fragment,
    )


def read_prefix(text: str) -> str:
    """Return an entry of an allow-list in its one form: origin and path. Raises `RedirectError`."""
    target = read_target(text.strip())
    if target.query or target.fragment:
        raise RedirectError("Name scheme, host and path only, without ? and #.")
    return target.url


def is_allowed(target: Target, prefixes: Iterable[str]) -> bool:
    """Tell whether a URL lies at or below one of the allow-list's entries.

    `https://a.example/welcome` covers `/welcome` and `/welcome/…`, not `/welcomes`.
    """
    return any(_covers(read_target(prefix), target) for prefix in prefixes)


def with_outcome(target: Target, outcome: Mapping[str, str]) -> str:
    """Return the URL with the outcome in its query; what bears the same names there goes."""
    kept = [
        (name, value)
        for name, value in parse_qsl(target.query, keep_blank_values=True)
        if name not in outcome
    ]
    query = urlencode([*kept, *outcome.items()])
    return Target(target.scheme, target.host, target.port, target.path, query, target.fragment).url


def _covers(prefix: Target, target: Target) -> bool:
    if (prefix.scheme, prefix.host, prefix.port) != (target.scheme, target.host, target.port):
        return False
    below = prefix.path if prefix.path.endswith("/") else f"{prefix.path}/"
    return target.path == prefix.path or target.path.startswith(below)


def _check_path(path: str) -> None:
    if _BAD_ESCAPE.search(path):
        raise RedirectError("The path holds an escape that servers read in different ways.")
    for segment in path.split("/"):
        # Some servers cut off what follows a semicolon before they look at the dots.
        if unquote(segment).partition(";")[0] in {".", ".."}:
            raise RedirectError("The path must not hold . or .. as a segment.")
