"""Roles: groups of permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.models import Group
from django.db.models import Count, ManyToManyField, QuerySet
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from accounts.admin.console import ConsoleAdmin

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

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        """Choose permissions by typing."""
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
