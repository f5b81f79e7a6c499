"""`/suppressions`: addresses that get no mail, whoever sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.scopes import Scope
from delivery.api.addresses import PARAMETERS, asked_address, read_addresses
from delivery.api.requests import json_body, require_uuid
from delivery.email_types import email_types
from delivery.intake import fields
from delivery.intake.faults import Faults
from delivery.models import Suppression, SuppressionReason
from delivery.models.suppressions import ALL_MARKETING
from delivery.services.suppressions import (
    NewSuppression,
    add_suppressions,
    remove_suppression,
    remove_suppressions,
)
from mailservice.core.errors import NotFoundError
from mailservice.core.rest import page_body, page_params, paginate, refuse_unknown
from mailservice.core.sql import PLAN_FOR_VALUES, set_local

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from rest_framework.request import Request

_FIELDS = ("email", "emails", "reason", "email_type", "list", "note")
_SCOPE = ("email_type", "list", "scope")
#: Scopes that no type and no list names, as columns.
_WIDE_SCOPES = {
    "all": {"email_type": "", "list_key": ""},
    "marketing": {"email_type": ALL_MARKETING, "list_key": ""},
}


def _present(row: Suppression) -> dict[str, Any]:
    return {
        "id": row.pk,
        "email": row.address,
        "reason": row.reason,
        "scope": _scope(row),
        "email_type": row.email_type or None,
        "list": row.list_key or None,
        "note": row.note or None,
        "message_id": row.message_id,
        "created_at": row.created_at,
    }


def _scope(row: Suppression) -> str:
    if row.email_type == ALL_MARKETING:
        return "marketing"
    return "type" if row.email_type else "list" if row.list_key else "all"


class Suppressions(APIView):
    """List, add and remove suppressions."""

    scopes = {
        "GET": Scope.SUPPRESSIONS_READ,
        "POST": Scope.SUPPRESSIONS_WRITE,
        "DELETE": Scope.SUPPRESSIONS_WRITE,
    }

    def get(self, request: Request) -> Response:
        """List them, newest first."""
        query = request.query_params
        refuse_unknown(query, {*PARAMETERS, *_SCOPE, "reason", "limit", "cursor"})
        cursor, limit = page_params(query)
        faults = Faults()
        found = Suppression.objects.filter(**_filters(query, faults))
        if reason := query.get("reason"):
            found = found.filter(reason=_reason(reason, faults))
        faults.raise_if_any()
        with transaction.atomic():
            set_local(PLAN_FOR_VALUES)
            rows, next_cursor = paginate(found, cursor=cursor, limit=limit)
        return Response(page_body([_present(row) for row in rows], next_cursor))

    def post(self, request: Request) -> Response:
        """Add one address, or up to a thousand; those suppressed already stay as they are."""
        data = {name: value for name, value in json_body(request).items() if value is not None}
        faults = Faults()
        faults.add_unknown("", data, _FIELDS)
        addresses = read_addresses(data, faults)
        reason = _reason(data.get("reason", SuppressionReason.MANUAL.value), faults)
        email_type = _email_type(data.get("email_type", ""), faults)
        list_key = _list_key(data.get("list", ""), faults)
        note = fields.read_line(data.get("note"), "note", faults, max_chars=200)
        if email_type and list_key:
            faults.add("list", "conflict", "Give an email type or a list, not both.")
        faults.raise_if_any()
        added = add_suppressions(
            NewSuppression(address, reason, email_type=email_type, list_key=list_key, note=note)
            for address in addresses
        )
        if "email" not in data:
            body = {"added": added, "present": len(addresses) - added}
            return Response(body, status=201 if added else 200)
        row = Suppression.objects.filter(
            address=addresses[0], email_type=email_type, list_key=list_key
        ).first()
        if row is None:
            raise NotFoundError("It has just been removed again.")
        return Response(_present(row), status=201 if added else 200)

    def delete(self, request: Request) -> Response:
        """Remove an address's suppressions: of every scope, or of the one named."""
        query = request.query_params
        refuse_unknown(query, {*PARAMETERS, *_SCOPE})
        faults = Faults()
        for name in _SCOPE:
            # Whatever was to stand there, it is not every scope.
            if query.get(name) == "":
                faults.add(name, "required", "This is empty; leave it out to mean every scope.")
        filters = _filters(query, faults)
        if "address" not in filters and not faults:
            faults.add("email", "required", "Name the address whose suppressions to remove.")
        faults.raise_if_any()
        return Response({"removed": remove_suppressions(**filters)})


class SuppressionView(APIView):
    """One suppression."""

    scopes = {"GET": Scope.SUPPRESSIONS_READ, "DELETE": Scope.SUPPRESSIONS_WRITE}

    def get(self, _request: Request, suppression_id: str) -> Response:
        """Read it."""
        row = Suppression.objects.filter(pk=_id(suppression_id)).first()
        if row is None:
            raise NotFoundError("There is no such suppression.")
        return Response(_present(row))

    def delete(self, _request: Request, suppression_id: str) -> Response:
        """Remove it: its address gets such mail again."""
        if not remove_suppression(suppression_id=_id(suppression_id)):
            raise NotFoundError("There is no such suppression.")
        return Response(status=204)


def _id(text: str) -> UUID:
    return require_uuid(text, "suppression")


def _filters(query: Mapping[str, str], faults: Faults) -> dict[str, str]:
    """Return address and scope as the columns have them; empty parameters do not restrict."""
    address = asked_address(query, faults)
    found = {} if address is None else {"address": address}
    scopes = [name for name in _SCOPE if query.get(name)]
    if len(scopes) > 1:
        faults.add(scopes[1], "conflict", "Give one of email_type, list and scope.")
    elif "scope" in scopes:
        found |= _wide_scope(query["scope"], faults)
        if address is None:
            faults.add("scope", "conflict", "Name an email with it.")
    elif "email_type" in scopes:
        found["email_type"] = _email_type(query["email_type"], faults)
    elif "list" in scopes:
        found["list_key"] = _list_key(query["list"], faults)
    return found


def _wide_scope(value: str, faults: Faults) -> dict[str, str]:
    if value not in _WIDE_SCOPES:
        text = "Known are all and marketing; a type is named by email_type, a list by list."
        faults.add("scope", "invalid_choice", text)
    return _WIDE_SCOPES.get(value, {})


def _reason(value: object, faults: Faults) -> SuppressionReason:
    if value in SuppressionReason.values:
        return SuppressionReason(str(value))
    faults.add("reason", "invalid_choice", f"Known are {', '.join(SuppressionReason.values)}.")
    return SuppressionReason.MANUAL


def _email_type(value: object, faults: Faults) -> str:
    known = {"", ALL_MARKETING, *email_types()}
    if isinstance(value, str) and value in known:
        return value
    names = ", ".join(sorted(known - {""}))
    faults.add("email_type", "invalid_choice", f"There is no such email type; known are {names}.")
    return ""


def _list_key(value: object, faults: Faults) -> str:
    if value == "":
        return ""
    rule = "Use 1 to 64 letters, digits, hyphens and underscores."
    return fields.read_pattern(value, "list", faults, fields.LIST, rule)
