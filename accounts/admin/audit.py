"""The audit trail: who changed what in this admin, for reading only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.urls import NoReverseMatch
from django.utils.html import format_html
from unfold.decorators import display

from accounts.admin.console import ConsoleAdmin
from mailservice.core.presentation import moment

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


@admin.register(LogEntry)
class LogEntryAdmin(ConsoleAdmin[LogEntry]):
    """The newest entries first."""

    list_display = ("when", "who", "did", "what", "told")
    list_display_links = None
    list_filter = ("action_flag", "content_type")
    list_filter_submit = True
    list_select_related = ("user", "content_type")
    search_fields = ("user__email", "object_repr")
    search_help_text = "User or name of the object"
    sortable_by = ()

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Entries write themselves."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Entries stay as they are."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Entries stay."""
        return False

    @display(description="When")
    def when(self, entry: LogEntry) -> SafeString:
        """Return the time."""
        return moment(entry.action_time)

    @display(description="Who")
    def who(self, entry: LogEntry) -> str:
        """Return the user's address."""
        return str(entry.user)

    @display(
        description="Did",
        label={ADDITION: "success", CHANGE: "info", DELETION: "danger"},
    )
    def did(self, entry: LogEntry) -> tuple[int, str]:
        """Return the kind of change."""
        return entry.action_flag, {ADDITION: "added", CHANGE: "changed", DELETION: "deleted"}[
            entry.action_flag
        ]

    @display(description="What")
    def what(self, entry: LogEntry) -> str | SafeString:
        """Return the object, as a link while it exists."""
        kind = entry.content_type.name if entry.content_type else ""
        try:
            url = entry.get_admin_url()
        except NoReverseMatch:
            url = None
        if url is None or entry.action_flag == DELETION:
            return f"{kind} {entry.object_repr}"
        return format_html('{} <a class="ms-link" href="{}">{}</a>', kind, url, entry.object_repr)

    @display(description="Details")
    def told(self, entry: LogEntry) -> str:
        """Return the change in words."""
        return entry.get_change_message()
