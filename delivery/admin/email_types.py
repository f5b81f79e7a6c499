"""Email types: lane, priority and patience of each class of mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from unfold.decorators import display

from accounts.admin.console import ConsoleAdmin
from delivery.email_types import forget_email_types
from delivery.models import EmailType
from delivery.states import Lane

if TYPE_CHECKING:
    from django.http import HttpRequest


@admin.register(EmailType)
class EmailTypeAdmin(ConsoleAdmin[EmailType]):
    """List, add and change types."""

    list_display = (
        "name",
        "lane_label",
        "is_marketing",
        "priority",
        "policy",
        "patience",
        "max_attempts",
    )
    sortable_by = ()
    actions = None
    fieldsets = (
        (None, {"fields": ("name", ("lane", "priority"), "unknown_policy")}),
        (
            "For recipients",
            {
                "fields": (
                    "is_marketing",
                    "title",
                    "description",
                    ("track_opens", "track_clicks"),
                )
            },
        ),
        (
            "Retries",
            {
                "fields": (
                    ("retry_first_seconds", "retry_max_seconds"),
                    ("retry_give_up_seconds", "max_attempts"),
                )
            },
        ),
    )

    def get_readonly_fields(self, _request: HttpRequest, obj: EmailType | None = None) -> Any:
        """Keep the name: messages refer to it."""
        return ("name",) if obj is not None else ()

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Messages refer to types, so they stay."""
        return False

    def save_model(
        self,
        request: HttpRequest,
        obj: EmailType,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Save, and let this process see it at once."""
        super().save_model(request, obj, form, change)
        forget_email_types()

    @display(description="Lane", label={Lane.TRANSACTIONAL: "primary", Lane.BULK: "info"})
    def lane_label(self, kind: EmailType) -> tuple[int, str]:
        """Return the lane."""
        return kind.lane, kind.get_lane_display()

    @display(description="Unknown outcome")
    def policy(self, kind: EmailType) -> str:
        """Return what happens then, short."""
        return {"park": "waits", "resend": "sent again"}.get(kind.unknown_policy, "")

    @display(description="Gives up after")
    def patience(self, kind: EmailType) -> str:
        """Return for how long it is retried."""
        hours = kind.retry_give_up_seconds / 3600
        return f"{hours:g} hours" if hours < 72 else f"{hours / 24:g} days"  # noqa: PLR2004 - days read better from there
