"""Channels: who is told of alerts; one form per kind, and a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.decorators import display

from accounts.admin.console import Confirmation, Link
from accounts.admin.deletion import DeletingAdmin
from accounts.admin.kinds import FormsByKind
from alerts.admin.forms import FORMS, ChannelForm
from alerts.channel_services import delete_channel, save_channel, try_channel
from alerts.channels import TellError
from alerts.models import Channel, ChannelKind, Notification, Severity, Telling
from mailservice.core.presentation import moment

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

_KINDS = (
    (ChannelKind.MAIL, "Mail", "mail", "To one or several addresses, through this service itself."),
    (
        ChannelKind.SLACK,
        "Chat",
        "forum",
        "Slack, Mattermost, Rocket.Chat and others that take Slack's incoming webhooks.",
    ),
    (
        ChannelKind.WEBHOOK,
        "Webhook",
        "webhook",
        "Signed JSON to an address of yours: on-call tools, automation.",
    ),
)


@admin.register(Channel)
class ChannelAdmin(FormsByKind[Channel], DeletingAdmin[Channel]):
    """List, add, change, try and delete channels."""

    list_display = ("channel", "kind_label", "active", "gets", "last_told", "failures")
    list_filter = ("kind", "is_active")
    list_filter_submit = True
    search_fields = ("name",)
    search_help_text = "Name"
    ordering = ("name",)
    sortable_by = ()
    actions = None
    empty_title = "Nobody is told of alerts yet"
    empty_text = "Alerts show in this console. Add a channel, and somebody is told at once."
    empty_icon = "campaign"
    kind_forms = FORMS
    any_form = FORMS[ChannelKind.MAIL]
    kind_cards = _KINDS
    kind_title = "New alert channel"
    kind_question = "How shall people be told?"
    deleted_noun = "channel"
    deletion_effect = (
        "Nobody is told of alerts through it any more, and the record of what it was told goes "
        "with it. The alerts stay."
    )

    def get_urls(self) -> list[URLPattern]:
        """Add the page that tries a channel."""
        wrapped = self.admin_site.admin_view(self.try_view)
        return [
            path("<uuid:channel_id>/try/", wrapped, name=f"{self.url_prefix}_try"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave the secrets where they are, and count what was told."""
        own = Notification.objects.filter(channel=OuterRef("pk"))
        told = own.filter(state=Telling.SENT).order_by("-told_at").values("told_at")[:1]
        failed = own.filter(state=Telling.FAILED).order_by().values("channel")
        return (
            super()
            .get_queryset(request)
            .defer("secrets")
            .annotate(
                told_at=Subquery(told),
                failed_count=Coalesce(
                    Subquery(failed.annotate(count=Count("pk")).values("count")), 0
                ),
            )
        )

    # --- form -------------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        """Return the parts of the form of the channel's kind."""
        form = self.form_of(request, obj)
        return (
            (form.kind.label, {"fields": (("name", "is_active"), *form.own_fields)}),
            ("What it is told", {"fields": (("min_severity", "tells_closing"), "kinds")}),
        )

    def save_model(
        self,
        request: HttpRequest,
        obj: Channel,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Save through the service."""
        del request, change
        assert isinstance(form, ChannelForm)  # noqa: S101 - for the type checker
        obj.kind = form.kind
        obj.addresses = form.cleaned_data.get("addresses", [])
        save_channel(obj, secrets=form.own_secrets())

    def form_links(self, request: HttpRequest, object_id: str | None) -> list[Link]:
        """Offer the trial."""
        if object_id is None or not self.has_change_permission(request):
            return []
        return [Link("Send a test alert", self.url("try", object_id), "campaign")]

    def list_links(self, request: HttpRequest) -> list[Link]:
        """Lead to the alerts."""
        if not request.user.has_perm("alerts.view_alert"):
            return []
        return [Link("Alerts", reverse("admin:alerts_alert_changelist"), "notifications")]

    # --- pages ------------------------------------------------------------------------------------

    def try_view(self, request: HttpRequest, channel_id: str) -> HttpResponse:
        """Ask, then tell the channel that all is well, and report how that went."""
        self.require_change(request)
        channel = self.get_or_404(request, channel_id)
        back = self.url("change", channel.pk)
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Send a test alert to “{channel.name}”?",
                effect="It says that it is a test. With a chat or webhook this can take ten "
                "seconds if nobody answers.",
                button="Send now",
                back=back,
            )
            return self.confirm(request, confirmation, obj=channel)
        try:
            try_channel(channel.pk)
        except TellError as error:
            self.note(request, [channel], "Test alert failed.")
            messages.error(request, f"The test alert failed. {error.message}")
        else:
            self.note(request, [channel], "Test alert sent.")
            how = "queued as a mail" if channel.kind == ChannelKind.MAIL else "taken"
            messages.success(request, f"The test alert is {how}.")
        return self.back_to(back)

    def delete_by_service(self, obj: Channel) -> None:
        """Delete a channel and what it was told."""
        delete_channel(obj.pk)

    # --- columns ----------------------------------------------------------------------------------

    @display(description="Channel", header=True)
    def channel(self, channel: Channel) -> list[str]:
        """Return name and addresses."""
        return [channel.name, ", ".join(channel.addresses)]

    @display(description="Kind", label={"mail": "info", "slack": "success", "webhook": "warning"})
    def kind_label(self, channel: Channel) -> tuple[str, str]:
        """Return the kind, short."""
        short = {ChannelKind.SLACK: "Chat"}
        kind = ChannelKind(channel.kind)
        return channel.kind, short.get(kind, kind.label)

    @display(description="Active", boolean=True)
    def active(self, channel: Channel) -> bool:
        """Tell whether it is told anything."""
        return channel.is_active

    @display(description="Is told")
    def gets(self, channel: Channel) -> str:
        """Return what it is told of."""
        is_all = channel.min_severity == Severity.WARNING
        if not channel.kinds:
            return "All alerts" if is_all else "Critical alerts"
        kinds = ", ".join(f"{prefix}*" for prefix in channel.kinds)
        return kinds if is_all else f"Critical of {kinds}"

    @display(description="Last told")
    def last_told(self, channel: Any) -> SafeString:
        """Return when it was last told something."""
        return moment(channel.told_at, empty="never")

    @display(description="Failed")
    def failures(self, channel: Any) -> SafeString:
        """Return how much could not be told."""
        template = "<b>{}</b>" if channel.failed_count else '<span class="ms-muted">{}</span>'
        return format_html(template, f"{channel.failed_count:,}")
