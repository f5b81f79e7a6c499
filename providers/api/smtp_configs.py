"""`/smtp-configs`: the SMTP accounts of the key's user; the company's can be read."""

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
from providers.adapters import SettingsError, check_connection
from providers.api.fields import Given, in_api_words, present, read_fields
from providers.models import Provider, ProviderKind
from providers.ports import ConnectError
from providers.selectors import account_config
from providers.services import create_provider, delete_provider, update_provider

if TYPE_CHECKING:
    from rest_framework.request import Request

    from providers.models import ProviderQuerySet


def _readable(request: Request) -> ProviderQuerySet:
    accounts = Provider.objects.usable_by(key_of(request).user_id).filter(kind=ProviderKind.SMTP)
    return accounts.select_related("usage").defer("secrets")


def _find(request: Request, config_id: str) -> Provider:
    """Return an account the key may read. Raises `NotFoundError`."""
    try:
        provider = _readable(request).filter(pk=UUID(config_id)).first()
    except ValueError:
        provider = None
    if provider is None:
        raise NotFoundError("There is no such SMTP account.")
    return provider


def _find_own(request: Request, config_id: str) -> Provider:
    """Return an account the key may change. Raises `NotFoundError`, `PermissionDenied`."""
    provider = _find(request, config_id)
    if provider.owner_id != key_of(request).user_id:
        raise PermissionDenied("This account is the company's: only operators change it.")
    return provider


class SmtpConfigs(APIView):
    """List the accounts, or create one."""

    scopes = {"GET": Scope.PROVIDERS_READ, "POST": Scope.PROVIDERS_WRITE}

    def get(self, request: Request) -> Response:
        """List own and shared accounts, newest first."""
        unknown = set(request.query_params) - {"limit", "cursor"}
        if unknown:
            raise InvalidInputError.for_field(
                min(unknown)[:64], "There is no such parameter.", code="unknown_field"
            )
        cursor, limit = page_params(request.query_params)
        rows, next_cursor = paginate(_readable(request), cursor=cursor, limit=limit)
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
        config = account_config(_find_own(request, config_id))
        try:
            report = check_connection(config)
        except ConnectError as error:
            reply = error.result.reply
            return Response(
                {
                    "success": False,
                    "message": reply.text or str(error.result.reason),
                    "reason": error.result.reason.value or None,
                    "code": reply.code or None,
                    "enhanced_code": reply.enhanced_code or None,
                }
            )
        except SettingsError as error:
            return Response({"success": False, "message": str(error), "reason": "settings"})
        return Response({"success": True, "message": report, "reason": None})
