"""Versions that mail uses: published, brought back, made anew when a layout changed.

A published version is frozen with everything it needs, so a new version is the only way to change
mail, also if only a partial changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from mailservice.core.errors import ConflictError, DomainError, InvalidInputError, NotFoundError
from templates_app.models import Kind, Template, TemplateVersion
from templates_app.selectors import Shelf, dependents, outdated
from templates_app.services.drafts import FROZEN, copy_of, locked
from templates_app.services.sources import Fault, default_fault, freeze_or_faults

if TYPE_CHECKING:
    from uuid import UUID

_MAX_NOTE_CHARS = 200
_IS_CURRENT = "is_current"


@dataclass(slots=True)
class Republished:
    """What became of the templates that use a layout or partial."""

    #: Name and new version number.
    done: list[tuple[str, int]] = field(default_factory=list)
    #: Name and why it keeps its version.
    failed: list[tuple[str, str]] = field(default_factory=list)


def publish(
    *, template_id: UUID, by: UUID | None = None, note: str = "", shelf: Shelf | None = None
) -> int:
    """Make the draft what new mail uses; return its number.

    The texts are finished anew: layouts and partials may have changed since they were saved.
    `shelf` is one that the caller keeps for several templates of the same owner. Raises
    `ConflictError` without a draft, `InvalidInputError` if it has nothing for readers of other
    languages (`draft.default`), or a layout or partial it uses changed so that it no longer fits.
    """
    _check_note(note)
    with transaction.atomic():
        template = locked(template_id)
        drafts = list(template.versions.filter(published_at__isnull=True))
        if not drafts:
            raise ConflictError("There is no draft to publish.", code="no_draft")
        if fault := default_fault(template, (draft.locale for draft in drafts)):
            raise InvalidInputError.for_fields([fault])
        shelf = shelf if shelf is not None else Shelf(template.owner_id)
        faults: list[Fault] = []
        changed = []
        for draft in drafts:
            saved = _frozen(draft)
            found = freeze_or_faults(template, draft, shelf)
            faults += _named(draft, found, several=len(drafts) > 1)
            if _frozen(draft) != saved:
                changed.append(draft)
        if faults:
            raise InvalidInputError.for_fields(faults)
        for draft in changed:
            draft.save(update_fields=FROZEN)
        stamp = _stamp(by=by, note=note)
        template.versions.filter(published_at__isnull=True).update(**stamp)
        template.save(update_fields=["updated_at"])
    if template.kind != Kind.MAIL:
        shelf.forget()
    return drafts[0].number


def roll_back(*, template_id: UUID, number: int, by: UUID | None = None, note: str = "") -> int:
    """Publish a copy of an old version, word for word; return the new number.

    A draft stays, above it. Raises `NotFoundError` and `ConflictError` (`is_current`,
    `no_default`).
    """
    _check_note(note)
    with transaction.atomic():
        template = locked(template_id)
        published = template.versions.filter(published_at__isnull=False)
        old = list(published.filter(number=number))
        if not old:
            raise NotFoundError(f"There is no published version {number}.")
        if not published.filter(number__gt=number).exists():
            raise ConflictError("That is the version mail uses.", code=_IS_CURRENT)
        if default_fault(template, (version.locale for version in old)):
            message = f"Version {number} has no text for readers of other languages."
            raise ConflictError(message, code="no_default")
        new_number = _next_number(template)
        copies = []
        for version in old:
            copied = copy_of(version, number=new_number)
            for name in FROZEN:
                setattr(copied, name, getattr(version, name))
            copies.append(copied)
        _insert(template, copies, _stamp(by=by, note=note or f"Version {number} again"))
    return new_number


def republish(*, used_id: UUID, by: UUID | None = None) -> Republished:
    """Publish anew every mail that still has an older version of a layout or partial worked in.

    The author's texts stay, so do drafts. Each mail is published on its own: one that no longer
    fits keeps its version and is told. Asked for twice, the second time there is nothing to do.
    """
    result = Republished()
    note = f"Republished with the new {Template.objects.get(pk=used_id).slug}"
    for template in (one.template for one in dependents(used_id) if one.is_behind):
        try:
            result.done.append((template.slug, catch_up(template_id=template.pk, by=by, note=note)))
        except DomainError as error:
            if error.code != _IS_CURRENT:  # somebody else was quicker
                result.failed.append((template.slug, error.message))
    return result


def catch_up(*, template_id: UUID, by: UUID | None = None, note: str = "") -> int:
    """Publish a mail anew with the newest layouts and partials it uses; return the new number.

    The author's text stays, so does a draft. Raises `ConflictError` (`is_current`) if it has them
    already, `InvalidInputError` if it no longer fits, `NotFoundError`.
    """
    _check_note(note)
    with transaction.atomic():
        template = locked(template_id)
        behind = outdated([template.pk]).get(template.pk)
        if not behind:
            message = "It is published with the newest layouts and partials."
            raise ConflictError(message, code=_IS_CURRENT)
        published = template.versions.filter(published_at__isnull=False)
        newest = published.order_by("-number").values_list("number", flat=True).first()
        old = list(published.filter(number=newest or 0))
        number = _next_number(template)
        copies = [copy_of(version, number=number) for version in old]
        shelf = Shelf(template.owner_id)
        faults = [fault for copied in copies for fault in freeze_or_faults(template, copied, shelf)]
        if faults:
            raise InvalidInputError.for_fields(faults)
        names = ", ".join(one.name for one in behind)
        note = note or f"Republished with the new {names}"
        _insert(template, copies, _stamp(by=by, note=note[:_MAX_NOTE_CHARS]))
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


def _frozen(version: TemplateVersion) -> list[Any]:
    return [getattr(version, name) for name in FROZEN]


def _stamp(*, by: UUID | None, note: str) -> dict[str, Any]:
    """Return when, by whom and why versions are published."""
    return {"published_at": timezone.now(), "published_by_id": by, "note": note.strip()}


def _insert(template: Template, copies: list[TemplateVersion], stamp: dict[str, Any]) -> None:
    for copied in copies:
        for name, value in stamp.items():
            setattr(copied, name, value)
    TemplateVersion.objects.bulk_create(copies)
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
