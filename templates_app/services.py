"""Writes to templates: drafts, and the versions that mail uses.

A template has at most one draft, the version above the published ones. It holds one text per
locale and starts as a copy of what is published, so publishing it never drops a language.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import transaction
from django.utils import timezone

from mailservice.core.errors import ConflictError, InvalidInputError, NotFoundError
from mailservice.core.sql import advisory_key, lock_for_transaction
from templates_app.engine import TemplateSyntaxProblem, compile_source
from templates_app.models import Template, TemplateVersion

if TYPE_CHECKING:
    from uuid import UUID

Fault = tuple[str, str, str]

_LOCALE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_MAX_LOCALE_CHARS = 35
_MAX_SUBJECT_CHARS = 998
_MAX_SLUG_CHARS = 100
_MAX_DESCRIPTION_CHARS = 200


def create_template(*, owner_id: UUID | None, slug: str, description: str = "") -> Template:
    """Create an empty template; without an owner it is everybody's. Raises `InvalidInputError`."""
    template = Template(owner_id=owner_id, slug=slug.strip(), description=description.strip())
    return _save_template(template)


def update_template(
    *, template_id: UUID, owner_id: UUID | None, slug: str, description: str
) -> Template:
    """Rename or describe a template. Raises `InvalidInputError` and `NotFoundError`."""
    with transaction.atomic():
        template = _locked(template_id)
        template.owner_id = owner_id
        template.slug = slug.strip()
        template.description = description.strip()
        return _save_template(template)


def save_draft(
    *, template_id: UUID, locale: str, subject: str, html: str, text: str
) -> TemplateVersion:
    """Write one locale of the draft, beginning a draft if there is none.

    The text must be readable by the engine, so that a draft can always be published. Raises
    `InvalidInputError` for `locale`, `subject`, `html` or `text`, and `NotFoundError`.
    """
    locale = locale.strip().replace("_", "-")
    faults = [*_locale_faults(locale), *text_faults(subject=subject, html=html, text=text)]
    if faults:
        raise InvalidInputError.for_fields(faults)
    with transaction.atomic():
        template = _locked(template_id)
        number = _draft_number(template)
        version, _ = TemplateVersion.objects.update_or_create(
            template=template,
            number=number,
            locale=locale,
            defaults={"subject": subject, "html": html, "text": text},
        )
        template.save(update_fields=["updated_at"])
    return version


def publish(*, template_id: UUID) -> int:
    """Make the draft what new mail uses; return its number. Raises `ConflictError` without one."""
    with transaction.atomic():
        template = _locked(template_id)
        drafts = list(template.versions.filter(published_at__isnull=True))
        if not drafts:
            raise ConflictError("There is no draft to publish.", code="no_draft")
        for draft in drafts:
            if faults := text_faults(subject=draft.subject, html=draft.html, text=draft.text):
                raise InvalidInputError.for_fields(faults)
        template.versions.filter(published_at__isnull=True).update(published_at=timezone.now())
        template.save(update_fields=["updated_at"])
    return drafts[0].number


def discard_draft(*, template_id: UUID) -> bool:
    """Throw the draft away; False if there was none."""
    with transaction.atomic():
        template = _locked(template_id)
        removed, _ = template.versions.filter(published_at__isnull=True).delete()
    return removed > 0


def text_faults(*, subject: str, html: str, text: str) -> list[Fault]:
    """Return what keeps a text from being sent, as (field, code, message)."""
    faults: list[Fault] = []
    if not subject.strip():
        faults.append(("subject", "required", "A subject is required."))
    elif len(subject) > _MAX_SUBJECT_CHARS:
        faults.append(
            ("subject", "too_long", f"A subject has at most {_MAX_SUBJECT_CHARS} characters.")
        )
    if not html.strip() and not text.strip():
        faults.append(("html", "required", "Write an HTML body, a text body or both."))
    for field, source in (("subject", subject), ("html", html), ("text", text)):
        if "\x00" in source:
            faults.append((field, "invalid", "Not allowed: the NUL character."))
            continue
        try:
            compile_source(source, html=field == "html")
        except TemplateSyntaxProblem as problem:
            faults.append((field, "template_syntax", problem.message))
    return faults


def template_faults(template: Template) -> list[Fault]:
    """Return what is wrong with a template about to be saved, as (field, code, message)."""
    faults: list[Fault] = []
    try:
        validate_slug(template.slug)
    except ValidationError:
        faults.append(("slug", "invalid", "Use letters, digits, hyphens and underscores."))
    if len(template.slug) > _MAX_SLUG_CHARS:
        faults.append(("slug", "too_long", f"At most {_MAX_SLUG_CHARS} characters."))
    if len(template.description) > _MAX_DESCRIPTION_CHARS:
        faults.append(("description", "too_long", f"At most {_MAX_DESCRIPTION_CHARS} characters."))
    same = Template.objects.filter(owner_id=template.owner_id, slug=template.slug)
    if same.exclude(pk=template.pk).exists():
        faults.append(("slug", "exists", "Another template of this owner has this name."))
    return faults


def _save_template(template: Template) -> Template:
    with transaction.atomic():
        # Two templates of one owner must not get one name beside each other.
        lock_for_transaction(advisory_key("template names", template.owner_id))
        if faults := template_faults(template):
            raise InvalidInputError.for_fields(faults)
        template.save()
    return template


def _locale_faults(locale: str) -> list[Fault]:
    if not locale or (len(locale) <= _MAX_LOCALE_CHARS and _LOCALE.fullmatch(locale)):
        return []
    return [("locale", "invalid", "Use a language tag such as pt-BR, or leave it empty.")]


def _locked(template_id: UUID) -> Template:
    template = Template.objects.select_for_update().filter(pk=template_id).first()
    if template is None:
        raise NotFoundError("There is no such template.")
    return template


def _draft_number(template: Template) -> int:
    """Return the draft's number; a new draft starts as a copy of what is published."""
    newest = template.versions.order_by("-number").first()
    if newest is None:
        return 1
    if newest.published_at is None:
        return newest.number
    number = newest.number + 1
    TemplateVersion.objects.bulk_create(
        TemplateVersion(
            template=template,
            number=number,
            locale=old.locale,
            subject=old.subject,
            html=old.html,
            text=old.text,
        )
        for old in template.versions.filter(number=newest.number)
    )
    return number
