"""REST plumbing: JSON in, JSON out, one shape of error, and pages.

Every error answer is `{"code", "message", "details"}`. Codes are stable; `details` is an object,
for invalid input a mapping from field path to a list of `{"code", "message"}`.
"""

from __future__ import annotations

import json
import logging
import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import orjson
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.db import InterfaceError, OperationalError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.utils.functional import Promise
from django.views import defaults
from rest_framework import exceptions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.response import Response

from mailservice.core.errors import DomainError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet
    from rest_framework.request import Request

_Row = TypeVar("_Row", bound=Model)

logger = logging.getLogger(__name__)

#: What we ask callers to wait when the database does not answer.
UNAVAILABLE_RETRY_SECONDS = 5
DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
_LIMIT_DIGITS = 10
_API_PREFIX = "/api/"

_CODES = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
}


class MalformedRequestError(DomainError):
    """The body is no JSON object, so no field can be named."""

    code = "malformed_json"


class RequestTooLargeError(DomainError):
    """The request body exceeds the configured size."""

    code = "too_large"
    http_status = 413


def dump_json(data: object) -> bytes:
    """Return `data` as UTF-8 JSON; dates in ISO 8601, decimals and lazy texts as strings."""
    try:
        return orjson.dumps(data, default=_encode, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:  # whole numbers beyond 64 bits, which the database can hold
        text = json.dumps(data, default=_encode_any, ensure_ascii=False, separators=(",", ":"))
        return text.encode()


def load_json_object(body: bytes | str) -> dict[str, Any]:
    """Return the JSON object in `body`. Raises `MalformedRequestError` with the position.

    Numbers beyond 64 bits become floats; NaN, infinities, lone surrogates, invalid UTF-8 and more
    than 1,024 levels are refused. Of a repeated key the last value counts.
    """
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        position = {"line": error.lineno, "column": error.colno}
        raise MalformedRequestError(
            f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno}).",
            details=position,
        ) from None
    if not isinstance(data, dict):
        raise MalformedRequestError("The body must be a JSON object.")
    return data


class OrjsonRenderer(BaseRenderer):
    """Renders whatever views return as JSON."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self,
        data: object,
        accepted_media_type: str | None = None,  # noqa: ARG002 - DRF's signature
        renderer_context: Mapping[str, Any] | None = None,  # noqa: ARG002 - DRF's signature
    ) -> bytes:
        """Return the body; empty for no data."""
        return b"" if data is None else dump_json(data)


class OrjsonParser(BaseParser):
    """Reads a JSON object."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002 - DRF's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002 - DRF's signature
    ) -> dict[str, Any]:
        """Return the object. Raises `MalformedRequestError`, `RequestDataTooBig`."""
        # `body` obeys DATA_UPLOAD_MAX_MEMORY_SIZE and stays readable for idempotency; `read` no.
        raw: object = stream
        body = raw.body if isinstance(raw, HttpRequest) else stream.read()
        return load_json_object(body)


class JsonNegotiation(DefaultContentNegotiation):
    """Takes a body without Content-Type for JSON, and answers JSON whatever `Accept` says."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the parser for the body, the first one where no type is given."""
        content_type = request.content_type or ""
        if not content_type or content_type.partition(";")[0].strip().endswith("+json"):
            return next(iter(parsers), None)
        return super().select_parser(request, parsers)

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002 - DRF's signature
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002 - DRF's signature
    ) -> tuple[BaseRenderer, str]:
        """Return the first renderer: RFC 9110 §12.5.1 lets a server disregard `Accept`."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """Return the answer to `exc` in the one shape, or None to let it propagate to the 500 page."""
    response = _response_for(exc, context)
    if response is not None:
        # DRF reads its settings, and so this module, while it defines its views.
        from rest_framework.views import set_rollback  # noqa: PLC0415 - see above

        set_rollback()
    return response


def _response_for(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    if isinstance(exc, DomainError):
        return _domain_error(exc)
    if isinstance(exc, (OperationalError, InterfaceError)):
        return _unavailable(exc, context)
    if isinstance(exc, (RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent)):
        return _domain_error(RequestTooLargeError("The request body is too large."))
    known = _as_api_exception(exc)
    return None if known is None else _api_exception(known)


def _domain_error(error: DomainError) -> Response:
    """Answer a refusal; `details["retry_after_seconds"]` also becomes the Retry-After header."""
    headers = {}
    wait = error.details.get("retry_after_seconds")
    if isinstance(wait, (int, float)):
        headers["Retry-After"] = str(math.ceil(wait))
    return Response(
        error_body(error.code, error.message, error.details),
        status=error.http_status,
        headers=headers,
    )


def _unavailable(exc: Exception, context: Mapping[str, Any]) -> Response:
    view = type(context.get("view")).__name__
    logger.error("Database unavailable in %s", view, exc_info=exc)
    return Response(
        error_body("unavailable", "The service is briefly unavailable; please repeat the request."),
        status=503,
        headers={"Retry-After": str(UNAVAILABLE_RETRY_SECONDS)},
    )


def _as_api_exception(exc: Exception) -> exceptions.APIException | None:
    if isinstance(exc, exceptions.APIException):
        return exc
    if isinstance(exc, Http404):
        return exceptions.NotFound()
    if isinstance(exc, PermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(exc, (SuspiciousOperation, UnreadablePostError)):
        return exceptions.ParseError("The request could not be read.")
    return None


def _api_exception(exc: exceptions.APIException) -> Response:
    headers = {}
    auth_header = getattr(exc, "auth_header", None)
    if auth_header:
        headers["WWW-Authenticate"] = auth_header
    wait = getattr(exc, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(math.ceil(wait))
    if isinstance(exc, exceptions.ValidationError):
        body = _validation_body(exc)
    else:
        body = error_body(_code_of(exc), str(exc.detail))
    return Response(body, status=exc.status_code, headers=headers)


def _code_of(exc: exceptions.APIException) -> str:
    """Return the code given when raising, else the one that belongs to the status."""
    code = exc.get_codes()
    if isinstance(code, str) and code != exc.default_code:
        return code
    return _CODES.get(exc.status_code, exc.default_code)


def _validation_body(exc: exceptions.ValidationError) -> dict[str, Any]:
    details: dict[str, list[dict[str, str]]] = {}
    _flatten(exc.get_full_details(), "", details)
    field, faults = next(iter(details.items()), ("", [{"message": "The input is invalid."}]))
    message = f"{field}: {faults[0]['message']}" if field else faults[0]["message"]
    return error_body("invalid", message, details)


def _flatten(node: object, path: str, into: dict[str, list[dict[str, str]]]) -> None:
    """Collect the leaves of nested details under paths such as `to[1].email`."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            is_leaf = isinstance(item, dict) and set(item) == {"message", "code"}
            _flatten(item, path if is_leaf else f"{path}[{index}]", into)
    elif isinstance(node, dict) and set(node) == {"message", "code"}:
        fault = {"code": str(node["code"]), "message": str(node["message"])}
        into.setdefault(path, []).append(fault)
    elif isinstance(node, dict):
        for key, item in node.items():
            name = "" if key == "non_field_errors" else str(key)
            _flatten(item, ".".join(part for part in (path, name) if part), into)


