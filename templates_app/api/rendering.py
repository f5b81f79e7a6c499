"""`/templates/{name}/render`: what a mail would say, by the engine that sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rest_framework.response import Response

from accounts.scopes import Scope
from mailservice.core.errors import InvalidInputError
from templates_app.api.access import TemplateView, body_of, flag, look
from templates_app.api.fields import draft_text, read_locale, read_moment
from templates_app.engine.plain import object_fault
from templates_app.exchange.shapes import TextData, raise_if_any, read_text
from templates_app.exchange.transfer import in_place
from templates_app.lookup import best_text, locale_name, texts_of
from templates_app.rendering.lint import GMAIL_CLIPS_BYTES
from templates_app.services import Preview, Reader, preview_source, preview_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request

    from templates_app.api.access import Seen
    from templates_app.engine.plain import Fault
    from templates_app.models import Template, TemplateVersion

READER_FIELDS = ("context", "locale", "version")
_RENDER_FIELDS = (*READER_FIELDS, "source", "now", "marketing")


@dataclass(frozen=True, slots=True)
class Shown:
    """A rendered text, and which one it is; no version for a source that is not saved."""

    preview: Preview
    locale: str
    version: TemplateVersion | None


class Render(TemplateView):
    """Render a template; nothing is written or sent."""

    scopes = {"POST": Scope.TEMPLATES_READ}

    def post(self, request: Request, name: str) -> Response:
        """Answer subject and bodies, sizes, what to mend, and what the context lacks."""
        seen = look(request, name)
        given = body_of(request, _RENDER_FIELDS)
        reader = read_reader(given)
        shown = (
            show_source(seen.template, given, reader)
            if "source" in given
            else show_version(seen, given, reader)
        )
        return Response(_present(seen.template, shown))


def read_reader(given: Mapping[str, Any]) -> Reader:
    """Return for whom a template is rendered. Raises `InvalidInputError`."""
    faults: list[Fault] = []
    context = given.get("context")
    if context is not None and (fault := object_fault("context", context)):
        faults.append(fault)
    now = read_moment(given["now"], "now", faults) if "now" in given else None
    raise_if_any(faults)
    return Reader(
        context=context,
        locale=read_locale(given.get("locale", "")),
        now=now,
        is_marketing=flag(given, "marketing"),
    )


def show_version(seen: Seen, given: Mapping[str, Any], reader: Reader) -> Shown:
    """Render a stored version: the one asked for, else the draft, else what is published.

    Raises `InvalidInputError` and `NotFoundError`.
    """
    asked = given.get("version", "")
    if not isinstance(asked, str | int) or isinstance(asked, bool):
        message = 'Use a number, "draft" or "published".'
        raise InvalidInputError.for_field("version", message, code="invalid_type")
    texts = texts_of(seen.template, seen.number_of(str(asked)))
    version = best_text(texts, reader.locale)
    try:
        preview = preview_version(version, reader)
    except InvalidInputError as error:
        raise _named(error, version.format) from error.__cause__
    return Shown(preview, version.locale, version)


def show_source(template: Template, given: Mapping[str, Any], reader: Reader) -> Shown:
    """Render a text that is not saved. Raises `InvalidInputError`."""
    faults: list[Fault] = []
    if "version" in given:
        faults.append(("version", "conflict", "Give `source` or `version`, not both."))
    text: TextData = read_text(given["source"], faults, locale=reader.locale, path="source.")
    raise_if_any(faults)
    try:
        preview = preview_source(template, draft_text(text), reader)
    except InvalidInputError as error:
        raise _named(error, text.format, inside="source") from error.__cause__
    return Shown(preview, text.locale, None)


def _named(error: InvalidInputError, html_name: str, *, inside: str = "") -> InvalidInputError:
    """Return a refusal with the parts of the text by the names they were given under."""
    is_about_context = any(name.partition(".")[0] == "context" for name in error.details)
    return error if is_about_context else in_place(error, inside, html_name=html_name)


def _present(template: Template, shown: Shown) -> dict[str, Any]:
    preview, version = shown.preview, shown.version
    html_bytes = len(preview.html.encode())
    return {
        "template": template.slug,
        "version": None if version is None else version.number,
        "status": _status(version),
        "locale": locale_name(shown.locale),
        "subject": preview.subject,
        "html": preview.html,
        "text": preview.text,
        "size": {
            "html_bytes": html_bytes,
            "text_bytes": len(preview.text.encode()),
            "gmail_clips": html_bytes > GMAIL_CLIPS_BYTES,
        },
        "warnings": [
            {
                "code": one.code,
                "severity": one.severity,
                "message": one.message,
                "hint": one.hint or None,
                "line": one.line or None,
                "column": one.column or None,
                "origin": one.name or None,
            }
            for one in preview.warnings
        ],
        "missing": preview.missing,
        "variables": preview.variables,
        "schema": preview.schema,
    }


def _status(version: TemplateVersion | None) -> str:
    if version is None:
        return "unsaved"
    return "draft" if version.published_at is None else "published"
