"""`/attachments`: files uploaded once and attached by their id; downloads by signed links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.files.storage import default_storage
from django.http import FileResponse
from django.utils import timezone
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.scopes import Scope
from delivery.api import presenters
from delivery.api.links import is_valid
from delivery.api.requests import is_multipart, json_body, limits, require_size, require_uuid
from delivery.blobs import store_blob
from delivery.intake import read_upload
from delivery.selectors import stored_file
from delivery.services.attachments import delete_upload, upload, upload_for
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.rest import OrjsonParser

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile
    from rest_framework.request import Request

    from delivery.models import Blob

_PARTS = ("file", "attachment", "content")


@dataclass(frozen=True, slots=True)
class _Stored:
    """A file whose bytes are in the storage."""

    filename: str
    content_type: str
    blob: Blob


class Attachments(APIView):
    """Upload a file for later messages."""

    scopes = {"POST": Scope.EMAILS_SEND}
    parser_classes = [OrjsonParser, MultiPartParser]

    def prepare(self, request: Request) -> _Stored:
        """Read the file, and store its bytes."""
        if is_multipart(request):
            data, file = _from_parts(request)
            given = read_upload(data, limits=limits())
            blob = store_blob(file, now=timezone.now())
        else:
            given = read_upload(json_body(request), limits=limits())
            blob = store_blob(given.content or b"", now=timezone.now())
        return _Stored(given.filename, given.content_type, blob)

    def post(self, request: Request, *, prepared: _Stored) -> Response:
        """Keep the file for a month."""
        item = upload(
            owner_id=key_of(request).user_id,
            filename=prepared.filename,
            content_type=prepared.content_type,
            blob=prepared.blob,
        )
        return Response(presenters.upload(item), status=201)


def _from_parts(request: Request) -> tuple[dict[str, object], UploadedFile[bytes]]:
    """Return the one file of a multipart request and what describes it, the other parts first.

    Its size is checked here and its bytes are left where they are: `content` is empty.
    """
    require_size(request)
    files = [(name, file) for name, found in request.FILES.lists() for file in found]
    if len(files) != 1 or files[0][0] not in _PARTS:
        raise InvalidInputError.for_field("file", 'Give one file, as "file".', code="required")
    file = files[0][1]
    if (file.size or 0) > limits().max_attachment_bytes:
        raise InvalidInputError.for_field(
            "file",
            f"An attachment has at most {limits().max_attachment_bytes} bytes.",
            code="too_large",
        )
    if request.POST.get("content"):
        raise InvalidInputError.for_field(
            "content", "Give the content once, as a file.", code="conflict"
        )
    data: dict[str, object] = {"filename": file.name, "content_type": file.content_type}
    given = {name: value for name, value in request.POST.items() if value}
    return data | given | {"content": b""}, file


class Attachment(APIView):
    """An uploaded file."""

    scopes = {"GET": Scope.EMAILS_READ, "DELETE": Scope.EMAILS_SEND}

    def get(self, request: Request, attachment_id: str) -> Response:
        """Describe an own upload, with a link to its bytes."""
        wanted = require_uuid(attachment_id, "attachment")
        return Response(
            presenters.upload(upload_for(owner_id=key_of(request).user_id, upload_id=wanted))
        )

    def delete(self, request: Request, attachment_id: str) -> Response:
        """Forget an own upload; messages that have it keep it."""
        wanted = require_uuid(attachment_id, "attachment")
        delete_upload(owner_id=key_of(request).user_id, upload_id=wanted)
        return Response(status=204)


class Download(APIView):
    """The bytes of a file, for whoever holds a signed link."""

    authentication_classes = []
    permission_classes = []

    def get(self, request: Request, attachment_id: str) -> FileResponse:
        """Stream the file; it is always saved, never shown."""
        wanted = require_uuid(attachment_id, "attachment")
        file = None
        if is_valid(wanted, request.query_params.get("token", "")):
            file = stored_file(wanted)
        if file is None:
            raise NotFoundError("The link is not valid, or not any more.")
        try:
            stream = default_storage.open(file.stored_as)
        except FileNotFoundError:
            raise NotFoundError("The link is not valid, or not any more.") from None
        response = FileResponse(
            stream, as_attachment=True, filename=file.filename, content_type=file.content_type
        )
        response["X-Content-Type-Options"] = "nosniff"
        response["Content-Security-Policy"] = "default-src 'none'; sandbox"
        response["Cache-Control"] = "private, no-store"
        return response
