"""Who may do what with a template: its owner everything, others by permission."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accounts.models import User
    from templates_app.models import Template

#: Whoever works on shared templates in the console sees their drafts there.
_WORKS_ON_SHARED = tuple(f"templates.{verb}_template" for verb in ("view", "change", "publish"))


def may_edit(user: User, template: Template) -> bool:
    """Tell whether a person may change a template: its owner, or by permission."""
    return template.owner_id == user.pk or user.has_perm("templates.change_template")


def may_publish(user: User, template: Template) -> bool:
    """Tell whether a person may publish a template: its owner, or by permission."""
    return template.owner_id == user.pk or user.has_perm("templates.publish_template")


def sees_drafts(user: User, template: Template) -> bool:
    """Tell whether a person sees what is not published yet: the owner, and staff by permission."""
    if template.owner_id is not None and template.owner_id == user.pk:
        return True
    return works_on_shared(user)


def works_on_shared(user: User) -> bool:
    """Tell whether a person works on the templates of everybody."""
    return user.is_staff and any(user.has_perm(name) for name in _WORKS_ON_SHARED)
