"""Scopes of API keys as a DRF permission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission

from accounts.models import ApiKey

if TYPE_CHECKING:
    from rest_framework.request import Request

    # DRF imports its permission classes while it defines APIView.
    from rest_framework.views import APIView


class HasKey(BasePermission):
    """Lets every request with a valid key pass."""

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002  DRF's signature
        """Tell whether a key was presented."""
        return isinstance(request.auth, ApiKey)


class HasScope(BasePermission):
    """Lets a request pass if its key has the scope that the view names for the method.

    A view sets `scopes = {"GET": Scope.EMAILS_READ, "POST": Scope.EMAILS_SEND}`; a method it serves
    but does not name is refused, so a forgotten scope closes the door.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether the key's scopes cover the method."""
        if not isinstance(request.auth, ApiKey):
            return False
        method = request.method or ""
        if method == "OPTIONS" or not hasattr(view, method.lower()):
            return True  # nothing to protect: an answer about methods, 405 for one not served
        scopes: dict[str, str] = getattr(view, "scopes", {})
        scope = scopes.get("GET" if method == "HEAD" else method)
        if scope is None:
            return False
        self.message = f"This API key lacks the scope {scope}."
        return request.auth.has_scope(scope)
