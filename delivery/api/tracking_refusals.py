"""`/tracking-refusals`: addresses whose owners want opens and clicks unseen."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any

from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.scopes import Scope
from delivery.api.addresses import PARAMETERS, asked_address, read_addresses
from delivery.api.requests import json_body
from delivery.intake.faults import Faults
from delivery.models import TrackingRefusal
from delivery.services.suppressions import allow_tracking, refuse_tracking
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.rest import page_body, page_params, refuse_unknown

if TYPE_CHECKING:
    from rest_framework.request import Request


def _present(row: TrackingRefusal) -> dict[str, Any]:
    return {"email": row.address, "created_at": row.created_at}


class TrackingRefusals(APIView):
    """List, add and remove refusals."""

    scopes = {
        "GET": Scope.SUPPRESSIONS_READ,
        "POST": Scope.SUPPRESSIONS_WRITE,
        "DELETE": Scope.SUPPRESSIONS_WRITE,
    }

    def get(self, request: Request) -> Response:
        """List them by address."""
        query = request.query_params
        refuse_unknown(query, {*PARAMETERS, "limit", "cursor"})
        cursor, limit = page_params(query)
        faults = Faults()
        address = asked_address(query, faults)
        faults.raise_if_any()
        found = TrackingRefusal.objects.order_by("pk")
        if address is not None:
            found = found.filter(pk=address)
        if cursor:
            found = found.filter(pk__gt=_address_in(cursor))
        rows = list(found[: limit + 1])
        next_cursor = _cursor(rows[limit - 1].address) if len(rows) > limit else None
        return Response(page_body([_present(row) for row in rows[:limit]], next_cursor))

    def post(self, request: Request) -> Response:
        """Add one address, or up to a thousand."""
        data = {name: value for name, value in json_body(request).items() if value is not None}
        faults = Faults()
        faults.add_unknown("", data, ("email", "emails"))
        addresses = read_addresses(data, faults)
        faults.raise_if_any()
        added = refuse_tracking(addresses=addresses)
        status = 201 if added else 200
        if "email" not in data:
            return Response({"added": added, "present": len(addresses) - added}, status=status)
        row = TrackingRefusal.objects.filter(pk=addresses[0]).first()
        if row is None:
            raise NotFoundError("It has just been removed again.")
        return Response(_present(row), status=status)

    def delete(self, request: Request) -> Response:
        """Remove an address's refusal: its owner agrees to be tracked again."""
        query = request.query_params
        refuse_unknown(query, PARAMETERS)
        faults = Faults()
        address = asked_address(query, faults)
        if address is None and not faults:
            faults.add("email", "required", "Name the address whose refusal to remove.")
        faults.raise_if_any()
        return Response({"removed": int(allow_tracking(address=address or ""))})


def _cursor(address: str) -> str:
    return urlsafe_b64encode(address.encode()).rstrip(b"=").decode()


def _address_in(cursor: str) -> str:
    """Return the address that a page begins after. Raises `InvalidInputError`."""
    try:
        address = urlsafe_b64decode(cursor.encode() + b"==").decode()
    except ValueError:  # not base64, or no text
        address = ""
    if _cursor(address) != cursor or "\0" in address:
        raise InvalidInputError.for_field(
            "cursor", 'Use the value of "next" from the page before, unchanged.'
        )
    return address
