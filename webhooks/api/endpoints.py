"""`/webhooks`: endpoints that are told of what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.scopes import Scope
from mailservice.core.errors import NotFoundError
from mailservice.core.rest import page_body, page_params, paginate, refuse_unknown
from providers.api.reading import Faults, are_texts, is_flag, is_text, read_members
from webhooks.api.presenters import present_endpoint, present_result
from webhooks.kinds import MEANINGS
from webhooks.models import Endpoint
from webhooks.services.deliveries import send_test
from webhooks.services.endpoints import (
    create_endpoint,
    delete_endpoint,
    rotate_secret,
    update_endpoint,
)

if TYPE_CHECKING:
    from rest_framework.request import Request

    from providers.api.reading import Table
    from webhooks.services.endpoints import EndpointChanges, WithSecret

_FIELDS: Table = {
    "url": ("url", is_text),
    "description": ("description", is_text),
    "kinds": ("kinds", are_texts),
    "reaches_all": ("reaches_all", is_flag),
    "active": ("is_active", is_flag),
}
_DEFAULTS: dict[str, Any] = {
    "url": "",
    "description": "",
    "kinds": [],
    "reaches_all": False,
    "is_active": True,
}
#: Shown, not set: accepted and ignored, so that what was read can be sent back.
_READ_ONLY = frozenset(
    {"id", "disabled_at", "disabled_reason", "failing_since", "paused_until", "created_at"}
    | {"previous_secret_expires_at"}
)


class Endpoints(APIView):
    """List endpoints, or make one."""

    scopes = {"GET": Scope.WEBHOOKS_READ, "POST": Scope.WEBHOOKS_WRITE}

    def get(self, request: Request) -> Response:
        """List one's own endpoints, newest first."""
        refuse_unknown(request.query_params, {"limit", "cursor"})
        cursor, limit = page_params(request.query_params)
        visible = Endpoint.objects.visible_to(key_of(request)).defer("secret", "previous_secret")
        rows, next_cursor = paginate(visible, cursor=cursor, limit=limit)
        return Response(page_body([present_endpoint(row) for row in rows], next_cursor))

    def post(self, request: Request) -> Response:
        """Make an endpoint; only this answer has its secret."""
        values = _read(request)
        made = create_endpoint(owner_id=key_of(request).user_id, values=values)
        return _with_secret(made, 201)


class EndpointView(APIView):
    """One endpoint."""

    scopes = {
        "GET": Scope.WEBHOOKS_READ,
        "PATCH": Scope.WEBHOOKS_WRITE,
        "DELETE": Scope.WEBHOOKS_WRITE,
    }

    def get(self, request: Request, endpoint_id: str) -> Response:
        """Read an endpoint."""
        return Response(present_endpoint(find_endpoint(request, endpoint_id)))

    def patch(self, request: Request, endpoint_id: str) -> Response:
        """Change the fields given; null sets the default, `active` true enables it again."""
        endpoint = find_endpoint(request, endpoint_id)
        return Response(present_endpoint(update_endpoint(endpoint.pk, _read(request))))

    def delete(self, request: Request, endpoint_id: str) -> Response:
        """Delete an endpoint."""
        delete_endpoint(find_endpoint(request, endpoint_id).pk)
        return Response(status=204)


class RotateSecret(APIView):
    """A new secret."""

    scopes = {"POST": Scope.WEBHOOKS_WRITE}

    def post(self, request: Request, endpoint_id: str) -> Response:
        """Make a new secret, shown once; the old one signs beside it for 24 hours."""
        return _with_secret(rotate_secret(find_endpoint(request, endpoint_id).pk), 200)


class EndpointTest(APIView):
    """A trial."""

    scopes = {"POST": Scope.WEBHOOKS_WRITE}

    def post(self, request: Request, endpoint_id: str) -> Response:
        """Send a `webhook.test` now and tell how that went; takes up to ten seconds."""
        delivery_id, result = send_test(find_endpoint(request, endpoint_id).pk)
        return Response(present_result(delivery_id, result))


class Kinds(APIView):
    """What there is to hear of."""

    scopes = {"GET": Scope.WEBHOOKS_READ}

    def get(self, request: Request) -> Response:
        """List the kinds with their meanings."""
        refuse_unknown(request.query_params, frozenset())
        kinds = [{"kind": kind, "description": text} for kind, text in MEANINGS.items()]
        return Response(page_body(kinds, None))


def find_endpoint(request: Request, endpoint_id: str) -> Endpoint:
    """Return an endpoint that the key may reach. Raises `NotFoundError`."""
    try:
        pk = UUID(endpoint_id)
    except ValueError:
        pk = None
    visible = Endpoint.objects.visible_to(key_of(request)).defer("secret", "previous_secret")
    endpoint = visible.filter(pk=pk).first() if pk else None
    if endpoint is None:
        raise NotFoundError("There is no such webhook endpoint.")
    return endpoint


def _read(request: Request) -> EndpointChanges:
    """Return the changes asked for. Raises `InvalidInputError`, `PermissionDenied`."""
    faults = Faults()
    found = read_members(request.data, _FIELDS, faults, ignored=_READ_ONLY)
    faults.raise_if_any()
    values: EndpointChanges = {  # type: ignore[assignment]  # the table names its keys
        name: _DEFAULTS[name] if value is None else value for name, value in found.items()
    }
    if values.get("reaches_all") and not key_of(request).has_scope(Scope.EMAILS_ALL):
        raise PermissionDenied(
            f"reaches_all: This API key lacks the scope {Scope.EMAILS_ALL.value}."
        )
    return values


def _with_secret(made: WithSecret, status: int) -> Response:
    body = {**present_endpoint(made.endpoint), "secret": made.secret}
    return Response(body, status=status, headers={"Cache-Control": "no-store"})
