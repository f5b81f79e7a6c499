"""`/smtp-configs`: the SMTP accounts of the key's user; the company's can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.scopes import Scope
from mailservice.core.errors import InvalidInputError
from mailservice.core.rest import page_body, refuse_unknown
from providers.api.accounts import PAGE_PARAMS, find, find_own, page_of, readable, try_out
from providers.api.fields import Given, in_api_words, present, read_fields
from providers.models import Provider, ProviderKind
from providers.services import create_provider, delete_provider, update_provider

if TYPE_CHECKING:
    from rest_framework.request import Request

    from providers.models import ProviderQuerySet

_WHAT = "SMTP account"


def _readable(request: Request) -> ProviderQuerySet:
    return readable(request).filter(kind=ProviderKind.SMTP)


def _find(request: Request, config_id: str) -> Provider:
    return find(_readable(request), config_id, _WHAT)


def _find_own(request: Request, config_id: str) -> Provider:
    return find_own(request, _readable(request), config_id, _WHAT)


class SmtpConfigs(APIView):
    """List the accounts, or create one."""

    scopes = {"GET": Scope.PROVIDERS_READ, "POST": Scope.PROVIDERS_WRITE}

    def get(self, request: Request) -> Response:
        """List own and shared accounts, newest first."""
        refuse_unknown(request.query_params, PAGE_PARAMS)
        rows, next_cursor = page_of(request, _readable(request))
        return Response(page_body([present(row) for row in rows], next_cursor))

    def post(self, request: Request) -> Response:
        """Create an account of the key's user."""
        changes: dict[str, Any] = dict(read_fields(request.data).completed().changes({}))
        password = changes.pop("secrets", {}).get("password")
        try:
            provider = create_provider(
                owner_id=key_of(request).user_id,
                kind=ProviderKind.SMTP,
                secrets={"password": password} if password else {},
                **changes,
            )
        except InvalidInputError as error:
            raise in_api_words(error) from None
        body = {"message": "The SMTP account is created.", **present(provider)}
        return Response(body, status=201)


class SmtpConfig(APIView):
    """One account."""

    scopes = {
        "GET": Scope.PROVIDERS_READ,
        "PUT": Scope.PROVIDERS_WRITE,
        "PATCH": Scope.PROVIDERS_WRITE,
        "DELETE": Scope.PROVIDERS_WRITE,
    }

    def get(self, request: Request, config_id: str) -> Response:
        """Read an account."""
        return Response(present(_find(request, config_id)))

    def put(self, request: Request, config_id: str) -> Response:
        """Replace an account: what is not given takes its default.

        Only the password stays if it is not given, for nobody can read it to send it back.
        """
        return _update(request, config_id, read_fields(request.data).completed())

    def patch(self, request: Request, config_id: str) -> Response:
        """Change the fields given; null and "" empty a field."""
        given = read_fields(request.data)
        for name in ("name", "email_address", "smtp_host"):
            if name in given.values and not given.values[name]:
                raise InvalidInputError.for_field(name, "This field is required.", code="required")
        return _update(request, config_id, given)

    def delete(self, request: Request, config_id: str) -> Response:
        """Delete an account that has carried no mail and is pinned by none."""
        delete_provider(_find_own(request, config_id).pk)
        return Response(status=204)


def _update(request: Request, config_id: str, given: Given) -> Response:
    provider = _find_own(request, config_id)
    try:
        update_provider(provider.pk, **given.changes(provider.settings))
    except InvalidInputError as error:
        raise in_api_words(error) from None
    body = {"message": "The SMTP account is updated.", **present(_find(request, config_id))}
    return Response(body)


class SmtpConfigTest(APIView):
    """Try an account out."""

    scopes = {"POST": Scope.PROVIDERS_WRITE}

    def post(self, request: Request, config_id: str) -> Response:
        """Connect, log in, leave; nothing is sent and nothing changes."""
        return Response(try_out(_find_own(request, config_id)))