def error_body(code: str, message: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the one shape of every error."""
    return {"code": code, "message": message, "details": dict(details or {})}


def _error_page(status: int, code: str, message: str) -> HttpResponse:
    return HttpResponse(
        dump_json(error_body(code, message)), status=status, content_type="application/json"
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400 (`handler400`): JSON under /api/, a page elsewhere."""
    if request.path.startswith(_API_PREFIX):
        return _error_page(400, "invalid", "The request could not be read.")
    return defaults.bad_request(request, exception)


def content_too_large(request: HttpRequest, max_bytes: int) -> HttpResponse:
    """Answer 413: JSON under /api/, a line of text elsewhere."""
    if request.path.startswith(_API_PREFIX):
        return _error_page(413, "too_large", "The request body is too large.")
    return HttpResponse(
        f"At most {max_bytes} bytes are taken.", status=413, content_type="text/plain"
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403 (`handler403`): JSON under /api/, a page elsewhere."""
    if request.path.startswith(_API_PREFIX):
        return _error_page(403, "forbidden", "This is not allowed.")
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404 (`handler404`): JSON under /api/, a page elsewhere."""
    if request.path.startswith(_API_PREFIX):
        return _error_page(404, "not_found", "There is nothing at this path.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500 (`handler500`) without telling why: JSON under /api/, a page elsewhere."""
    if request.path.startswith(_API_PREFIX):
        return _error_page(500, "internal_error", "Something went wrong on our side.")
    return defaults.server_error(request)


def _encode(value: object) -> object:
    """Return what orjson can write for a value it does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, (Decimal, Promise)):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _encode_any(value: object) -> object:
    """Return what the standard library can write for a value that only orjson knows."""
    if isinstance(value, (UUID, date, time)):
        return orjson.loads(orjson.dumps(value))
    return _encode(value)


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `InvalidInputError` naming the query parameters that do not exist."""
    names = ", ".join(sorted(known)) or "none"
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InvalidInputError.for_fields(
            [
                (name[:64], "unknown_field", f"There is no such parameter; there are {names}.")
                for name in unknown[:10]
            ]
        )


def page_params(query: Mapping[str, str]) -> tuple[str | None, int]:
    """Return `cursor` and `limit` from the query string. Raises `InvalidInputError`."""
    limit = query.get("limit", "")
    if not limit:
        return query.get("cursor") or None, DEFAULT_PAGE_SIZE
    if not (limit.isascii() and limit.isdigit() and len(limit) < _LIMIT_DIGITS):
        raise InvalidInputError.for_field("limit", "The limit must be a whole number.")
    if not 1 <= int(limit) <= MAX_PAGE_SIZE:
        raise InvalidInputError.for_field(
            "limit", f"The limit must lie between 1 and {MAX_PAGE_SIZE}.", code="out_of_range"
        )
    return query.get("cursor") or None, int(limit)


def paginate(
    queryset: QuerySet[_Row], *, cursor: str | None, limit: int
) -> tuple[list[_Row], str | None]:
    """Return one page, newest first, and the cursor of the next page or None.

    The rows need UUIDv7 keys named `id`; rows added meanwhile never shift a page. Raises
    `InvalidInputError` for a cursor that is not ours.
    """
    if cursor:
        queryset = queryset.filter(pk__lt=decode_cursor(cursor))
    rows = list(queryset.order_by("-pk")[: limit + 1])
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode_cursor(rows[limit - 1].pk)


def page_body(results: list[Any], next_cursor: str | None) -> dict[str, Any]:
    """Return the one shape of every list."""
    return {"results": results, "next": next_cursor}


def encode_cursor(last_id: UUID) -> str:
    """Return the opaque text for "after this row"; it grants nothing, so it is not signed."""
    return urlsafe_b64encode(last_id.bytes).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> UUID:
    """Return the id inside a cursor. Raises `InvalidInputError`."""
    try:
        last_id = UUID(bytes=urlsafe_b64decode(cursor.encode() + b"=="))
    except ValueError:  # not base64, not ASCII, or not 16 octets
        last_id = None
    if last_id is None or encode_cursor(last_id) != cursor:
        raise InvalidInputError.for_field(
            "cursor", 'Use the value of "next" from the page before, unchanged.'
        )
    return last_id
