"""`/providers`: the accounts of the key's user, of every kind; the company's can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.scopes import Scope
from mailservice.core.errors import InvalidInputError
from mailservice.core.rest import page_body, refuse_unknown
from providers.api.account_fields import present, read_changes, read_new, read_replacement
from providers.api.accounts import (
    PAGE_PARAMS,
    find,
    find_own,
    page_of,
    readable,
    try_out,
    with_sealed_secrets,
)
from providers.api.kinds import SCHEMAS
from providers.api.reading import no_such
from providers.services import create_provider, delete_provider, update_provider

if TYPE_CHECKING:
    from uuid import UUID

    from rest_framework.request import Request

    from providers.models import Provider
    from providers.services import ProviderChanges


def _answer(request: Request, provider_id: UUID, message: str, status: int = 200) -> Response:
    provider = find(with_sealed_secrets(readable(request)), str(provider_id))
    return Response({"message": message, **present(provider, timezone.now())}, status=status)


class ProviderKinds(APIView):
    """The kinds of accounts there are."""

    scopes = {"GET": Scope.PROVIDERS_READ}

    def get(self, request: Request) -> Response:
        """List what an account of each kind needs and can do."""
        refuse_unknown(request.query_params, ())
        return Response(page_body(list(SCHEMAS.values()), None))


class Providers(APIView):
    """List the accounts, or create one."""

    scopes = {"GET": Scope.PROVIDERS_READ, "POST": Scope.PROVIDERS_WRITE}

    def get(self, request: Request) -> Response:
        """List own and shared accounts, newest first; `kind` keeps those of one kind."""
        refuse_unknown(request.query_params, PAGE_PARAMS | {"kind"})
        accounts = with_sealed_secrets(readable(request))
        kind = request.query_params.get("kind")
        if kind is not None:
            if kind not in SCHEMAS:
                message = no_such("kind", SCHEMAS.keys())
                raise InvalidInputError.for_field("kind", message, code="invalid_choice")
            accounts = accounts.filter(kind=kind)
        rows, next_cursor = page_of(request, accounts)
        now = timezone.now()
        return Response(page_body([present(row, now) for row in rows], next_cursor))

    def post(self, request: Request) -> Response:
        """Create an account of the key's user."""
        fields = read_new(request.data)
        provider = create_provider(owner_id=key_of(request).user_id, **fields)
        return _answer(request, provider.pk, "The provider is created.", 201)


class ProviderView(APIView):
    """One account."""

    scopes = {
        "GET": Scope.PROVIDERS_READ,
        "PUT": Scope.PROVIDERS_WRITE,
        "PATCH": Scope.PROVIDERS_WRITE,
        "DELETE": Scope.PROVIDERS_WRITE,
    }

    def get(self, request: Request, provider_id: str) -> Response:
        """Read an account."""
        provider = find(with_sealed_secrets(readable(request)), provider_id)
        return Response(present(provider, timezone.now()))

    def put(self, request: Request, provider_id: str) -> Response:
        """Replace an account: what is not given takes its default.

        Only secrets stay if they are not given, for nobody can read them to send them back.
        """
        provider = _find_own(request, provider_id)
        return _update(request, provider, read_replacement(request.data, provider))

    def patch(self, request: Request, provider_id: str) -> Response:
        """Change the fields given, also single settings and secrets."""
        provider = _find_own(request, provider_id)
        return _update(request, provider, read_changes(request.data, provider))

    def delete(self, request: Request, provider_id: str) -> Response:
        """Delete an account that has carried no mail and that nothing names."""
        delete_provider(_find_own(request, provider_id).pk)
        return Response(status=204)


def _find_own(request: Request, provider_id: str) -> Provider:
    return find_own(request, readable(request), provider_id)


def _update(request: Request, provider: Provider, changes: ProviderChanges) -> Response:
    update_provider(provider.pk, **changes)
    return _answer(request, provider.pk, "The provider is updated.")


class ProviderTest(APIView):
    """Try an account out."""

    scopes = {"POST": Scope.PROVIDERS_WRITE}

    def post(self, request: Request, provider_id: str) -> Response:
        """Connect, log in, leave; nothing is sent and nothing changes."""
        return Response(try_out(_find_own(request, provider_id)))
