"""Templates and their drafts.

A template has at most one draft, the version above the published ones. It holds one text per
locale and starts as a copy of what is published, so publishing it never drops a language.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from django.db import transaction
from django.utils import timezone

from mailservice.core.errors import ConflictError, InvalidInputError, NotFoundError
from mailservice.core.sql import advisory_key, lock_for_transaction
from templates_app.lookup import standing
from templates_app.models import Kind, Template, TemplateVersion
from templates_app.selectors import Shelf, dependents
from templates_app.services.sources import (
    DraftText,
    Fault,
    TemplateFields,
    cleaned,
    default_fault,
    freeze_or_faults,
    template_faults,
)
from templates_app.tags import one_spelling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

#: What one copy of a version takes from another.
AUTHORED = ("locale", "subject", "preheader", "html", "text", "format", "updated_at")
#: What freezing adds to them.
FROZEN = ("final_subject", "final_html", "final_text", "inlines_css", "bundled")
#: Of the templates that use another one, in a sentence.
_MAX_NAMED = 5
_STRIPPED = ("slug", "title", "description", "category", "language")


class DraftFaultsError(InvalidInputError):
    """Some texts are not fit to be published; `by_locale` says why."""

    def __init__(self, by_locale: Mapping[str, Sequence[Fault]]) -> None:
        faults = [fault for found in by_locale.values() for fault in found]
        told = InvalidInputError.for_fields(faults)
        super().__init__(told.message, details=told.details)
        self.by_locale = by_locale


def create_template(*, slug: str, **fields: Unpack[TemplateFields]) -> Template:  # type: ignore[misc]  # slug is required here
    """Create an empty template; without an owner it is everybody's. Raises `InvalidInputError`."""
    template = Template(slug=slug)
    return _save_template(template, fields)


def update_template(*, template_id: UUID, **fields: Unpack[TemplateFields]) -> Template:
    """Change what is given of a template. Raises `InvalidInputError` and `NotFoundError`."""
    with transaction.atomic():
        template = locked(template_id)
        kind = fields.get("kind", template.kind)
        if kind != template.kind and template.versions.exists():
            raise InvalidInputError.for_field(
                "kind", "The kind of a template that has texts cannot change.", code="conflict"
            )
        if faults := [*_language_faults(template, fields), *_use_faults(template, fields)]:
            raise InvalidInputError.for_fields(faults)
        return _save_template(template, fields)


def delete_template(*, template_id: UUID) -> None:
    """Delete a template that was never published. Raises `ConflictError` and `NotFoundError`."""
    with transaction.atomic():
        template = locked(template_id)
        if template.versions.filter(published_at__isnull=False).exists():
            raise ConflictError("Mail may refer to its versions.", code="published")
        template.versions.all().delete()
        template.delete()


def save_draft(*, template_id: UUID, **text: Unpack[DraftText]) -> TemplateVersion:
    """Write one locale of the draft, beginning a draft if there is none.

    The text must be fit to be published. Raises `InvalidInputError` naming `locale`, `subject`,
    `preheader`, `html`, `text` or `format`, `ConflictError` (`draft_changed`) and `NotFoundError`.
    """
    version = cleaned(text)
    with transaction.atomic():
        template = locked(template_id)
        if faults := freeze_or_faults(template, version, Shelf(template.owner_id)):
            raise InvalidInputError.for_fields(faults)
        draft = _draft(template)
        present = draft.texts.get(version.locale)
        since = text.get("unchanged_since")
        if since is not None and present is not None and present.updated_at != since:
            raise ConflictError("Somebody saved this draft meanwhile.", code="draft_changed")
        _write(template, draft, [version])
    return version


def save_drafts(
    *, template_id: UUID, texts: Sequence[DraftText], shelf: Shelf | None = None
) -> list[TemplateVersion]:
    """Write some locales of the draft, or none of them; quicker than one by one.

    `shelf` is one that the caller keeps for several templates of the same owner. Raises
    `DraftFaultsError` with what is wrong by locale, and `NotFoundError`.
    """
    versions = [cleaned(text) for text in texts]
    with transaction.atomic():
        template = locked(template_id)
        shelf = shelf if shelf is not None else Shelf(template.owner_id)
        faults = {
            version.locale: found
            for version in versions
            if (found := freeze_or_faults(template, version, shelf))
        }
        if faults:
            raise DraftFaultsError(faults)
        if versions:
            _write(template, _draft(template), versions)
    return versions


