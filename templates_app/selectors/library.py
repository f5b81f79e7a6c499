"""The layouts and partials that a mail may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import Max, OuterRef, Q, Subquery

from templates_app.models import Template, TemplateVersion
from templates_app.rendering import Shared
from templates_app.selectors.texts import language_of_default
from templates_app.tags import best_tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

_MAX_NAMES = 200
#: Languages of one version that are looked through.
_MAX_LOCALES = 500


class _Texts(NamedTuple):
    """The texts of a layout or partial, by tag in lower case."""

    by_tag: Mapping[str, Shared]
    #: Of the default.
    language: str


class Shelf:
    """The published layouts and partials that mail of an owner may use, each asked for once.

    Whoever publishes one while holding a shelf calls `forget`.
    """

    def __init__(self, owner_id: UUID | None) -> None:
        self.owner_id = owner_id
        self._texts: dict[tuple[str, str], _Texts] = {}
        self._names: dict[str, Sequence[str]] = {}

    def text(self, name: str, kind: str, locale: str) -> Shared | None:
        """Return the newest published one in the best language; own ones win over shared ones."""
        key = (name, kind)
        if key not in self._texts:
            self._texts[key] = self._load(name, kind)
        texts = self._texts[key]
        tag = best_tag(texts.by_tag, locale, language=texts.language)
        return None if tag is None else texts.by_tag[tag]

    def names(self, kind: str) -> Sequence[str]:
        """Return the names there are."""
        if kind not in self._names:
            usable = Template.objects.usable_by(self.owner_id).filter(kind=kind)
            published = usable.filter(versions__published_at__isnull=False)
            slugs = published.order_by("slug").values_list("slug", flat=True)
            self._names[kind] = list(slugs.distinct()[:_MAX_NAMES])
        return self._names[kind]

    def forget(self) -> None:
        """Ask again for everything."""
        self._texts.clear()
        self._names.clear()

    def _load(self, name: str, kind: str) -> _Texts:
        usable = Template.objects.usable_by(self.owner_id).filter(slug=name, kind=kind)
        template = min(usable, key=lambda one: one.owner_id is None, default=None)
        if template is None:
            return _Texts({}, "")
        rows = TemplateVersion.objects.filter(template=template, number=newest_number(template.pk))
        texts = {
            one.locale.lower(): Shared(
                id=str(template.pk),
                name=template.slug,
                kind=template.kind,
                number=one.number,
                html=one.html,
                text=one.text,
                format=one.format,
            )
            for one in rows.order_by("locale")[:_MAX_LOCALES]
        }
        return _Texts(texts, language_of_default(template))


class TemplateLibrary:
    """The published layouts and partials that mail of an owner may use, in one language."""

    def __init__(self, owner_id: UUID | None, locale: str, *, shelf: Shelf | None = None) -> None:
        self._shelf = shelf if shelf is not None else Shelf(owner_id)
        self._locale = locale

    def find(self, name: str, kind: str) -> Shared | None:
        """Return the newest published one; own ones win over shared ones."""
        return self._shelf.text(name, kind, self._locale)

    def names(self, kind: str) -> Sequence[str]:
        """Return the names there are."""
        return self._shelf.names(kind)


def newest_number(template_id: Any) -> Subquery:
    """Return the number of a template's newest published version, for a statement."""
    rows = TemplateVersion.objects.filter(template_id=template_id, published_at__isnull=False)
    return Subquery(rows.order_by("-number").values("number")[:1])


def is_newest_published() -> Q:
    """Return what holds for the rows of versions that new mail uses."""
    return Q(published_at__isnull=False, number=newest_number(OuterRef("template_id")))


def newest_numbers(ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the numbers of the newest published versions of templates."""
    rows = TemplateVersion.objects.filter(template_id__in=ids, published_at__isnull=False)
    found = rows.order_by().values_list("template_id").annotate(number=Max("number"))
    return dict(found)
