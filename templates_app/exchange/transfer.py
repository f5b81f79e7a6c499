"""Templates written from plain data, all or none; and read into it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, cast

from django.db import transaction

from mailservice.core.errors import DomainError, InvalidInputError
from mailservice.core.sql import advisory_key, lock_for_transaction
from templates_app.engine import TemplateSyntaxProblem, scan
from templates_app.exchange.shapes import OBJECT_FIELDS, TEXT_FIELDS, TemplateData, TextData
from templates_app.lookup import locale_name, standing, texts_of
from templates_app.models import Template
from templates_app.selectors import Shelf
from templates_app.services import (
    DraftFaultsError,
    DraftText,
    create_template,
    publish,
    remove_draft_locale,
    save_drafts,
    update_template,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from templates_app.engine.plain import Fault

_MAX_FAULTS = 100
_NAMED = re.compile(r"""\s*(["'])([\w-]+)\1""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How templates are written."""

    #: None: they are everybody's.
    owner_id: UUID | None
    by: UUID | None = None
    #: Make them what new mail uses.
    publish: bool = False
    note: str = ""
    #: Do everything, keep nothing.
    dry_run: bool = False
    #: Called with how many of the templates are through, and how many there are.
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one template."""

    slug: str
    #: `created`, `updated` or `unchanged`.
    action: str
    #: Languages written and dropped.
    written: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    #: The number it was published under.
    published: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for reports."""
        return {
            "slug": self.slug,
            "action": self.action,
            "written": [locale_name(locale) for locale in self.written],
            "dropped": [locale_name(locale) for locale in self.dropped],
            "published": self.published,
        }


def exported(template: Template, number: int | None) -> TemplateData:
    """Return a template with the texts of a version. Raises `NotFoundError`."""
    texts = [] if number is None else texts_of(template, number).values()
    return TemplateData(
        **{name: getattr(template, name) for name in (*TEXT_FIELDS, *OBJECT_FIELDS)},
        texts=tuple(
            TextData(
                one.locale,
                subject=one.subject,
                preheader=one.preheader,
                html=one.html,
                text=one.text,
                format=one.format,
            )
            for one in sorted(texts, key=lambda one: one.locale)
        ),
    )


def import_templates(templates: Sequence[TemplateData], options: ImportOptions) -> list[Imported]:
    """Write all templates into their drafts, creating those there are not; or none of them.

    What is the same already is left alone, so the same import twice changes nothing. Layouts and
    partials come before what uses them; they have to be published to be found. Raises
    `InvalidInputError` with every fault: `welcome.title`, `welcome.draft.de.html`.
    """
    faults: list[Fault] = []
    done: dict[str, Imported] = {}
    with transaction.atomic():
        # Two imports that take the same templates in another order would stop one another.
        lock_for_transaction(advisory_key("template import", options.owner_id))
        shelf = Shelf(options.owner_id)
        for place, one in enumerate(_in_order(templates)):
            if options.progress is not None:
                options.progress(place, len(templates))
            try:
                with transaction.atomic():
                    done[one.slug] = _import(one, options, shelf)
            except DomainError as error:
                # What it published is published no more.
                shelf.forget()
                faults += _faults_of(one.slug, error)
        if faults:
            raise InvalidInputError.for_fields(faults[:_MAX_FAULTS])
        if options.dry_run:
            transaction.set_rollback(True)
    return [done[one.slug] for one in templates]


def _import(one: TemplateData, options: ImportOptions, shelf: Shelf) -> Imported:
    template = Template.objects.filter(owner_id=options.owner_id, slug=one.slug).first()
    fields: Any = one.fields()
    if template is None:
        action = "created"
        template = create_template(owner_id=options.owner_id, **fields)
    else:
        changed = {
            name: value for name, value in fields.items() if getattr(template, name) != value
        }
        action = "updated" if changed else "unchanged"
        if changed:
            template = update_template(template_id=template.pk, **cast("Any", changed))
            # Under another name or kind it may be another one's layout or partial.
            shelf.forget()
    written, dropped = write_texts(template, one.texts, shelf=shelf)
    if action == "unchanged" and (written or dropped):
        action = "updated"
    number = None
    if options.publish and standing(template.pk).draft is not None:
        number = publish(template_id=template.pk, by=options.by, note=options.note, shelf=shelf)
    return Imported(one.slug, action, written, dropped, number)


def write_texts(
    template: Template, texts: Iterable[TextData], *, shelf: Shelf | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Make the draft say what the texts say; no texts at all ask for nothing."""
    wanted = {one.locale: one for one in texts}
    if not wanted:
        return (), ()
    now = standing(template.pk)
    newest = now.draft or now.published
    present = {} if newest is None else {t.locale: t for t in exported(template, newest).texts}
    changed = [one for locale, one in wanted.items() if present.get(locale) != one]
    if changed:
        _save(template, changed, shelf)
    dropped = [locale for locale in present if locale not in wanted]
    for locale in dropped:
        remove_draft_locale(template_id=template.pk, locale=locale)
    return tuple(one.locale for one in changed), tuple(dropped)


def _save(template: Template, texts: Sequence[TextData], shelf: Shelf | None) -> None:
    formats = {one.locale: one.format for one in texts}
    given: list[DraftText] = [
        {
            "locale": one.locale,
            "subject": one.subject,
            "preheader": one.preheader,
            "html": one.html,
            "text": one.text,
            "format": one.format,
        }
        for one in texts
    ]
    try:
        save_drafts(template_id=template.pk, texts=given, shelf=shelf)
    except DraftFaultsError as error:
        raise InvalidInputError.for_fields(
            [
                (f"draft.{locale_name(locale)}.{_part(name, formats[locale])}", code, message)
                for locale, faults in error.by_locale.items()
                for name, code, message in faults
            ]
        ) from error


def _part(name: str, html_name: str) -> str:
    return html_name if name == "html" else name


def in_place(
    error: InvalidInputError, place: str = "", *, html_name: str = "html"
) -> InvalidInputError:
    """Return a refusal of a text with its fields inside `place`, `html` by the name it had."""
    faults = []
    for name, found in error.details.items():
        given = _part(name, html_name)
        path = f"{place}.{given}" if place else given
        faults += [(path, one["code"], one["message"]) for one in found]
    return InvalidInputError.for_fields(faults)


def _faults_of(slug: str, error: DomainError) -> list[Fault]:
    if not isinstance(error, InvalidInputError):
        return [(slug, error.code, error.message)]
    return [
        (f"{slug}.{name}", one["code"], one["message"])
        for name, found in error.details.items()
        for one in found
    ]


def _in_order(templates: Sequence[TemplateData]) -> list[TemplateData]:
    """Return the templates with what they use before them."""
    by_slug = {one.slug: one for one in templates}
    uses = {one.slug: sorted(_used_by(one) & by_slug.keys()) for one in templates}
    try:
        return [by_slug[slug] for slug in TopologicalSorter(uses).static_order()]
    except CycleError:
        return list(templates)  # which of them is at fault is told when they are written


def _used_by(template: TemplateData) -> set[str]:
    """Return the names of layouts and partials in its texts."""
    found: set[str] = set()
    for one in template.texts:
        for source in (one.subject, one.preheader, one.html, one.text):
            try:
                constructs = scan(source)
            except TemplateSyntaxProblem:
                continue  # told when it is written
            for tag in constructs:
                named = _NAMED.match(tag.body) if tag.name in {"layout", "render"} else None
                if named:
                    found.add(named[2])
    return found
