"""`Idempotency-Key` on any POST, wherever its view lives."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.http import HttpResponse

from accounts.api.authentication import key_of
from delivery.services.idempotency import Answer, Claim, check_key, once
from mailservice.core.errors import DomainError
from mailservice.core.rest import dump_json

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile
    from rest_framework.request import Request
    from rest_framework.response import Response
    from rest_framework.views import APIView

#: As WSGI names `Idempotency-Key`.
_HEADER_IN_ENVIRONMENT = "HTTP_IDEMPOTENCY_KEY"
_CHUNK_BYTES = 1 << 16


def idempotent(view_class: type[APIView], *, locate: str = "") -> type[APIView]:
    """Return the view with its POST done once per `Idempotency-Key` and answered alike ever after.

    What POST writes commits together with the key. Work that must not wait in that transaction
    (reading input, storing files) belongs into `prepare(request, **arguments)`, if the view has
    one: POST then gets its result as `prepared`. A view that can do it in a single statement has
    `post_once(request, claim, **arguments)`; None then asks for the long way. An error answer
    stores nothing, since nothing was done. With `locate`, the answer's field of that name makes the
    Location header.
    """

    class Idempotent(view_class):  # type: ignore[misc, valid-type]  # a base class chosen at run time
        """The view, with `Idempotency-Key`."""

        def post(self, request: Request, **arguments: Any) -> HttpResponse:
            """Answer from store, or do what is asked and store the answer."""
            answer = _answer(self, super().post, request, arguments)
            response = HttpResponse(
                answer.body, status=answer.status_code, content_type="application/json"
            )
            if locate:
                place = request.path.rstrip("/")
                response["Location"] = f"{place}/{orjson.loads(answer.body)[locate]}"
            if answer.is_replay:
                response["Idempotency-Replayed"] = "true"
            return response

    Idempotent.__name__ = Idempotent.__qualname__ = view_class.__name__
    Idempotent.__doc__ = view_class.__doc__
    return Idempotent


def _answer(view: Any, post: Any, request: Request, arguments: dict[str, Any]) -> Answer:
    given = request.META.get(_HEADER_IN_ENVIRONMENT)
    key = None if given is None else check_key(given)
    refusal: DomainError | None = None
    if hasattr(view, "prepare"):
        try:
            arguments = {**arguments, "prepared": view.prepare(request, **arguments)}
        except DomainError as error:
            # Not yet: what was fine the first time (an expiry in the future) may be so no more.
            refusal = error

    def produce() -> Answer:
        if refusal is not None:
            raise refusal
        response: Response = post(request, **arguments)
        return Answer(response.status_code, dump_json(response.data))

    if key is None:
        return produce()
    claim = Claim(key_of(request).pk, key, request_hash(request))
    answer: Answer | None = None
    if refusal is None and hasattr(view, "post_once"):
        answer = view.post_once(request, claim, **arguments)
    return answer or once(
        api_key_id=claim.api_key_id, key=key, request_hash=claim.request_hash, produce=produce
    )


def request_hash(request: Request) -> bytes:
    """Return 32 bytes that stand for method, path, query and body.

    Keyed, since bodies hold passwords. A multipart body counts by its parts: the boundary between
    them differs from one try to the next.
    """
    secret = settings.SECRET_KEY.encode()
    query = request.META.get("QUERY_STRING", "")
    asked = f"{request.path.rstrip('/')}?{query}" if query else request.path.rstrip("/")
    digest = hmac.new(secret, f"{request.method} {asked}\n".encode(), "sha256")
    if (request.content_type or "").startswith("multipart/"):
        digest.update(_parts(request))
    else:
        digest.update(request.body)
    return digest.digest()


def _parts(request: Request) -> bytes:
    fields = sorted((name, values) for name, values in request.POST.lists())
    files = [
        (name, file.name, file.content_type, _file_digest(file))
        for name, uploads in sorted(request.FILES.lists())
        for file in uploads
    ]
    return orjson.dumps([fields, files])


def _file_digest(file: UploadedFile[bytes]) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    for chunk in file.chunks(_CHUNK_BYTES):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
