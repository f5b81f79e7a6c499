"""Roles as they are given at first: what people of each kind may do in the console.

They are groups like any other: administrators change them, and make others. Names of permissions
stand here as text, for they belong to apps above this one.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import Q

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accounts.models import User

#: Runs the service: providers, queues, keys, everything but making administrators.
OPERATOR = "Operator"
#: Writes mail, keeps lists clean; reads nobody's mail, for it may hold links that log in.
MARKETER = "Marketer"
#: Connects applications and finds out why a mail did not arrive; changes their things by the API.
DEVELOPER = "Developer"
#: Reads everything, changes nothing.
AUDITOR = "Auditor"

#: Patterns of `app.codename`.
ROLES: Mapping[str, tuple[str, ...]] = {
    OPERATOR: (
        "accounts.*",
        "admin.view_logentry",
        "alerts.*",
        "auth.*_group",
        "delivery.*",
        "django_celery_beat.*_periodictask",
        "inbound.*",
        "providers.*",
        "templates.*",
        "verification.*",
        "webhooks.*",
    ),
    MARKETER: (
        "alerts.view_alert",
        "delivery.view_emailtype",
        # Without `lift_suppression`: what recipients and their servers said is not theirs to undo.
        "delivery.view_suppression",
        "delivery.add_suppression",
        "delivery.delete_suppression",
        # To add, not to take back: a refusal is the recipient's word.
        "delivery.view_trackingrefusal",
        "delivery.add_trackingrefusal",
        "templates.*_template",
        "verification.view_senderdomain",
        "verification.*_validationjob",
    ),
    DEVELOPER: (
        "alerts.view_alert",
        "delivery.view_emailtype",
        "delivery.view_message",
        "delivery.view_suppression",
        "delivery.view_trackingrefusal",
        "inbound.view_*",
        # To have posts worked off again.
        "inbound.change_rawevent",
        "providers.view_inboxmail",
        "providers.view_provider",
        "providers.view_routingrule",
        "templates.view_template",
        "templates.add_template",
        "templates.change_template",
        "verification.view_*",
        "webhooks.view_*",
    ),
    AUDITOR: (
        "accounts.view_*",
        "admin.view_logentry",
        "alerts.view_*",
        "auth.view_group",
        "delivery.view_*",
        "django_celery_beat.view_periodictask",
        "inbound.view_*",
        "providers.view_*",
        "templates.view_*",
        "verification.view_*",
        "webhooks.view_*",
    ),
}


def set_up_roles(*, resets: bool = False) -> dict[str, int | None]:
    """Make the roles that are missing; return how many permissions each was given.

    None stands for a role that was there: it stays as people made it, unless `resets`.
    """
    with transaction.atomic():
        known = {
            f"{permission.content_type.app_label}.{permission.codename}": permission
            for permission in Permission.objects.select_related("content_type")
        }
        done: dict[str, int | None] = {}
        for name, patterns in ROLES.items():
            group, is_new = Group.objects.get_or_create(name=name)
            done[name] = None
            if is_new or resets:
                chosen = [known[one] for one in matching(known, patterns)]
                group.permissions.set(chosen)
                done[name] = len(chosen)
        return done


def permissions_beyond(user: User) -> list[int]:
    """Return the ids of the permissions that a user does not have, and so gives to nobody."""
    if user.is_superuser:
        return []
    own = user.get_all_permissions()
    rows = Permission.objects.values_list("pk", "content_type__app_label", "codename")
    return [pk for pk, app, codename in rows if f"{app}.{codename}" not in own]


def may_more(other: User, user: User) -> bool:
    """Tell whether another has, or would have once switched on, rights that a user lacks."""
    if user.is_superuser:
        return False
    if other.is_superuser:
        return True
    held = Permission.objects.filter(Q(user=other) | Q(group__user=other))
    return held.filter(pk__in=permissions_beyond(user)).exists()


def matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Return the names that any of the patterns means."""
    wanted = list(patterns)
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in wanted)]
