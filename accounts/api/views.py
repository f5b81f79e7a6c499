"""`/me`: what a key is and may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.api.permissions import HasKey

if TYPE_CHECKING:
    from rest_framework.request import Request


class Me(APIView):
    """The key that asks, and its user."""

    permission_classes = [HasKey]

    def get(self, request: Request) -> Response:
        """Describe the key; any key may ask."""
        key = key_of(request)
        return Response(
            {
                "user": {"id": key.user_id, "email": key.user.email},
                "key": {
                    "name": key.name,
                    "prefix": key.prefix,
                    "mode": "test" if key.is_test else "live",
                    "scopes": key.scopes,
                    "created_at": key.created_at,
                    "expires_at": key.expires_at,
                },
            }
        )
