"""What requests about templates hold, and how templates look in answers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from mailservice.core.errors import InvalidInputError
from templates_app.api.access import refuse_unknown
from templates_app.engine.plain import object_fault, text_fault
from templates_app.exchange.shapes import (
    OBJECT_FIELDS,
    PARTS,
    TEXT_FIELDS,
    TextData,
    raise_if_any,
    read_text,
    read_texts,
)
from templates_app.lookup import Standing, locale_name, locale_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from templates_app.engine.plain import Fault
    from templates_app.models import Template, TemplateVersion
    from templates_app.selectors import Outdated, VersionSummary
    from templates_app.services import DraftText

_FIELDS = (*TEXT_FIELDS, *OBJECT_FIELDS)
#: Shown, not set: accepted and ignored, so that what was read can be sent back.
_READ_ONLY = (
    "id",
    "message",
    "published_version",
    "published_locales",
    "draft_version",
    "draft_locales",
    "created_at",
    "updated_at",
    "context_schema",
    "used_by",
    "is_behind",
    "behind",
    "behind_it",
)
_TEXT_READ_ONLY = ("message", "locale", "version", "updated_at")
_MAX_LOCALE_CHARS = 35


def read_changes(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields to change of a template; null empties one. Raises `InvalidInputError`."""
    given = {name: value for name, value in data.items() if name not in (*_READ_ONLY, "shared")}
    refuse_unknown(given, _FIELDS)
    return _values(given)


def read_new(data: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[TextData, ...], bool]:
    """Return fields, texts and whether it is for everybody. Raises `InvalidInputError`."""
    given = {name: value for name, value in data.items() if name not in _READ_ONLY}
    refuse_unknown(given, (*_FIELDS, "shared", "texts"))
    shared = given.pop("shared", None) or False
    texts = given.pop("texts", None)
    faults: list[Fault] = []
    if not isinstance(shared, bool):
        faults.append(("shared", "invalid_type", "This must be true or false."))
    if given.get("slug") is None:
        faults.append(("slug", "required", "A template needs a name."))
    read = read_texts({"texts": texts}, faults, "")
    raise_if_any(faults)
    return _values(given), read, bool(shared)


def read_draft(data: Mapping[str, Any], locale: str) -> tuple[TextData, datetime | None]:
    """Return a text, and when the one it replaces was read. Raises `InvalidInputError`."""
    given = {name: value for name, value in data.items() if name not in _TEXT_READ_ONLY}
    since = given.pop("unchanged_since", None)
    refuse_unknown(given, (*PARTS, "unchanged_since"))
    faults: list[Fault] = []
    text = read_text(given, faults, locale=locale)
    moment = None if since is None else read_moment(since, "unchanged_since", faults)
    raise_if_any(faults)
    return text, moment


def read_moment(value: object, name: str, faults: list[Fault]) -> datetime | None:
    """Return a date and time with its offset."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        faults.append((name, "invalid", "Use ISO 8601 with an offset: 2030-01-31T09:00:00+00:00."))
    return moment


def draft_text(text: TextData) -> DraftText:
    """Return a text as the services take it."""
    return {
        "locale": text.locale,
        "subject": text.subject,
        "preheader": text.preheader,
        "html": text.html,
        "text": text.text,
        "format": text.format,
    }


def read_locale(value: object, name: str = "locale") -> str:
    """Return a locale, `default` and nothing being the default. Raises `InvalidInputError`."""
    if fault := text_fault(name, value):
        raise InvalidInputError.for_fields([fault])
    locale = locale_of(str(value))
    if len(locale) > _MAX_LOCALE_CHARS or not all(
        part.isascii() and part.isalnum() for part in locale.split("-") if locale
    ):
        raise InvalidInputError.for_field(name, 'Use a language tag such as "pt-BR".')
    return locale


def present(template: Template, standing: Standing, *, is_whole: bool = True) -> dict[str, Any]:
    """Return a template as the API shows it; without sample and schema in lists."""
    body = {
        "id": template.pk,
        **{name: getattr(template, name) for name in TEXT_FIELDS},
        "shared": template.owner_id is None,
        "published_version": standing.published,
        "published_locales": [locale_name(one) for one in standing.published_locales],
        "draft_version": standing.draft,
        "draft_locales": [locale_name(one) for one in standing.draft_locales],
        "created_at": template.created_at,
        "updated_at": template.updated_at,
    }
    if is_whole:
        body |= {"sample": template.sample, "schema": template.schema}
    return body


def present_text(version: TemplateVersion) -> dict[str, Any]:
    """Return one language of a version; it can be sent back as a draft."""
    return {
        "locale": locale_name(version.locale),
        "version": version.number,
        "subject": version.subject,
        "preheader": version.preheader,
        version.format: version.html,
        "text": version.text,
        "updated_at": version.updated_at,
    }


def present_version(one: VersionSummary, *, names_people: bool) -> dict[str, Any]:
    """Return a line of the history."""
    return {
        "version": one.number,
        "status": "draft" if one.is_draft else "published",
        "locales": [locale_name(locale) for locale in one.locales],
        "subjects": {locale_name(locale): text for locale, text in one.subjects.items()},
        "note": one.note,
        "published_at": one.published_at,
        "published_by": (one.published_by or None) if names_people else None,
    }


def present_outdated(one: Outdated) -> dict[str, Any]:
    """Return a layout or partial that a mail has in an older version."""
    return {"slug": one.name, "kind": one.kind, "version": one.used, "newest": one.newest}


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    for name, value in given.items():
        is_text = name in TEXT_FIELDS
        if value is None and name in {"slug", "kind"}:
            faults.append((name, "required", "This field is required."))
        elif value is None:
            values[name] = "" if is_text else {}
        elif fault := (text_fault if is_text else object_fault)(name, value):
            faults.append(fault)
        else:
            values[name] = value
    raise_if_any(faults)
    return values
