"""`/webhooks/{id}/deliveries` and `/webhooks/{id}/replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.dateparse import parse_datetime
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.scopes import Scope
from mailservice.core.errors import InvalidInputError
from mailservice.core.rest import (
    decode_cursor,
    encode_cursor,
    page_body,
    page_params,
    paginate,
    refuse_unknown,
)
from mailservice.core.sql import PLAN_FOR_VALUES, database_now, set_local
from providers.api.reading import Faults, as_id, is_id, is_text, read_members
from webhooks.api.endpoints import find_endpoint
from webhooks.api.presenters import present_delivery
from webhooks.models import Delivery, DeliveryState
from webhooks.selectors import logs_of
from webhooks.services.deliveries import replay_one, replay_range

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from rest_framework.request import Request

    from providers.api.reading import Table

_FIELDS: Table = {
    "delivery_id": ("delivery_id", is_id),
    "from": ("since", is_text),
    "to": ("until", is_text),
    "status": ("status", is_text),
    "cursor": ("cursor", is_text),
}


class Deliveries(APIView):
    """The log of an endpoint."""

    scopes = {"GET": Scope.WEBHOOKS_READ}

    def get(self, request: Request, endpoint_id: str) -> Response:
        """List deliveries, newest first, with what was sent and what came back."""
        refuse_unknown(request.query_params, {"limit", "cursor", "status"})
        endpoint = find_endpoint(request, endpoint_id)
        cursor, limit = page_params(request.query_params)
        rows = Delivery.objects.filter(endpoint_id=endpoint.pk).select_related("occurrence")
        if status := request.query_params.get("status"):
            rows = rows.filter(status=_status(status))
        with transaction.atomic():
            set_local(PLAN_FOR_VALUES)
            page, next_cursor = paginate(rows, cursor=cursor, limit=limit)
        logs = logs_of([row.pk for row in page])
        return Response(
            page_body([present_delivery(row, logs[row.pk]) for row in page], next_cursor)
        )


class Replay(APIView):
    """Telling again."""

    scopes = {"POST": Scope.WEBHOOKS_WRITE}

    def post(self, request: Request, endpoint_id: str) -> Response:
        """Have one delivery, or those of a range of time, sent again under their ids."""
        endpoint = find_endpoint(request, endpoint_id)
        faults = Faults()
        found = read_members(request.data, _FIELDS, faults, ignored=frozenset())
        faults.raise_if_any()
        given = {name: value for name, value in found.items() if value is not None}
        delivery_id = as_id(given.get("delivery_id"))
        if delivery_id is None:
            return Response(_replay_range(endpoint.pk, given), status=202)
        if len(given) > 1:
            raise InvalidInputError.for_field("delivery_id", "Give this, or a range, not both.")
        replay_one(endpoint_id=endpoint.pk, delivery_id=delivery_id)
        return Response({"replayed": 1, "next": None}, status=202)


def _replay_range(endpoint_id: UUID, given: dict[str, Any]) -> dict[str, Any]:
    if "since" not in given:
        raise InvalidInputError.for_field(
            "from", "Give a time to begin with, or a delivery_id.", code="required"
        )
    since = _moment("from", given["since"])
    until = _moment("to", given["until"]) if "until" in given else database_now()
    if since >= until:
        raise InvalidInputError.for_field("from", "This must be before `to`.")
    cursor = given.get("cursor")
    done = replay_range(
        endpoint_id=endpoint_id,
        since=since,
        until=until,
        statuses=[_status(given.get("status", DeliveryState.FAILED.value))],
        last=decode_cursor(cursor) if cursor else None,
    )
    return {"replayed": done.count, "next": encode_cursor(done.next) if done.next else None}


def _status(value: str) -> str:
    if value not in DeliveryState.values:
        known = ", ".join(DeliveryState.values)
        raise InvalidInputError.for_field("status", f"Use one of {known}.", code="unknown_status")
    return value


def _moment(field: str, text: str) -> datetime:
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidInputError.for_field(
            field, "Use ISO 8601 with an offset, such as 2026-11-21T09:30:00Z."
        )
    return moment
