"""Where providers post their events."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db import InterfaceError, OperationalError
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from inbound.adapters.posts import ForgedError
from inbound.models import EventSource
from inbound.services.intake import count_refusal, receive
from inbound.services.sources import is_token_of
from mailservice.core.http import OutgoingHttpError

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest

logger = logging.getLogger(__name__)

#: Of one post.
MAX_BODY_BYTES = 5 * 1024 * 1024
_RETRY_SECONDS = "10"
#: The server says nothing of a sender that was cut off: only the length shows it.
BROKEN_OFF = "The post ended too early."


@method_decorator(csrf_exempt, name="dispatch")
class SecretHook(View):
    """An address with a secret in it, where machines leave what is worked off later."""

    http_method_names = ["get", "head", "post", "options"]
    max_body_bytes = MAX_BODY_BYTES

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer; without the database, in a way that has the sender try again."""
        try:
            response = super().dispatch(request, *args, **kwargs)
        except (OperationalError, InterfaceError, OutgoingHttpError) as error:
            logger.warning("A post to %s is put off: %s", type(self).__name__, type(error).__name__)
            response = answer(503, "Try again later.")
            response["Retry-After"] = _RETRY_SECONDS
        assert isinstance(response, HttpResponse)  # noqa: S101 - for the type checker
        response["Cache-Control"] = "no-store"
        # The server's log of refused requests would name the path, which is the secret.
        response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001 - Django's mark
        return response


class ProviderHook(SecretHook):
    """Keeps a genuine post of a provider and answers at once."""

    def get(self, _request: HttpRequest, provider_id: UUID, token: str) -> HttpResponse:
        """Tell providers that look before they post whether the address is right."""
        return answer(200 if is_token_of(_source(provider_id), token) else 404, "")

    def post(self, request: HttpRequest, provider_id: UUID, token: str) -> HttpResponse:
        """Keep a post."""
        source = _source(provider_id)
        if not is_token_of(source, token) or source is None:
            if source is not None:
                count_refusal(source)
            return answer(404, "There is no such address.")
        if announced_bytes(request) > MAX_BODY_BYTES:
            return answer(413, f"At most {MAX_BODY_BYTES} bytes are taken.")
        if fault := _fault_of(request):
            return answer(400, fault)
        try:
            receive(request, source)
        except ForgedError as error:
            logger.warning("Refused a post for %s: %s", source.provider_id, error)
            count_refusal(source)
            return answer(403, str(error))
        return answer(200, "")


def announced_bytes(request: HttpRequest) -> int:
    """Return the length of the body as the sender told it, 0 if he did not."""
    return int(request.META.get("CONTENT_LENGTH") or 0)


def _fault_of(request: HttpRequest) -> str:
    """Return why a post cannot be taken: providers keep what is refused and post it again."""
    if not request.body:
        return "The post is empty."
    return "" if len(request.body) == announced_bytes(request) else BROKEN_OFF


def _source(provider_id: UUID) -> EventSource | None:
    rows = EventSource.objects.select_related("provider").defer("token")
    return rows.filter(provider_id=provider_id).first()


def answer(status: int, text: str) -> HttpResponse:
    """Return a text for machines, and for people who look at their logs."""
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")
