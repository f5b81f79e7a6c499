"""Templates in and out of the API: one as a zip, many as a zip or as JSON."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.response import Response

from accounts.scopes import Scope
from mailservice.core.errors import InvalidInputError
from mailservice.core.rest import OrjsonParser, RequestTooLargeError
from templates_app.api.access import (
    TemplateView,
    look,
    owner_for_new,
    query_flag,
    refuse_unknown,
    require_publisher_of_shared,
    user_of,
)
from templates_app.engine.plain import text_fault
from templates_app.exchange import (
    ImportOptions,
    TemplateData,
    exported,
    files_of,
    import_templates,
    read_zip,
    templates_from,
    templates_in,
    write_zip,
)
from templates_app.exchange.archive import MAX_ARCHIVE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request

#: Of one request: each takes some hundredths of a second, and somebody waits.
MAX_TEXTS = 300
_PARAMETERS = ("dry_run", "publish", "shared", "note")


class ZipParser(BaseParser):
    """Takes an archive as it is."""

    media_type = "application/zip"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002 - DRF's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002 - DRF's signature
    ) -> dict[str, Any]:
        """Return the octets as `archive`. Raises `RequestDataTooBig`."""
        raw: object = stream
        return {"archive": raw.body if isinstance(raw, HttpRequest) else stream.read()}


class Export(TemplateView):
    """One template as files."""

    scopes = {"GET": Scope.TEMPLATES_READ}

    def get(self, request: Request, name: str) -> HttpResponse:
        """Answer a zip of what is published, of the draft if nothing is, or of a version."""
        refuse_unknown(request.query_params, ("version",))
        seen = look(request, name)
        template, now = seen.template, seen.standing
        asked = request.query_params.get("version", "")
        number = seen.number_of(asked) if asked else now.published or now.draft
        data = write_zip(files_of([exported(template, number)]))
        response = HttpResponse(data, content_type="application/zip")
        response["Content-Disposition"] = f'attachment; filename="{template.slug}.zip"'
        response["Cache-Control"] = "private, no-store"
        response["X-Content-Type-Options"] = "nosniff"
        return response


class Import(TemplateView):
    """Many templates at once."""

    scopes = {"POST": Scope.TEMPLATES_WRITE}
    parser_classes = [OrjsonParser, ZipParser, MultiPartParser]

    def prepare(self, request: Request) -> list[TemplateData]:
        """Read the templates. Raises `InvalidInputError` and `RequestTooLargeError`."""
        templates = _given(request)
        if sum(len(one.texts) for one in templates) > MAX_TEXTS:
            message = f"At most {MAX_TEXTS} texts in one request; the command takes more."
            raise InvalidInputError.for_field("templates", message, code="too_many")
        return templates

    def post(self, request: Request, *, prepared: list[TemplateData]) -> Response:
        """Write all of them into drafts, or none; tell what became, or would become, of each."""
        query = request.query_params
        refuse_unknown(query, _PARAMETERS)
        note = query.get("note", "")
        if fault := text_fault("note", note):
            raise InvalidInputError.for_fields([fault])
        is_shared, publishes = query_flag(query, "shared"), query_flag(query, "publish")
        owner_id = owner_for_new(request, shared=is_shared)
        if is_shared and publishes:
            require_publisher_of_shared(request)
        options = ImportOptions(
            owner_id=owner_id,
            by=user_of(request).pk,
            publish=publishes,
            note=note,
            dry_run=query_flag(query, "dry_run"),
        )
        done = import_templates(prepared, options)
        verb = "would be imported" if options.dry_run else "are imported"
        return Response(
            {
                "message": f"{len(done)} templates {verb}.",
                "dry_run": options.dry_run,
                "templates": [one.as_json() for one in done],
            }
        )


def _given(request: Request) -> list[TemplateData]:
    """Return the templates in a request's body, whatever its form. Raises `InvalidInputError`."""
    _require_size(request)
    given: Any = request.data
    content_type = (request.content_type or "").partition(";")[0].strip().lower()
    if content_type == ZipParser.media_type:
        return templates_in(read_zip(given.get("archive", b"")))
    if content_type != MultiPartParser.media_type:
        return templates_from(given)
    if not request.FILES:
        raise InvalidInputError.for_field("file", "Send a zip archive.", code="required")
    refuse_unknown([*request.FILES, *request.POST], ("file",))
    file = request.FILES["file"]
    # One octet more than is allowed shows that there are too many.
    return templates_in(read_zip(file.read(MAX_ARCHIVE_BYTES + 1)))


def _require_size(request: Request) -> None:
    """Raise `RequestTooLargeError` before files are read: Django's own bound leaves them out."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        raise RequestTooLargeError("The request body is too large.")
