"""Alerts: what is open first, and of each who was told what."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from accounts.admin.console import Confirmation, ConsoleAdmin, Fact, Link
from alerts.models import Alert, Channel, News, Severity, Telling
from alerts.services import close_alert
from mailservice.core.presentation import moment

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

#: Of an alert so many are shown.
MAX_NOTIFICATIONS = 100
_TONES = {
    Telling.PENDING: "info",
    Telling.SENT: "success",
    Telling.FAILED: "danger",
    Telling.DROPPED: "default",
}


class StateFilter(admin.SimpleListFilter):
    """Open or over."""

    title = "state"
    parameter_name = "state"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("open", "Open"), ("closed", "Over")]

    def queryset(self, _request: HttpRequest, queryset: Any) -> Any:
        """Keep what is chosen."""
        if self.value() in {"open", "closed"}:
            return queryset.filter(closed_at__isnull=self.value() == "open")
        return queryset


@admin.register(Alert)
class AlertAdmin(ConsoleAdmin[Alert]):
    """List and read alerts; close one by hand."""

    list_display = ("level", "what", "since", "lasted", "reports", "state")
    list_display_links = ("what",)
    list_filter = (StateFilter, "severity", "kind")
    list_filter_submit = True
    search_fields = ("title", "subject", "kind")
    search_help_text = "Title, kind or what it is about"
    sortable_by = ()
    actions = None
    #: What an empty list says.
    empty_title = "All is well"
    empty_text = (
        "What you should know appears here: a provider that is down or refuses its credentials, a "
        "limit or a budget that is nearly used up, too many mails not taken. To be told at once, "
        "add a channel: mail, chat or webhook."
    )
    empty_icon = "notifications_off"

    def get_urls(self) -> list[URLPattern]:
        """Add the page that closes."""
        close = self.admin_site.admin_view(self.close_view)
        return [
            path("<uuid:alert_id>/close/", close, name=f"{self.url_prefix}_close"),
            *super().get_urls(),
        ]

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Alerts are opened by what they tell of."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """They are deleted 90 days after they were over."""
        return False

    def list_links(self, request: HttpRequest) -> list[Link]:
        """Lead to those who are told."""
        if not request.user.has_perm("alerts.view_channel"):
            return []
        return [Link("Channels", reverse("admin:alerts_channel_changelist"), "campaign")]

    # --- pages ------------------------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one alert and who was told of it."""
        del form_url, extra_context
        alert = self.get_or_404(request, object_id)
        notifications = alert.notifications.select_related("channel").defer("channel__secrets")
        links = []
        if alert.link.startswith("/"):
            links.append(Link("Open what it is about", alert.link, "open_in_new"))
        if alert.is_open and self.has_change_permission(request, alert):
            links.append(Link("Close", self.url("close", alert.pk), "check"))
        return self.page(
            request,
            "console/alert.html",
            title=alert.title,
            obj=alert,
            alert=alert,
            facts=_facts(alert),
            notifications=[
                (each, News(each.event), Telling(each.state).label, _TONES[Telling(each.state)])
                for each in notifications[:MAX_NOTIFICATIONS]
            ],
            has_channels=Channel.objects.filter(is_active=True).exists(),
            channels_url=reverse("admin:alerts_channel_changelist"),
            console_links=links,
        )

    def close_view(self, request: HttpRequest, alert_id: str) -> HttpResponse:
        """Ask, then close an alert."""
        self.require_change(request)
        alert = self.get_or_404(request, alert_id)
        back = self.url("change", alert.pk)
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Close “{alert.title}”?",
                effect="The channels that want to know are told that it is over. If what it tells "
                "of is still so, it will be opened again when that is seen next.",
                button="Close alert",
                back=back,
            )
            return self.confirm(request, confirmation, obj=alert)
        if close_alert(kind=alert.kind, subject=alert.subject, detail=f"Closed by {request.user}."):
            self.note(request, [alert], "Closed.")
            messages.success(request, "The alert is closed.")
        else:
            messages.info(request, "It was over already.")
        return self.back_to(back)

    # --- columns ----------------------------------------------------------------------------------

    @display(description="Severity", label={"critical": "danger", "warning": "warning"})
    def level(self, alert: Alert) -> tuple[str, str]:
        """Return the severity."""
        return alert.severity, Severity(alert.severity).label

    @display(description="Alert", header=True)
    def what(self, alert: Alert) -> list[str]:
        """Return title and kind."""
        return [alert.title, alert.kind]

    @display(description="Since")
    def since(self, alert: Alert) -> SafeString:
        """Return when it began."""
        return moment(alert.opened_at)

    @display(description="For")
    def lasted(self, alert: Alert) -> str:
        """Return how long it has been there."""
        return _duration(alert.opened_at, alert.closed_at or timezone.now())

    @display(description="Reports")
    def reports(self, alert: Alert) -> SafeString:
        """Return how often it was reported."""
        return format_html('<span class="ms-muted">{}</span>', f"{alert.count:,}")

    @display(description="State")
    def state(self, alert: Alert) -> SafeString:
        """Tell whether it is over, and since when."""
        if alert.closed_at is None:
            return format_html("<b>{}</b>", "open")
        return format_html('<span class="ms-muted">over {}</span>', moment(alert.closed_at))


def _facts(alert: Alert) -> list[Fact]:
    facts = [
        Fact("Kind", alert.kind, is_code=True),
        Fact("About", alert.subject, is_code=True),
        Fact("Since", alert.opened_at),
        Fact("Last reported", alert.last_at),
        Fact("Reports", f"{alert.count:,}"),
    ]
    if alert.closed_at is None:
        return facts
    return [*facts, Fact("Over", alert.closed_at, hint=alert.closing)]


def _duration(start: datetime, end: datetime) -> str:
    """Return how long something lasted, in its largest unit."""
    lasted = max(end - start, timedelta())
    if lasted.days:
        return f"{lasted.days} d"
    hours, rest = divmod(lasted.seconds, 3600)
    if hours:
        return f"{hours} h"
    return f"{rest // 60} min" if rest >= 60 else f"{rest} s"  # noqa: PLR2004 - seconds
