"""What pixels and tracked links answer with.

A link leads exactly where its token says, and only we can have signed that: nobody is sent anywhere
else. Neither needs the database: without it the reader is served and the hit is lost.
"""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import idna
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse, HttpResponseNotAllowed
from django.views.decorators.csrf import csrf_exempt

from delivery.tracking import clicked, opened
from inbound.models import HitKind
from inbound.tracking.service import keep
from inbound.unsubscribe.views import page

if TYPE_CHECKING:
    from django.http import HttpRequest

#: One transparent dot.
_GIF = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
_ALLOWED = ("GET", "HEAD")
_RETRY_SECONDS = "5"
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'none'"
)
#: What stands in an address as it is: all of ASCII that is printed.
_PLAIN = "".join(map(chr, range(0x21, 0x7F)))


@csrf_exempt
def pixel(request: HttpRequest, token: str) -> HttpResponse:
    """Answer with the dot, whatever is asked for; keep the hit if it is one of ours."""
    if request.method not in _ALLOWED:
        return _closed(request, HttpResponseNotAllowed(_ALLOWED))
    try:
        track = opened(token)
    except (OperationalError, InterfaceError):
        track = None
    if track is not None:
        keep(request, HitKind.OPEN, token, track)
    return _closed(request, HttpResponse(_GIF, content_type="image/gif"))


@csrf_exempt
def link(request: HttpRequest, token: str) -> HttpResponse:
    """Send the reader where the link leads, and keep the hit."""
    if request.method not in _ALLOWED:
        return _closed(request, HttpResponseNotAllowed(_ALLOWED))
    try:
        track = clicked(token)
    except (OperationalError, InterfaceError):
        response = _page(request, "away", status=503)
        response["Retry-After"] = _RETRY_SECONDS
        return response
    if track is None:
        return _page(request, "gone", status=404)
    keep(request, HitKind.CLICK, token, track)
    response = HttpResponse(status=302)
    response["Location"] = location_of(track.url)
    return _closed(request, response)


def location_of(url: str) -> str:
    """Return an address as it can stand in a header; one of printed ASCII is left as it is."""
    if url.isascii():
        return quote(url, safe=_PLAIN)
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host.isascii():
            wire = idna.encode(host, uts46=True).decode()
            url = url.replace(parts.netloc, _replaced(parts.netloc, wire), 1)
    except (ValueError, UnicodeError):
        pass  # browsers find out themselves what to make of that host
    return quote(url, safe=_PLAIN)


def _replaced(netloc: str, host: str) -> str:
    """Return user, host and port with another host."""
    user, at, rest = netloc.rpartition("@")
    _, colon, port = rest.partition(":")
    return f"{user}{at}{host}{colon}{port}"


def _page(request: HttpRequest, kind: str, *, status: int) -> HttpResponse:
    response = page(request, kind, status=status)
    response["Content-Security-Policy"] = _POLICY
    return _closed(request, response)


def _closed(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Keep the answer from caches and search engines, and the link from where it leads."""
    if request.method == "HEAD":
        # The server sends what it is given, also where there must be none.
        length = len(response.content)
        response.content = b""
        response["Content-Length"] = str(length)
    response["Cache-Control"] = "no-store, private"
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow"
    # The server's log of refused requests would name the path.
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001 - Django's mark
    return response
