"""`/quotas`: what accounts may still send, and when they may send more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.scopes import Scope
from mailservice.core.rest import page_body, refuse_unknown
from providers.api.accounts import PAGE_PARAMS, page_of, readable
from providers.api.state_fields import present_quota

if TYPE_CHECKING:
    from rest_framework.request import Request


class Quotas(APIView):
    """The running windows of accounts."""

    scopes = {"GET": Scope.PROVIDERS_READ}

    def get(self, request: Request) -> Response:
        """List own and shared accounts, newest first; `provider_id` names one."""
        refuse_unknown(request.query_params, PAGE_PARAMS | {"provider_id"})
        rows, next_cursor = page_of(request, readable(request))
        now = timezone.now()
        return Response(page_body([present_quota(row, now) for row in rows], next_cursor))
