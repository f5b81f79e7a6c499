"""What publishing a draft, or dropping one of its languages, changes: told before it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.admin.console import counted
from mailservice.core.errors import DomainError
from templates_app.admin.previews import problems_of
from templates_app.lookup import standing
from templates_app.models import Kind
from templates_app.selectors import dependents
from templates_app.services import default_fault, preview_version

if TYPE_CHECKING:
    from templates_app.models import Template, TemplateVersion


def concerned(template: Template) -> list[str]:
    """Tell what publishing changes: languages, and the mails that use a layout or partial."""
    published = template.versions.filter(published_at__isnull=False)
    newest = published.order_by("-number").values_list("number", flat=True).first()
    before = {one.locale: one for one in published.filter(number=newest)} if newest else {}
    drafts = list(template.versions.filter(published_at__isnull=True).order_by("locale"))
    items = []
    for draft in drafts:
        label = draft.locale or "default"
        shown = f": {draft.subject}" if draft.subject else ""
        items.append(f"{label} ({_how(before.get(draft.locale), draft)}){shown}{_trouble(draft)}")
    gone = set(before) - {draft.locale for draft in drafts}
    items += [f"{tag or 'default'} (dropped)" for tag in sorted(gone)]
    if drafts and (fault := default_fault(template, (draft.locale for draft in drafts))):
        items.append(f"This cannot be published yet. {fault[2]}")
    if template.kind == Kind.MAIL:
        return items
    mails = [one.template for one in dependents(template.pk) if one.is_published]
    if mails:
        names = ", ".join(one.slug for one in mails[:20])
        items.append(f"Used by {counted(len(mails), 'published template')}: {names}")
    return items


def when_dropped(template: Template, locale: str) -> str:
    """Tell what becomes of the readers of a language that leaves the draft."""
    now = standing(template.pk)
    left = {*(now.draft_locales or now.published_locales)} - {locale}
    if fault := default_fault(template, left):
        return (
            "Nothing stands for the default then, and the draft cannot be published like that. "
            f"{fault[2]} Published versions stay as they are."
        )
    return (
        "Its readers get the next best language once the draft is published. "
        "Published versions stay as they are."
    )


def _trouble(draft: TemplateVersion) -> str:
    """Tell what keeps a draft from being filled with its sample data; empty if nothing does."""
    try:
        preview_version(draft)
    except DomainError as error:
        said = problems_of(error)
        return f". With the sample data: {said[0].message if said else error.message}"
    return ""


def _how(old: TemplateVersion | None, new: TemplateVersion) -> str:
    if old is None:
        return "new"
    names = ("subject", "preheader", "html", "text", "format")
    changed = [name for name in names if getattr(old, name) != getattr(new, name)]
    return f"changed: {', '.join(changed)}" if changed else "unchanged"
