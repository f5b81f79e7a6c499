"""Bodies without Content-Length: sent in chunks, which Django takes to be empty.

Some programs cannot but send them (.NET's `PostAsJsonAsync`, curl from a pipe). The server has put
the chunks together already; here they are read to the end and handed on with their length.
"""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from django.conf import settings
from django.http import HttpResponse, UnreadablePostError

from mailservice.core.rest import bad_request, content_too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

logger = logging.getLogger(__name__)

#: After that the rest of a body in chunks is not waited for: it may be of any length.
READ_SECONDS = 120
_CHUNK_BYTES = 65_536
#: Longer ones go through a file.
_MEMORY_BYTES = 1_048_576


class ChunkedBodies:
    """Reads bodies sent in chunks, and answers clients that broke off with 400.

    A view class may bound its bodies by `max_body_bytes`, else `MAX_REQUEST_BYTES` holds; with
    `streams_body` it reads from the request itself, up to the end and as much as it likes.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, with a time limit for what comes in chunks."""
        if not _is_chunked(request.META):
            return self.get_response(request)
        with _time_limit(request.META.get("gunicorn.socket")):
            return self.get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponseBase],
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> HttpResponse | None:
        """Read the body, once it is known who wants it."""
        del args, kwargs
        if not _is_chunked(request.META):
            return None
        source = _Source(request.META["wsgi.input"])
        view_class = getattr(view, "view_class", None)
        if getattr(view_class, "streams_body", False):
            _hand_on(request, cast("BinaryIO", source))
            return None
        most: int = getattr(view_class, "max_body_bytes", settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        body = SpooledTemporaryFile(_MEMORY_BYTES)  # noqa: SIM115 - closed with the request
        size = 0
        try:
            while size <= most and (chunk := source.read(_CHUNK_BYTES)):
                size += body.write(chunk)
        except OSError as error:
            return _broken_off(request, error)
        if size > most:
            return _unlogged(content_too_large(request, most))
        body.seek(0)
        request.META["CONTENT_LENGTH"] = str(size)
        _hand_on(request, cast("BinaryIO", body))
        return None

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer a client that broke off, which is no fault of ours to write a traceback of."""
        return _broken_off(request, error) if isinstance(error, UnreadablePostError) else None


class _Source:
    """The server's stream; whatever goes wrong with it is an `OSError`, as Django expects it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """Return up to so many octets."""
        try:
            return self._stream.read(size)
        except OSError:
            raise
        except Exception as error:  # each server has its own for chunks that are none
            raise OSError(f"The body cannot be read: {type(error).__name__}") from error

    def close(self) -> None:
        """Leave the connection open: it belongs to the server."""


def _is_chunked(meta: Mapping[str, Any]) -> bool:
    return bool(
        meta.get("HTTP_TRANSFER_ENCODING")
        and meta.get("wsgi.input_terminated")
        and not meta.get("CONTENT_LENGTH")
    )


def _hand_on(request: HttpRequest, stream: BinaryIO) -> None:
    # There is no public way to give a request another body.
    request._stream = stream  # noqa: SLF001 - see above


@contextmanager
def _time_limit(connection: socket.socket | None) -> Iterator[None]:
    """End what is still to come after `READ_SECONDS`; the answer can be sent nevertheless."""
    if connection is None:
        yield
        return
    timer = threading.Timer(READ_SECONDS, _stop_reading, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _stop_reading(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RD)
    except OSError:  # the client has gone meanwhile
        logger.debug("A connection was closed before its time limit.")


def _broken_off(request: HttpRequest, error: Exception) -> HttpResponse:
    return _unlogged(bad_request(request, error))


def _unlogged(response: HttpResponse) -> HttpResponse:
    # The server's log of refused requests would name the path, which may be a secret.
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001 - Django's mark
    return response
