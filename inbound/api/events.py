"""`/provider-events`: what providers posted, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.scopes import Scope
from inbound.models import EventSource, RawEvent, RawStatus
from inbound.services.intake import try_again
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.rest import page_body, page_params, paginate, refuse_unknown
from mailservice.core.sql import PLAN_FOR_VALUES, set_local
from providers.api.reading import as_id, no_such

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from rest_framework.request import Request

#: Of a body so much is shown.
MAX_BODY_CHARS = 50_000


class ProviderEvents(APIView):
    """The posts of providers."""

    scopes = {"GET": Scope.PROVIDERS_READ}

    def get(self, request: Request) -> Response:
        """List the posts about one's own accounts, newest first."""
        query = request.query_params
        refuse_unknown(query, {"status", "provider_id", "limit", "cursor"})
        cursor, limit = page_params(query)
        accounts = _accounts(request)
        rows = RawEvent.objects.filter(source_id__in=_chosen(accounts, query)).defer("body")
        if status := query.get("status"):
            if status not in RawStatus.values:
                message = no_such("status", RawStatus.values)
                raise InvalidInputError.for_field("status", message, code="unknown_status")
            rows = rows.filter(status=status)
        with transaction.atomic():
            set_local(PLAN_FOR_VALUES)
            page, next_cursor = paginate(rows, cursor=cursor, limit=limit)
        found = [present(row, accounts[row.source_id]) for row in page]
        return Response(page_body(found, next_cursor))


class ProviderEvent(APIView):
    """One post."""

    scopes = {"GET": Scope.PROVIDERS_READ}

    def get(self, request: Request, event_id: str) -> Response:
        """Read it, with what was posted."""
        row, account = _find(request, event_id)
        text = bytes(row.body).decode("utf-8", "replace")
        body = {"content_type": row.content_type, "body": text[:MAX_BODY_CHARS]}
        return Response({**present(row, account), **body})


class RetryProviderEvent(APIView):
    """Once more."""

    scopes = {"POST": Scope.PROVIDERS_WRITE}

    def post(self, request: Request, event_id: str) -> Response:
        """Have it worked off once more; one that waits anyway just goes on waiting."""
        row, account = _find(request, event_id)
        try_again(ids=[row.pk])
        row.refresh_from_db()
        return Response(present(row, account), status=202)


def _accounts(request: Request) -> dict[UUID, UUID]:
    """Return the accounts whose posts a key may read, by their addresses.

    The company's carry everybody's mail, so they take the scope for that.
    """
    key = key_of(request)
    found = EventSource.objects.order_by("pk")
    if not key.has_scope(Scope.EMAILS_ALL):
        found = found.filter(provider__owner_id=key.user_id)
    return dict(found.values_list("pk", "provider_id"))


def _chosen(accounts: Mapping[UUID, UUID], query: Mapping[str, str]) -> list[UUID]:
    """Return the addresses asked for. Raises `InvalidInputError`."""
    given = query.get("provider_id")
    if not given:
        return list(accounts)
    wanted = as_id(given)
    chosen = [source for source, provider in accounts.items() if provider == wanted]
    if not chosen:
        message = "There is no such provider with an event address."
        raise InvalidInputError.for_field("provider_id", message, code="not_found")
    return chosen


def _find(request: Request, event_id: str) -> tuple[RawEvent, UUID]:
    """Return a post that the key may read, with its account. Raises `NotFoundError`."""
    accounts = _accounts(request)
    wanted = as_id(event_id)
    mine = RawEvent.objects.filter(source_id__in=list(accounts))
    found = mine.filter(pk=wanted).first() if wanted else None
    if found is None:
        raise NotFoundError("There is no such provider event.")
    return found, accounts[found.source_id]


def present(row: RawEvent, provider_id: UUID) -> dict[str, Any]:
    """Return a post without what was posted."""
    is_waiting = row.status == RawStatus.NEW
    return {
        "id": row.pk,
        "provider_id": provider_id,
        "status": row.status,
        "error": row.error or None,
        "attempts": row.attempts,
        "due_at": row.due_at if is_waiting else None,
        "received_at": row.received_at,
    }
