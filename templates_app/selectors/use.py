"""Who uses a layout or partial, and which mails were published before the newest of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db import connection
from django.db.models import Q

from templates_app.models import Kind, Template, TemplateVersion
from templates_app.selectors.library import is_newest_published, newest_numbers

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID


class Dependent(NamedTuple):
    """A template that uses a layout or partial."""

    template: Template
    #: In the version that new mail uses.
    is_published: bool
    in_draft: bool
    #: New mail of it still says what an older version of the layout or partial said.
    is_behind: bool = False


class Outdated(NamedTuple):
    """A layout or partial of which a mail still has an older version."""

    name: str
    #: `layout` or `partial`.
    kind: str
    #: The version worked in, and the newest published one.
    used: int
    newest: int


def dependents(template_id: UUID) -> list[Dependent]:
    """Return the templates that use a layout or partial, directly or through another one."""
    key = str(template_id)
    rows = list(
        TemplateVersion.objects.filter(bundled__has_key=key)
        .filter(Q(published_at__isnull=True) | is_newest_published())
        .order_by()
        .values_list("template_id", "published_at", "bundled")
    )
    newest = newest_numbers([template_id]).get(template_id, 0) if rows else 0
    templates = Template.objects.in_bulk({row[0] for row in rows})
    found = []
    for template in sorted(templates.values(), key=lambda one: one.slug):
        own = [row for row in rows if row[0] == template.pk]
        used = [bundled[key] for _, published_at, bundled in own if published_at is not None]
        found.append(
            Dependent(
                template,
                is_published=bool(used),
                in_draft=len(used) < len(own),
                # A layout is not frozen: what it uses is worked in with the mail.
                is_behind=template.kind == Kind.MAIL and any(one < newest for one in used),
            )
        )
    return found


def outdated(ids: Collection[UUID]) -> dict[UUID, list[Outdated]]:
    """Return, for mails, the layouts and partials that were published anew since they were.

    One statement, however many they are; mails that are up to date are absent.
    """
    found: dict[UUID, list[Outdated]] = {}
    if not ids:
        return found
    with connection.cursor() as cursor:
        cursor.execute(_OUTDATED, [list(ids)])
        for template_id, *values in cursor.fetchall():
            found.setdefault(template_id, []).append(Outdated(*values))
    return found


_OUTDATED = """
    SELECT version.template_id, used.slug, used.kind, min(part.value::int), newest.number
    FROM templates_template mail
    JOIN LATERAL (
        SELECT number FROM templates_templateversion
        WHERE template_id = mail.id AND published_at IS NOT NULL ORDER BY number DESC LIMIT 1
    ) current ON true
    JOIN templates_templateversion version
        ON version.template_id = mail.id AND version.number = current.number
    JOIN LATERAL jsonb_each_text(version.bundled) part ON true
    JOIN LATERAL (
        SELECT number FROM templates_templateversion
        WHERE template_id = part.key::uuid AND published_at IS NOT NULL
        ORDER BY number DESC LIMIT 1
    ) newest ON newest.number > part.value::int
    JOIN templates_template used ON used.id = part.key::uuid
    WHERE mail.id = ANY(%s) AND mail.kind = 'mail'
    GROUP BY version.template_id, used.slug, used.kind, newest.number
    ORDER BY used.slug
"""
