"""What new mail of a template says, and what it asks of a context."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from mailservice.core.errors import InvalidInputError
from templates_app.engine import compile_source
from templates_app.engine.locales import formatting_locale
from templates_app.engine.schema import inferred_schema
from templates_app.models import Kind, Template, TemplateVersion
from templates_app.tags import best_tag

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Frozen texts kept per process.
_KEPT_TEXTS = 128
#: Languages of one version that are looked through.
_MAX_LOCALES = 500


class PublishedText(NamedTuple):
    """What new mail of a template says in one language."""

    version_id: UUID
    subject: str
    html: str
    text: str
    inlines_css: bool
    #: How dates and numbers read.
    locale: str
    #: What the context must be; empty if anything goes.
    schema: Mapping[str, Any]


def published_text(*, name: str, user_id: UUID, locale: str = "") -> PublishedText:
    """Return the newest published text of a mail, in the best locale there is.

    `name` is slug or id; the user's own template wins over a shared one of the same name. Locales
    fall back from `pt-BR` to `pt` to the default, or to the text that stands for it. Raises
    `InvalidInputError` for the field `template` if there is none the user may use.
    """
    template = _find(name, user_id)
    chosen = _newest_published(template, locale) if template is not None else None
    if template is None or chosen is None:
        raise InvalidInputError.for_field(
            "template", f"There is no published template {name!r}.", code="not_found"
        )
    version_id, text_locale = chosen
    text_language = text_locale or language_of_default(template)
    subject, html, text, inlines_css = _frozen(version_id)
    return PublishedText(
        version_id,
        subject,
        html,
        text,
        inlines_css,
        formatting_locale(text=text_language, asked=locale),
        template.schema,
    )


def published_version(*, name: str, user_id: UUID, locale: str = "") -> TemplateVersion:
    """Return the version `published_text` takes its text from."""
    found = published_text(name=name, user_id=user_id, locale=locale)
    return TemplateVersion.objects.select_related("template").get(pk=found.version_id)


def language_of_default(template: Template) -> str:
    """Return the language of a template's default text."""
    return template.language or settings.LANGUAGE_CODE


def context_schema(template: Template, *, drafts: bool = True) -> dict[str, Any]:
    """Return the schema of a template's context: as given, or what its newest texts use."""
    if template.schema:
        return dict(template.schema)
    versions = template.versions.all()
    if not drafts:
        versions = versions.filter(published_at__isnull=False)
    number = versions.order_by("-number").values_list("number", flat=True).first()
    texts = TemplateVersion.objects.filter(template=template, number=number or 0)
    sources = texts.values_list("final_subject", "final_html", "final_text")
    return inferred_schema(
        compile_source(source, html=index == 1)
        for row in sources
        for index, source in enumerate(row)
        if source
    )


def _newest_published(template: Template, locale: str) -> tuple[UUID, str] | None:
    """Return id and locale of the newest published text in the best locale."""
    rows = template.versions.filter(published_at__isnull=False).order_by("-number", "locale")
    found: dict[str, tuple[UUID, str]] = {}
    newest = None
    for pk, number, tag in rows.values_list("pk", "number", "locale")[:_MAX_LOCALES]:
        newest = number if newest is None else newest
        if number != newest:
            break
        found[tag.lower()] = (pk, tag)
    best = best_tag(found, locale, language=language_of_default(template))
    return None if best is None else found[best]


@lru_cache(maxsize=_KEPT_TEXTS)
def _frozen(version_id: UUID) -> tuple[str, str, str, bool]:
    """Return the final texts of a published version, which never change."""
    fields = ("final_subject", "final_html", "final_text", "inlines_css")
    row: tuple[str, str, str, bool] = TemplateVersion.objects.values_list(*fields).get(
        pk=version_id
    )
    return row


def _find(name: str, user_id: UUID) -> Template | None:
    by_name = Q(slug=name)
    with contextlib.suppress(ValueError):
        by_name |= Q(pk=UUID(name))
    visible = Template.objects.usable_by(user_id).filter(by_name, kind=Kind.MAIL)
    return min(visible, key=lambda template: template.owner_id is None, default=None)
