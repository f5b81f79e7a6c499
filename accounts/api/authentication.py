"""API keys as a DRF authentication."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated

from accounts.models import ApiKey
from accounts.services import authenticate_key

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request

    from accounts.models import User


class ApiKeyAuthentication(BaseAuthentication):
    """Reads `Authorization: Bearer KEY`, `Authorization: Token KEY` or `X-API-Key: KEY`.

    `request.user` is the key's user and `request.auth` the key. Every refusal reads the same.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        """Return user and key, None if no key was presented; raises `AuthenticationFailed`."""
        presented = presented_key(request._request)  # noqa: SLF001 - DRF's documented way to the raw request
        if presented is None:
            return None
        api_key = authenticate_key(presented)
        if api_key is None:
            raise AuthenticationFailed("The API key is unknown, expired or revoked.")
        return api_key.user, api_key

    def authenticate_header(self, _request: Request) -> str:
        """Return the challenge that goes with a 401."""
        return 'Bearer realm="mailservice"'


def presented_key(request: HttpRequest) -> str | None:
    """Return the key a request carries, or None if it carries none."""
    header: str = request.META.get("HTTP_AUTHORIZATION", "")
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() in {"bearer", "token"}:
        return credentials.strip()
    key = request.META.get("HTTP_X_API_KEY")
    return str(key).strip() if key is not None else None


def key_of(request: Request) -> ApiKey:
    """Return the key that let a request in. Raises `NotAuthenticated` if none did."""
    if not isinstance(request.auth, ApiKey):
        raise NotAuthenticated
    return request.auth
