"""Versions that mail uses: published, brought back, made anew when a layout changed.

A published version is frozen with everything it needs, so a new version is the only way to change
mail, also if only a partial changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from mailservice.core.errors import ConflictError, DomainError, InvalidInputError, NotFoundError
from templates_app.models import Kind, Template, TemplateVersion
from templates_app.selectors import dependents
from templates_app.services.drafts import copy_of, locked
from templates_app.services.sources import Fault, freeze_or_faults

if TYPE_CHECKING:
    from uuid import UUID

_FROZEN = ("final_subject", "final_html", "final_text", "inlines_css", "bundled")
_MAX_NOTE_CHARS = 200


@dataclass(slots=True)
class Republished:
    """What became of the templates that use a layout or partial."""

    #: Name and new version number.
    done: list[tuple[str, int]] = field(default_factory=list)
    #: Name and why it keeps its version.
    failed: list[tuple[str, str]] = field(default_factory=list)


def publish(*, template_id: UUID, by: UUID | None = None, note: str = "") -> int:
    """Make the draft what new mail uses; return its number.

    Raises `ConflictError` without a draft, `InvalidInputError` if a layout or partial it uses
    changed so that it no longer fits.
    """
    _check_note(note)
    with transaction.atomic():
        template = locked(template_id)
        drafts = list(template.versions.filter(published_at__isnull=True))
        if not drafts:
            raise ConflictError("There is no draft to publish.", code="no_draft")
        faults: list[Fault] = []
        for draft in drafts:
            faults += _named(draft, freeze_or_faults(template, draft), several=len(drafts) > 1)
        if faults:
            raise InvalidInputError.for_fields(faults)
        _publish(template, drafts, by=by, note=note)
    return drafts[0].number


def roll_back(*, template_id: UUID, number: int, by: UUID | None = None, note: str = "") -> int:
    """Publish a copy of an old version, word for word; return the new number.

    A draft stays, above it. Raises `NotFoundError` and `ConflictError` (`is_current`).
    """
    _check_note(note)
    with transaction.atomic():
        template = locked(template_id)
        published = template.versions.filter(published_at__isnull=False)
        old = list(published.filter(number=number))
        if not old:
            raise NotFoundError(f"There is no published version {number}.")
        if not published.filter(number__gt=number).exists():
            raise ConflictError("That is the version mail uses.", code="is_current")
        new_number = _next_number(template)
        copies = []
        for version in old:
            copied = copy_of(version, number=new_number)
            for name in _FROZEN:
                setattr(copied, name, getattr(version, name))
            copies.append(copied)
        _publish(template, copies, by=by, note=note or f"Version {number} again")
    return new_number


def republish(*, used_id: UUID, by: UUID | None = None) -> Republished:
    """Publish anew every mail whose published version has a layout or partial worked in.

    The author's texts stay, so do drafts. Each mail is published on its own: one that no longer
    fits keeps its version and is told.
    """
    result = Republished()
    for one in dependents(used_id):
        template = one.template
        if not one.is_published or template.kind != Kind.MAIL:
            continue
        try:
            result.done.append((template.slug, _republish(template.pk, used_id, by)))
        except DomainError as error:
            result.failed.append((template.slug, error.message))
    return result


def _republish(template_id: UUID, used_id: UUID, by: UUID | None) -> int:
    with transaction.atomic():
        template = locked(template_id)
        published = template.versions.filter(published_at__isnull=False)
        newest = published.order_by("-number").values_list("number", flat=True).first()
        old = list(published.filter(number=newest or 0))
        number = _next_number(template)
        copies = [copy_of(version, number=number) for version in old]
        faults = [fault for copied in copies for fault in freeze_or_faults(template, copied)]
        if faults:
            raise InvalidInputError.for_fields(faults)
        used = Template.objects.get(pk=used_id)
        _publish(template, copies, by=by, note=f"Republished with the new {used.slug}")
    return number


def _next_number(template: Template) -> int:
    """Return the number above the published ones, which a draft makes room for."""
    newest = template.versions.order_by("-number").first()
    if newest is None:
        return 1
    if newest.published_at is not None:
        return newest.number + 1
    template.versions.filter(published_at__isnull=True).update(number=F("number") + 1)
    return newest.number


def _publish(
    template: Template, versions: list[TemplateVersion], *, by: UUID | None, note: str
) -> None:
    now = timezone.now()
    for version in versions:
        version.published_at, version.published_by_id, version.note = now, by, note.strip()
        version.save()
    template.save(update_fields=["updated_at"])


def _check_note(note: str) -> None:
    if len(note) > _MAX_NOTE_CHARS:
        raise InvalidInputError.for_field("note", f"At most {_MAX_NOTE_CHARS} characters.")


def _named(version: TemplateVersion, faults: list[Fault], *, several: bool) -> list[Fault]:
    """Say in which language a fault is."""
    if not several:
        return faults
    language = version.locale or "default"
    return [(name, code, f"{language}: {message}") for name, code, message in faults]
