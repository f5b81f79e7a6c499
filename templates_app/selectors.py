"""Which text of a template a mail uses."""

from __future__ import annotations

import contextlib
from uuid import UUID

from django.db.models import Q

from mailservice.core.errors import InvalidInputError
from templates_app.models import Template, TemplateVersion


def published_version(*, name: str, user_id: UUID, locale: str = "") -> TemplateVersion:
    """Return the newest published text of a template, in the best locale there is.

    `name` is slug or id; the user's own template wins over a shared one of the same name. Locales
    fall back from `pt-BR` to `pt` to the default. Raises `InvalidInputError` for the field
    `template` if there is none the user may use.
    """
    template = _find(name, user_id)
    versions = _newest_published(template) if template is not None else {}
    if not versions:
        raise InvalidInputError.for_field(
            "template", f"There is no published template {name!r}.", code="not_found"
        )
    return next(
        (versions[tag] for tag in _fallbacks(locale) if tag in versions),
        next(iter(versions.values())),
    )


def _newest_published(template: Template) -> dict[str, TemplateVersion]:
    published = template.versions.filter(published_at__isnull=False)
    number = published.order_by("-number").values_list("number", flat=True).first()
    if number is None:
        return {}
    return {version.locale.lower(): version for version in published.filter(number=number)}


def _find(name: str, user_id: UUID) -> Template | None:
    by_name = Q(slug=name)
    with contextlib.suppress(ValueError):
        by_name |= Q(pk=UUID(name))
    visible = Template.objects.filter(by_name).filter(Q(owner__isnull=True) | Q(owner_id=user_id))
    return min(visible, key=lambda template: template.owner_id is None, default=None)


def _fallbacks(locale: str) -> list[str]:
    parts = locale.lower().replace("_", "-").split("-") if locale else []
    return ["-".join(parts[:length]) for length in range(len(parts), 0, -1)] + [""]
