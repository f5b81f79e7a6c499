"""`/sender-domains`: what the DNS of one's domains has to say, and what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.scopes import Scope
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.rest import page_body, page_params, paginate
from verification.domains.input import FIELDS
from verification.models import SenderDomain
from verification.services.domains import add_domain, change_domain, check_now, remove_domain

if TYPE_CHECKING:
    from rest_framework.request import Request


def _present(row: SenderDomain) -> dict[str, Any]:
    return {
        "id": row.pk,
        "domain": row.domain,
        "shared": row.owner_id is None,
        "providers": row.providers,
        "spf_includes": row.spf_includes,
        "dkim": row.dkim,
        "return_path_domain": row.return_path_domain or None,
        "return_path_target": row.return_path_target or None,
        "status": row.state,
        "checks": row.checks,
        "aligned_providers": row.aligned_providers,
        "aligned_below": row.aligned_below,
        "failing_since": row.failing_since,
        "checked_at": row.checked_at,
        "next_check_at": row.next_check_at,
        "created_at": row.created_at,
    }


def _find(request: Request, domain_id: str, *, is_to_change: bool = False) -> SenderDomain:
    """Return a domain that the key may read, or change. Raises `NotFoundError`."""
    user_id = key_of(request).user_id
    try:
        row = SenderDomain.objects.visible_to(user_id).filter(pk=UUID(domain_id)).first()
    except ValueError:
        row = None
    if row is None:
        raise NotFoundError("There is no such sender domain.")
    if is_to_change and row.owner_id != user_id:
        raise PermissionDenied("This domain is the company's: only operators change it.")
    return row


def _given(data: object) -> dict[str, Any]:
    given = dict(data) if isinstance(data, dict) else {}
    unknown = [str(name) for name in given if name not in FIELDS]
    if unknown:
        raise InvalidInputError.for_fields(
            [(name[:64], "unknown_field", "There is no such field.") for name in unknown[:100]]
        )
    return given


class SenderDomains(APIView):
    """List sender domains, or add one."""

    scopes = {"GET": Scope.DOMAINS_READ, "POST": Scope.DOMAINS_WRITE}

    def get(self, request: Request) -> Response:
        """List own and shared domains, newest first."""
        unknown = set(request.query_params) - {"limit", "cursor"}
        if unknown:
            raise InvalidInputError.for_field(
                min(unknown)[:64], "There is no such parameter.", code="unknown_field"
            )
        cursor, limit = page_params(request.query_params)
        visible = SenderDomain.objects.visible_to(key_of(request).user_id)
        rows, next_cursor = paginate(visible, cursor=cursor, limit=limit)
        return Response(page_body([_present(row) for row in rows], next_cursor))

    def post(self, request: Request) -> Response:
        """Add a domain; the answer tells what to publish."""
        row = add_domain(owner_id=key_of(request).user_id, values=_given(request.data))
        return Response(_present(row), status=201)


class SenderDomainView(APIView):
    """One sender domain."""

    scopes = {
        "GET": Scope.DOMAINS_READ,
        "PATCH": Scope.DOMAINS_WRITE,
        "DELETE": Scope.DOMAINS_WRITE,
    }

    def get(self, request: Request, domain_id: str) -> Response:
        """Read a domain with its checks."""
        return Response(_present(_find(request, domain_id)))

    def patch(self, request: Request, domain_id: str) -> Response:
        """Change what is expected of it."""
        row = _find(request, domain_id, is_to_change=True)
        changed = change_domain(domain_id=row.pk, values=_given(request.data))
        return Response(_present(changed))

    def delete(self, request: Request, domain_id: str) -> Response:
        """Forget it."""
        remove_domain(domain_id=_find(request, domain_id, is_to_change=True).pk)
        return Response(status=204)


class CheckSenderDomain(APIView):
    """The check on demand."""

    scopes = {"POST": Scope.DOMAINS_WRITE}

    def post(self, request: Request, domain_id: str) -> Response:
        """Ask the DNS now; takes seconds."""
        return Response(_present(check_now(domain_id=_find(request, domain_id).pk)))
