"""Questions about templates: which text a mail uses, history, who uses what, who may do what."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from difflib import unified_diff
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from mailservice.core.errors import InvalidInputError, NotFoundError
from templates_app.engine import compile_source
from templates_app.engine.locales import fallbacks, formatting_locale
from templates_app.engine.schema import inferred_schema
from templates_app.models import Kind, Template, TemplateVersion
from templates_app.rendering import Shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from accounts.models import User

#: Frozen texts kept per process.
_KEPT_TEXTS = 128
#: Lines up to which two texts are compared line by line: beyond, it takes too long.
_MAX_DIFF_LINES = 10_000
_PARTS = ("subject", "preheader", "html", "text")


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


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """One version of a template, in all its languages."""

    number: int
    locales: tuple[str, ...]
    #: By locale.
    subjects: Mapping[str, str]
    #: None for the draft.
    published_at: datetime | None
    published_by: str
    note: str

    @property
    def is_draft(self) -> bool:
        """True if it is not published yet."""
        return self.published_at is None


class PartDiff(NamedTuple):
    """How one part of one language differs; `diff` is in unified format."""

    locale: str
    part: str
    diff: str


class Dependent(NamedTuple):
    """A template that uses a layout or partial."""

    template: Template
    #: In the version that new mail uses.
    is_published: bool
    in_draft: bool


def published_text(*, name: str, user_id: UUID, locale: str = "") -> PublishedText:
    """Return the newest published text of a mail, in the best locale there is.

    `name` is slug or id; the user's own template wins over a shared one of the same name. Locales
    fall back from `pt-BR` to `pt` to the default. Raises `InvalidInputError` for the field
    `template` if there is none the user may use.
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


class TemplateLibrary:
    """The published layouts and partials that mail of an owner may use, in one language."""

    def __init__(self, owner_id: UUID | None, locale: str) -> None:
        self._owner_id = owner_id
        self._locale = locale
        self._found: dict[tuple[str, str], Shared | None] = {}

    def find(self, name: str, kind: str) -> Shared | None:
        """Return the newest published one; own ones win over shared ones."""
        key = (name, kind)
        if key not in self._found:
            self._found[key] = self._load(name, kind)
        return self._found[key]

    def names(self, kind: str) -> Sequence[str]:
        """Return the names there are."""
        usable = Template.objects.usable_by(self._owner_id).filter(kind=kind)
        published = usable.filter(versions__published_at__isnull=False)
        return list(published.order_by("slug").values_list("slug", flat=True).distinct()[:200])

    def _load(self, name: str, kind: str) -> Shared | None:
        usable = Template.objects.usable_by(self._owner_id).filter(slug=name, kind=kind)
        template = min(usable, key=lambda one: one.owner_id is None, default=None)
        chosen = _newest_published(template, self._locale) if template is not None else None
        if template is None or chosen is None:
            return None
        version = TemplateVersion.objects.get(pk=chosen[0])
        return Shared(
            id=str(template.pk),
            name=template.slug,
            kind=template.kind,
            number=version.number,
            html=version.html,
            text=version.text,
            format=version.format,
        )


def history(template_id: UUID) -> list[VersionSummary]:
    """Return all versions of a template, the newest first."""
    rows = (
        TemplateVersion.objects.filter(template_id=template_id)
        .order_by("-number", "locale")
        .values("number", "locale", "subject", "published_at", "published_by__email", "note")
    )
    versions: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        versions.setdefault(row["number"], []).append(dict(row))
    return [
        VersionSummary(
            number=number,
            locales=tuple(row["locale"] for row in found),
            subjects={row["locale"]: row["subject"] for row in found},
            published_at=found[0]["published_at"],
            published_by=found[0]["published_by__email"] or "",
            note=found[0]["note"],
        )
        for number, found in versions.items()
    ]


def diff_versions(*, template_id: UUID, old: int, new: int) -> list[PartDiff]:
    """Return how version `new` differs from `old`: only what does. Raises `NotFoundError`."""
    before, after = (_texts(template_id, number) for number in (old, new))
    diffs = []
    for locale in sorted({*before, *after}):
        for part in (*_PARTS, "format"):
            texts = [
                getattr(side.get(locale), part, "") if locale in side else ""
                for side in (before, after)
            ]
            if texts[0] != texts[1]:
                names = (f"v{old} {part}", f"v{new} {part}")
                diffs.append(PartDiff(locale, part, _unified(texts[0], texts[1], names)))
    return diffs


def dependents(template_id: UUID) -> list[Dependent]:
    """Return the templates that use a layout or partial, directly or through another one."""
    rows = list(
        TemplateVersion.objects.filter(bundled__has_key=str(template_id))
        .values_list("template_id", "number", "published_at")
        .distinct()
    )
    templates = Template.objects.in_bulk({row[0] for row in rows})
    newest = _newest_numbers(templates)
    found = []
    for template in sorted(templates.values(), key=lambda one: one.slug):
        own = [row for row in rows if row[0] == template.pk]
        one = Dependent(
            template,
            is_published=any(row[1] == newest.get(template.pk) for row in own),
            in_draft=any(row[2] is None for row in own),
        )
        if one.is_published or one.in_draft:
            found.append(one)
    return found


def context_schema(template: Template) -> dict[str, Any]:
    """Return the schema of a template's context: as given, or what its newest texts use."""
    if template.schema:
        return dict(template.schema)
    number = template.versions.order_by("-number").values_list("number", flat=True).first()
    texts = TemplateVersion.objects.filter(template=template, number=number or 0)
    sources = texts.values_list("final_subject", "final_html", "final_text")
    return inferred_schema(
        compile_source(source, html=index == 1)
        for row in sources
        for index, source in enumerate(row)
        if source
    )


def may_edit(user: User, template: Template) -> bool:
    """Tell whether a person may change a template: its owner, or by permission."""
    return template.owner_id == user.pk or user.has_perm("templates.change_template")


def may_publish(user: User, template: Template) -> bool:
    """Tell whether a person may publish a template: its owner, or by permission."""
    return template.owner_id == user.pk or user.has_perm("templates.publish_template")


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
    return next(
        (found[tag] for tag in fallbacks(locale) if tag in found),
        next(iter(found.values()), None),
    )


#: Languages of one version that are looked through.
_MAX_LOCALES = 500


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


def _newest_numbers(templates: Iterable[UUID]) -> dict[UUID, int]:
    """Return the newest published number of each template."""
    rows = TemplateVersion.objects.filter(
        template_id__in=list(templates), published_at__isnull=False
    ).values_list("template_id", "number")
    newest: dict[UUID, int] = {}
    for template_id, number in rows:
        newest[template_id] = max(number, newest.get(template_id, 0))
    return newest


def _texts(template_id: UUID, number: int) -> dict[str, TemplateVersion]:
    found = TemplateVersion.objects.filter(template_id=template_id, number=number)
    texts = {one.locale: one for one in found}
    if not texts:
        raise NotFoundError(f"There is no version {number}.")
    return texts


def _unified(old: str, new: str, names: tuple[str, str]) -> str:
    before, after = old.splitlines(), new.splitlines()
    if len(before) + len(after) > _MAX_DIFF_LINES:
        lines = [f"--- {names[0]}", f"+++ {names[1]}"]
        lines += [f"-{line}" for line in before] + [f"+{line}" for line in after]
        return "\n".join(lines) + "\n"
    lines = list(unified_diff(before, after, *names, lineterm=""))
    return "\n".join(lines) + "\n"
