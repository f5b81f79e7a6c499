"""Scopes of API keys as a DRF permission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import ApiKey

if TYPE_CHECKING:
    # DRF imports its permission classes while it defines APIView.
    from rest_framework.views import APIView


class HasScope(BasePermission):
    """Lets a request pass if its key has the scope that the view names for the method.

    A view sets `scopes = {"GET": Scope.EMAILS_READ, "POST": Scope.EMAILS_SEND}`; a method it does
    not name is refused, so a forgotten scope closes the door.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether the key's scopes cover the method."""
        if not isinstance(request.auth, ApiKey):
            return False
        scopes: dict[str, str] = getattr(view, "scopes", {})
        method = {"HEAD": "GET", "OPTIONS": "GET"}.get(request.method or "", request.method or "")
        scope = scopes.get(method)
        self.message = f"This API key lacks the scope {scope}."
        return scope is not None and request.auth.has_scope(scope)
