"""Where mail servers post what comes back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, BinaryIO, cast

from inbound.models import ReturnedRoute
from inbound.services.returned import PATIENCE_BYTES, read_start, take_returned
from inbound.services.returned_hook import is_returned_token
from inbound.views import BROKEN_OFF, SecretHook, announced_bytes, answer
from mailservice.core.errors import InvalidInputError

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)


class ReturnedHook(SecretHook):
    """Keeps a mail (`message/rfc822`) that came to the address `?to=…`."""

    #: Of a long mail the rest is read and forgotten, in chunks or not.
    streams_body = True

    def get(self, _request: HttpRequest, token: str) -> HttpResponse:
        """Tell people who look before they set it up whether the address is right."""
        return answer(200 if is_returned_token(token) else 404, "")

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        """Keep a mail; of a long one its start."""
        if not is_returned_token(token):
            logger.warning("Refused a returned mail: wrong secret")
            return answer(404, "There is no such address.")
        raw, size_bytes = read_start(cast("BinaryIO", request))
        if size_bytes < min(announced_bytes(request), PATIENCE_BYTES):
            return answer(400, BROKEN_OFF)
        try:
            # A plus that nobody escaped has become a space, which no address of ours has.
            envelope_to = request.GET.get("to", "").strip().replace(" ", "+")
            take_returned(raw, envelope_to, ReturnedRoute.HOOK, size_bytes=size_bytes)
        except InvalidInputError as error:
            return answer(400, error.message)
        return answer(200, "")
