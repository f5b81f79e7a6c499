"""Roles: groups of permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.models import Group, Permission
from django.db.models import Count, ManyToManyField, QuerySet
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from accounts.admin.console import ConsoleAdmin, signed_in
from accounts.roles import permissions_beyond

if TYPE_CHECKING:
    from django.http import HttpRequest

admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(DjangoGroupAdmin, ConsoleAdmin[Group]):  # type: ignore[misc]  # two bases, both untyped in part
    """List, add and change roles."""

    list_display = ("name", "permission_count")
    filter_horizontal = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        """Count what each role may do."""
        return super().get_queryset(request).annotate(permission_count=Count("permissions"))

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Leave roles to those who have their rights."""
        return super().has_change_permission(request, obj) and not _is_beyond(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Leave roles to those who have their rights."""
        return super().has_delete_permission(request, obj) and not _is_beyond(request, obj)

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        """Choose permissions by typing, of those that one has."""
        if request is not None:
            beyond = permissions_beyond(signed_in(request))
            kwargs["queryset"] = Permission.objects.exclude(pk__in=beyond)
        kwargs["widget"] = widget = UnfoldAdminSelect2MultipleWidget()
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is None:
            return None
        field.widget.attrs["class"] = widget.attrs["class"]  # the theme puts its own there
        field.help_text = ""
        return field

    @display(description="Permissions", ordering="permission_count")
    def permission_count(self, role: Any) -> int:
        """Return how many things it may do."""
        return int(role.permission_count)


def _is_beyond(request: HttpRequest, role: Group | None) -> bool:
    """Tell whether a role holds rights that whoever looks at it lacks."""
    if role is None:
        return False
    beyond = permissions_beyond(signed_in(request))
    return role.permissions.filter(pk__in=beyond).exists()
