"""Where mail servers post what comes back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, BinaryIO, cast

from django.http import UnreadablePostError

from inbound.models import ReturnedRoute
from inbound.services.returned import read_start, take_returned
from inbound.services.returned_hook import is_returned_token
from inbound.views import SecretHook, answer
from mailservice.core.errors import InvalidInputError

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)


class ReturnedHook(SecretHook):
    """Keeps a mail (`message/rfc822`) that came to the address `?to=…`."""

    def get(self, _request: HttpRequest, token: str) -> HttpResponse:
        """Tell people who look before they set it up whether the address is right."""
        return answer(200 if is_returned_token(token) else 404, "")

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        """Keep a mail; of a long one its start."""
        if not is_returned_token(token):
            logger.warning("Refused a returned mail: wrong secret")
            return answer(404, "There is no such address.")
        try:
            raw, size_bytes = read_start(_body_of(request))
        except UnreadablePostError:
            return answer(400, "The mail ended too early.")
        try:
            # A plus that nobody escaped has become a space, which no address of ours has.
            envelope_to = request.GET.get("to", "").strip().replace(" ", "+")
            take_returned(raw, envelope_to, ReturnedRoute.HOOK, size_bytes=size_bytes)
        except InvalidInputError as error:
            return answer(400, error.message)
        return answer(200, "")


def _body_of(request: HttpRequest) -> BinaryIO:
    """Return the body as a stream, also one sent in chunks, which Django takes to be empty."""
    if request.META.get("wsgi.input_terminated") and not request.META.get("CONTENT_LENGTH"):
        return cast("BinaryIO", request.META["wsgi.input"])
    return cast("BinaryIO", request)
