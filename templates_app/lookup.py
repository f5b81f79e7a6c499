"""Templates and their texts as edges ask for them: by name, by version, by the best language.

Where a language is a word of its own (in a path, a file name, a key), the default text goes by the
name `default`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from django.db.models import Max, Q

from mailservice.core.errors import ConflictError, NotFoundError
from templates_app.models import Template, TemplateVersion
from templates_app.selectors import language_of_default
from templates_app.tags import best_tag, one_spelling

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

DEFAULT_NAME = "default"
#: Words for versions whose numbers nobody has to know.
DRAFT, PUBLISHED = "draft", "published"
_MAX_NAME_CHARS = 100
_MAX_DIGITS = 9


class Standing(NamedTuple):
    """Which versions a template has that matter now; numbers are None where there is none."""

    published: int | None = None
    published_locales: tuple[str, ...] = ()
    draft: int | None = None
    draft_locales: tuple[str, ...] = ()

    def without_draft(self) -> Standing:
        """Return what it is for those who see published texts only."""
        return self._replace(draft=None, draft_locales=())


def find_usable(name: str, user_id: UUID | None) -> Template:
    """Return the template of this id or name among a user's own and the shared ones.

    An own one wins over a shared one of the same name. Raises `NotFoundError`.
    """
    asked = Q(slug=name)
    with suppress(ValueError):
        asked |= Q(pk=UUID(name))
    found = None
    if len(name) <= _MAX_NAME_CHARS and "\x00" not in name:
        usable = Template.objects.usable_by(user_id).filter(asked)
        found = min(usable, key=lambda one: one.owner_id is None, default=None)
    if found is None:
        raise NotFoundError("There is no such template.")
    return found


def standings(ids: Collection[UUID]) -> dict[UUID, Standing]:
    """Return where templates stand; two statements, however many they are."""
    is_draft = Q(published_at__isnull=True)
    newest = {
        row["template_id"]: (row["published"], row["draft"])
        for row in TemplateVersion.objects.filter(template_id__in=ids)
        .order_by()
        .values("template_id")
        .annotate(
            published=Max("number", filter=~is_draft),
            draft=Max("number", filter=is_draft),
        )
    }
    locales = _locales(newest)
    return {
        template_id: Standing(
            published,
            locales.get((template_id, published), ()),
            draft,
            locales.get((template_id, draft), ()),
        )
        for template_id, (published, draft) in newest.items()
    }


def standing(template_id: UUID) -> Standing:
    """Return where one template stands."""
    return standings([template_id]).get(template_id, Standing())


def number_of(template: Template, asked: str = "") -> int:
    """Return the number of a version asked for as `draft`, `published` or a number.

    Nothing asked for is the draft, or what is published if there is none. Raises `NotFoundError`.
    """
    return number_in(standing(template.pk), asked)


def number_in(now: Standing, asked: str = "") -> int:
    """Return what `number_of` does, for a template that stands so."""
    found: int | None = None
    if asked.isascii() and asked.isdigit() and len(asked) <= _MAX_DIGITS:
        found = int(asked)
    elif asked in {"", DRAFT, PUBLISHED}:
        choices = {DRAFT: now.draft, PUBLISHED: now.published}
        found = choices[asked] if asked else now.draft or now.published
    if found is None:
        raise NotFoundError(_absent(asked))
    return found


def texts_of(template: Template, number: int) -> dict[str, TemplateVersion]:
    """Return the texts of a version by locale, the default first. Raises `NotFoundError`."""
    rows = template.versions.filter(number=number).order_by("locale")
    texts = {one.locale: one for one in rows.select_related("template", "published_by")}
    if not texts:
        raise NotFoundError(f"There is no version {number}.")
    return texts


def best_text(texts: Mapping[str, TemplateVersion], locale: str) -> TemplateVersion:
    """Return the text a reader of this locale gets, as when sending: `pt-BR`, `pt`, default."""
    by_tag = {tag.lower(): one for tag, one in texts.items()}
    first = next(iter(texts.values()))
    tag = best_tag(by_tag, locale, language=language_of_default(first.template))
    return first if tag is None else by_tag[tag]


def locale_name(locale: str) -> str:
    """Return the word for a locale."""
    return locale or DEFAULT_NAME


def locale_of(name: str) -> str:
    """Return the locale of a word in its one spelling, `pt_br` being `pt-BR`."""
    return "" if name.lower() == DEFAULT_NAME else one_spelling(name)


def require_named(locale: str) -> None:
    """Raise `ConflictError` for a locale that would be taken for the default text."""
    if locale.lower() == DEFAULT_NAME:
        raise ConflictError(f"A language cannot be called {DEFAULT_NAME!r}.", code="locale")


def _locales(
    newest: Mapping[UUID, tuple[int | None, int | None]],
) -> dict[tuple[UUID, int | None], tuple[str, ...]]:
    numbers = {number for pair in newest.values() for number in pair if number is not None}
    rows = (
        TemplateVersion.objects.filter(template_id__in=newest, number__in=numbers)
        .order_by("locale")
        .values_list("template_id", "number", "locale")
    )
    found: dict[tuple[UUID, int | None], tuple[str, ...]] = {}
    for template_id, number, locale in rows:
        key = (template_id, number)
        found[key] = (*found.get(key, ()), locale)
    return found


def _absent(asked: str) -> str:
    if asked == DRAFT:
        return "There is no draft."
    if asked == PUBLISHED:
        return "Nothing is published yet."
    if not asked:
        return "The template has no text yet."
    return "A version is a number, 'draft' or 'published'."