def remove_draft_locale(*, template_id: UUID, locale: str) -> bool:
    """Drop one language from the draft, beginning a draft if there is none; False if it had none.

    Raises `ConflictError` for the last language: discard the draft instead.
    """
    with transaction.atomic():
        template = locked(template_id)
        texts = _draft(template).texts
        dropped = texts.get(one_spelling(locale))
        if dropped is None:
            transaction.set_rollback(True)
            return False
        if len(texts) == 1:
            raise ConflictError("A version needs a text.", code="last_locale")
        dropped.delete()
        template.save(update_fields=["updated_at"])
    return True


def discard_draft(*, template_id: UUID) -> bool:
    """Throw the draft away; False if there was none."""
    with transaction.atomic():
        template = locked(template_id)
        removed, _ = template.versions.filter(published_at__isnull=True).delete()
    return removed > 0


def locked(template_id: UUID) -> Template:
    """Return a template nobody else changes until the transaction ends. Raises `NotFoundError`."""
    template = Template.objects.select_for_update().filter(pk=template_id).first()
    if template is None:
        raise NotFoundError("There is no such template.")
    return template


def copy_of(version: TemplateVersion, *, number: int) -> TemplateVersion:
    """Return an unsaved version with what the author of another one wrote."""
    copied = {field: getattr(version, field) for field in AUTHORED}
    return TemplateVersion(template_id=version.template_id, number=number, **copied)


def _language_faults(template: Template, fields: TemplateFields) -> Iterable[Fault]:
    """Yield what speaks against another language: some text may stand for the default by it."""
    present = template.language
    language = fields.get("language", present).strip()
    locales = standing(template.pk).published_locales if language != present else ()
    if not locales or default_fault(template, locales):
        return
    if default_fault(Template(language=language), locales):
        message = "The published text in this language stands for the default: publish one first."
        yield "language", "conflict", message


def _use_faults(template: Template, fields: TemplateFields) -> Iterable[Fault]:
    """Yield what would keep others from finding the layout or partial that they use."""
    is_renamed = fields.get("slug", template.slug).strip() != template.slug
    owner_id = fields.get("owner_id", template.owner_id)
    is_taken = owner_id is not None and owner_id != template.owner_id
    if template.kind == Kind.MAIL or not (is_renamed or is_taken):
        return
    users = [one.template for one in dependents(template.pk)]
    if is_renamed and users:
        message = f"Used by {_some(users)}: they would not find it under another name."
        yield "slug", "conflict", message
    others = [one for one in users if one.owner_id != owner_id] if is_taken else []
    if others:
        yield "owner", "conflict", f"Used by {_some(others)}: they would not reach it any more."


def _some(templates: Sequence[Template]) -> str:
    names = ", ".join(one.slug for one in templates[:_MAX_NAMED])
    rest = len(templates) - _MAX_NAMED
    return f"{names} and {rest} more" if rest > 0 else names


def _save_template(template: Template, fields: Mapping[str, Any]) -> Template:
    for name, value in fields.items():
        setattr(template, name, value)
    for name in _STRIPPED:
        setattr(template, name, getattr(template, name).strip())
    with transaction.atomic():
        # Two templates of one owner must not get one name beside each other.
        lock_for_transaction(advisory_key("template names", template.owner_id))
        if faults := template_faults(template):
            raise InvalidInputError.for_fields(faults)
        template.save()
    return template


class _Draft(NamedTuple):
    number: int
    #: By locale.
    texts: Mapping[str, TemplateVersion]


def _draft(template: Template) -> _Draft:
    """Return the draft; a new one starts as a copy of what is published."""
    newest = template.versions.order_by("-number").first()
    if newest is None:
        return _Draft(1, {})
    rows = template.versions.filter(number=newest.number)
    if newest.published_at is None:
        return _Draft(newest.number, {one.locale: one for one in rows})
    number = newest.number + 1
    copies = {}
    for old in rows:
        copies[old.locale] = copy_of(old, number=number)
        copies[old.locale].bundled = old.bundled
    TemplateVersion.objects.bulk_create(copies.values())
    return _Draft(number, copies)


def _write(template: Template, draft: _Draft, versions: Sequence[TemplateVersion]) -> None:
    """Put texts into the draft."""
    new, now = [], timezone.now()
    for version in versions:
        version.template, version.number = template, draft.number
        version.updated_at = now
        present = draft.texts.get(version.locale)
        if present is None:
            new.append(version)
            continue
        version.pk, version.created_at = present.pk, present.created_at
        version.save(force_update=True)
    TemplateVersion.objects.bulk_create(new)
    template.save(update_fields=["updated_at"])
