"""Roles: groups of permissions."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.models import Group

from accounts.admin.console import ConsoleAdmin

admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(DjangoGroupAdmin, ConsoleAdmin[Group]):  # type: ignore[misc]
    """List, add and change roles."""

    list_display = ("name",)
    filter_horizontal = ()
    autocomplete_fields = ("permissions",)
