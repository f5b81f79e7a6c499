"""What authors give: checked, and finished with the layouts and partials they may use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug

from templates_app.engine.plain import object_fault, text_fault
from templates_app.engine.schema import schema_faults
from templates_app.lookup import DEFAULT_NAME
from templates_app.models import Format, Kind, Template, TemplateVersion
from templates_app.rendering import (
    FinishProblem,
    MailSource,
    bundled_parts,
    finish,
    used_in,
)
from templates_app.selectors import Shelf, TemplateLibrary, language_of_default
from templates_app.tags import one_spelling, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

#: (field, code, message)
Fault = tuple[str, str, str]

_LOCALE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_MAX_LOCALE_CHARS = 35
_MAX_SUBJECT_CHARS = 998
_MAX_PREHEADER_CHARS = 500
_MAX_CHARS = {"slug": 100, "title": 200, "description": 200, "category": 60, "language": 35}


class DraftText(TypedDict):
    """One language of a draft, as its author wrote it."""

    #: BCP 47 tag; empty for the default.
    locale: str
    subject: str
    html: str
    text: str
    preheader: NotRequired[str]
    #: `html` or `mjml`.
    format: NotRequired[str]
    #: `updated_at` of the text that was edited: refused if somebody saved another since.
    unchanged_since: NotRequired[datetime]


class TemplateFields(TypedDict, total=False):
    """What a template has beside its texts."""

    owner_id: UUID | None
    slug: str
    kind: str
    title: str
    description: str
    category: str
    #: Of the default text.
    language: str
    sample: dict[str, Any]
    schema: dict[str, Any]


def cleaned(text: DraftText) -> TemplateVersion:
    """Return an unsaved version with what the author gave."""
    return TemplateVersion(
        locale=one_spelling(text["locale"]),
        subject=text["subject"],
        preheader=text.get("preheader", ""),
        html=text["html"],
        text=text["text"],
        format=text.get("format", "") or Format.HTML.value,
    )


def template_faults(template: Template) -> list[Fault]:
    """Return what is wrong with a template about to be saved."""
    faults = _name_faults(template)
    for field, limit in _MAX_CHARS.items():
        value = getattr(template, field)
        if fault := None if field == "slug" else text_fault(field, value):
            faults.append(fault)
        elif len(value) > limit:
            faults.append((field, "too_long", f"At most {limit} characters."))
    if template.kind not in Kind.values:
        faults.append(("kind", "invalid", f"A kind is one of {', '.join(Kind.values)}."))
    faults += locale_faults(template.language, field="language")
    if fault := object_fault("sample", template.sample):
        faults.append(fault)
    fault = object_fault("schema", template.schema)
    return [*faults, fault] if fault else faults + schema_faults(template.schema)


def _name_faults(template: Template) -> list[Fault]:
    try:
        validate_slug(template.slug)
    except ValidationError:
        return [("slug", "invalid", "Use letters, digits, hyphens and underscores.")]
    same = Template.objects.filter(owner_id=template.owner_id, slug=template.slug)
    if same.exclude(pk=template.pk).exists():
        return [("slug", "exists", "Another template of this owner has this name.")]
    return []


def locale_faults(locale: str, *, field: str = "locale") -> list[Fault]:
    """Return what is wrong with a language tag; none is as good as any."""
    if locale.lower() == DEFAULT_NAME:
        words = f"`{DEFAULT_NAME}` names no language: leave it empty."
        return [(field, "invalid", words)]
    if not locale or (len(locale) <= _MAX_LOCALE_CHARS and _LOCALE.fullmatch(locale)):
        return []
    return [(field, "invalid", "Use a language tag such as pt-BR, or leave it empty.")]


def default_fault(template: Template, locales: Iterable[str]) -> Fault | None:
    """Return what is wrong with a version in these languages: somebody gets no text that fits."""
    language = language_of_default(template)
    if stand_in({tag.lower() for tag in locales}, language) is not None:
        return None
    message = (
        "Readers of other languages need a text: write the default one, or one in the template's "
        f"language ({language})."
    )
    return ("draft.default", "required", message)


def freeze_or_faults(template: Template, version: TemplateVersion, shelf: Shelf) -> list[Fault]:
    """Freeze a text, or return what keeps it from being published, whatever its context."""
    faults = shape_faults(template, version)
    if faults:
        return faults
    try:
        freeze(template, version, shelf)
    except FinishProblem as problem:
        faults.append((problem.part, "template_syntax", problem.message))
    return faults


def freeze(template: Template, version: TemplateVersion, shelf: Shelf) -> None:
    """Put into a version what mail is made of. Raises `FinishProblem`."""
    library = TemplateLibrary(template.owner_id, version.locale, shelf=shelf)
    source = mail_source(template, version)
    if template.kind != Kind.MAIL:
        version.bundled = used_in(bundled_parts(source, library))
        return
    done = finish(source, library)
    version.final_subject = done.mail.subject
    version.final_html = done.mail.html
    version.final_text = done.mail.text
    version.inlines_css = done.mail.inlines_css
    version.bundled = done.used


def mail_source(template: Template, version: TemplateVersion) -> MailSource:
    """Return the text as plain data."""
    return MailSource(
        subject=version.subject,
        preheader=version.preheader,
        html=version.html,
        text=version.text,
        format=version.format,
        language=version.locale or language_of_default(template),
        own_id="" if template.kind == Kind.MAIL else str(template.pk),
    )


def shape_faults(template: Template, version: TemplateVersion) -> list[Fault]:
    """Return what is wrong with a text at first sight; what is left out has code `required`."""
    faults = locale_faults(version.locale)
    if version.format not in Format.values:
        faults.append(("format", "invalid", f"A format is one of {', '.join(Format.values)}."))
    if template.kind == Kind.MAIL and not version.subject.strip():
        faults.append(("subject", "required", "A subject is required."))
    for field, limit in (("subject", _MAX_SUBJECT_CHARS), ("preheader", _MAX_PREHEADER_CHARS)):
        if len(getattr(version, field)) > limit:
            faults.append((field, "too_long", f"At most {limit} characters."))
    if not version.html.strip() and not version.text.strip():
        faults.append(("html", "required", "Write an HTML body, a text body or both."))
    for field in ("subject", "preheader", "html", "text"):
        if fault := text_fault(field, getattr(version, field)):
            faults.append(fault)
    return faults
