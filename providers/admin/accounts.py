"""Provider accounts: list with state and figures, page with charts, one form per kind, deletion."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin, messages
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from accounts.admin.console import Confirmation, Link, ids_of
from accounts.admin.deletion import DeletingAdmin
from accounts.admin.kinds import FormsByKind
from mailservice.core.presentation import moment
from providers import performance
from providers.account_faults import KINDS_WITH_RETURN_PATH, KINDS_WITHOUT_DNS
from providers.adapters.esp import KINDS as ESP_KINDS
from providers.admin.connection import try_connection
from providers.admin.esp_forms import ESP_FORMS
from providers.admin.figures import month_quota_of, quota_bar, quotas_of, short_kind
from providers.admin.forms import FORMS as OWN_FORMS
from providers.admin.forms import ProviderForm
from providers.admin.price_fields import PRICE_FIELDS
from providers.admin.provider_page import panel_of, percent, price_now, rate_tone
from providers.admin.states import StateFilter, state_of
from providers.health import close_breaker
from providers.models import Provider, ProviderKind
from providers.selectors import forget_snapshot
from providers.services import create_provider, delete_provider, update_provider

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    from providers.adapters.esp import EspKind

FORMS = {**OWN_FORMS, **ESP_FORMS}


def _needs_of(esp: EspKind) -> str:
    return f"Needs: {', '.join(one.label for one in esp.fields if one.is_required)}."


_KINDS = (
    (ProviderKind.SMTP, "SMTP account", "dns", "A mail server with host, port and login."),
    (
        ProviderKind.INBOX,
        "Local inbox",
        "inbox",
        "Keeps mail here to be read in this admin. For development: nothing leaves the machine.",
    ),
    (
        ProviderKind.SIMULATOR,
        "Simulator",
        "science",
        "Delivers nowhere and fails on request. For drills, tests and load runs.",
    ),
    *(
        (esp.kind, esp.label, "cloud_upload", f"{esp.description} {_needs_of(esp)}".strip())
        for esp in ESP_KINDS.values()
    ),
)


@admin.register(Provider)
class ProviderAdmin(FormsByKind[Provider], DeletingAdmin[Provider]):
    """List, add, change, test and delete accounts."""

    list_display = (
        "account",
        "kind_label",
        "state",
        "today",
        "month",
        "success",
        "price",
        "last_sent",
    )
    list_filter = (StateFilter, "kind")
    list_filter_submit = True
    list_select_related = ("usage", "health", "owner")
    change_form_outer_before_template = "console/provider_panel.html"
    search_fields = ("name", "from_email")
    search_help_text = "Name or From address"
    ordering = ("position", "id")
    sortable_by = ()
    actions = None
    kind_forms = FORMS
    any_form = ProviderForm
    kind_cards = _KINDS
    kind_title = "New provider"
    kind_question = "What kind of provider is it?"
    deleted_noun = "provider"
    deletion_effect = (
        "The account, its credentials and its local inbox are removed. An account that has carried "
        "mail is kept: switch it off instead."
    )

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that test the connection and close the breaker."""
        test = self.admin_site.admin_view(self.test_view)
        close = self.admin_site.admin_view(self.close_view)
        return [
            path("<uuid:provider_id>/test/", test, name=f"{self.url_prefix}_test"),
            path("<uuid:provider_id>/close/", close, name=f"{self.url_prefix}_close"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave the credentials where they are."""
        return super().get_queryset(request).defer("secrets")

    # --- list -------------------------------------------------------------------------------------

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Read what the accounts of a page did within the last hour at once."""
        changelist = super().get_changelist_instance(request)
        accounts = list(changelist.result_list)
        since = timezone.now() - timedelta(hours=1)
        tallies = performance.windows([each.pk for each in accounts], since=since)
        for each in accounts:
            each.last_hour = tallies[each.pk]
        return changelist

    # --- form -------------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Provider | None = None) -> Any:
        """Return the parts of the form of the account's kind."""
        form = self.form_of(request, obj)
        own = ((form.own_title, {"fields": form.own_fields}),) if form.own_fields else ()
        takes: tuple[str, ...] = ("takes_attachments",)
        if form.kind not in KINDS_WITHOUT_DNS:
            takes = ("requires_alignment", *takes)
        ends: tuple[str, ...] = ("is_active",)
        if form.kind in KINDS_WITH_RETURN_PATH:
            ends = ("return_path", *ends)
        return (
            (
                f"{FORMS[form.kind].kind.label}",
                {"fields": (("name", "owner"), ("from_email", "from_name"), *ends)},
            ),
            *own,
            (
                "Limits",
                {
                    "fields": (
                        ("hourly_limit", "daily_limit"),
                        ("monthly_limit", "time_zone"),
                        ("priority_reserve", "rate_per_second"),
                        "warm_up",
                    )
                },
            ),
            (
                "What it takes",
                {"fields": (("from_domains", "max_message_bytes"), takes)},
            ),
            (f"Price in {settings.CURRENCY}", {"fields": PRICE_FIELDS}),
            (
                "Order, connections and patience",
                {
                    "fields": (
                        ("position", "max_connections"),
                        "max_messages_per_connection",
                        ("retry_first_seconds", "retry_max_seconds"),
                    )
                },
            ),
        )

    def save_model(
        self,
        request: HttpRequest,
        obj: Provider,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Save through the service that the API uses too."""
        del request
        assert isinstance(form, ProviderForm)  # noqa: S101 - for the type checker
        owner = form.cleaned_data.get("owner")
        owner_id = owner.pk if owner else None
        name = form.cleaned_data["name"]
        secrets = form.own_secrets()
        if change:
            update_provider(
                obj.pk,
                owner_id=owner_id,
                name=name,
                settings=form.settings,
                secrets=secrets,
                **form.columns(),
            )
            return
        made = create_provider(
            owner_id=owner_id,
            name=name,
            kind=form.kind.value,
            settings=form.settings,
            secrets={key: value for key, value in secrets.items() if value is not None},
            **form.columns(),
        )
        obj.pk = made.pk

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> Any:
        """Put the account's panel above its form, unless that has faults to be seen."""
        provider: Provider | None = kwargs.get("obj")
        if provider is not None and request.method == "GET":
            context["panel"] = panel_of(request, provider, timezone.now())
        return super().render_change_form(request, context, **kwargs)

    def form_links(self, request: HttpRequest, object_id: str | None) -> list[Link]:
        """Offer the test of the connection."""
        if not ids_of([object_id or ""]) or not self.has_change_permission(request):
            return []
        return [Link("Test connection", self.url("test", object_id), "cable")]

    # --- pages ------------------------------------------------------------------------------------

    def test_view(self, request: HttpRequest, provider_id: str) -> HttpResponse:
        """Ask, then connect and log in, send nothing, and tell what happened."""
        self.require_change(request)
        provider = self.get_or_404(request, provider_id)
        back = self.url("change", provider.pk)
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Test the connection of “{provider.name}”?",
                effect="Connects, secures the connection and logs in with the stored settings. "
                "No mail is sent. This can take half a minute if the server does not answer.",
                button="Test now",
                back=back,
            )
            return self.confirm(request, confirmation, obj=provider)
        result = try_connection(provider)
        word = "succeeded" if result["is_ok"] else "failed"
        self.note(request, [provider], f"Connection test {word}.")
        return self.page(
            request,
            "console/connection.html",
            title="Connection test",
            obj=provider,
            back=back,
            **result,
        )

    def close_view(self, request: HttpRequest, provider_id: str) -> HttpResponse:
        """Ask, then let mail pass again before the breaker would by itself."""
        self.require_change(request)
        provider = self.get_or_404(request, provider_id)
        back = self.url("change", provider.pk)
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Close the breaker of “{provider.name}” now?",
                effect="All workers use the account again within seconds, without a trial first. "
                "If it still fails, the breaker opens again.",
                button="Close the breaker",
                back=back,
            )
            return self.confirm(request, confirmation, obj=provider)
        if close_breaker(provider.pk):
            forget_snapshot()
            self.note(request, [provider], "Breaker closed by hand.")
            messages.success(request, "The breaker is closed: mail passes.")
        else:
            messages.info(request, "The breaker was closed already.")
        return self.back_to(back)

    def delete_by_service(self, obj: Provider) -> None:
        """Delete an account that nothing refers to."""
        delete_provider(obj.pk)

    # --- columns ----------------------------------------------------------------------------------

    @display(description="Provider", header=True)
    def account(self, provider: Provider) -> list[str]:
        """Return name, From and owner."""
        owner = f"of {provider.owner.email}" if provider.owner else ""
        return [provider.name, " · ".join(filter(None, [provider.from_email, owner]))]

    @display(description="Kind")
    def kind_label(self, provider: Provider) -> str:
        """Return the kind, short."""
        return short_kind(provider.kind)

    @display(description="State")
    def state(self, provider: Provider) -> SafeString:
        """Return whether it takes mail, and else until when it does not."""
        now = timezone.now()
        state = state_of(provider, now)
        return render_to_string("console/provider_state.html", {"state": state, "now": now})

    @display(description="Today")
    def today(self, provider: Provider) -> SafeString:
        """Return what is used of the day's quota."""
        return quota_bar(quotas_of(provider, timezone.now())[1])

    @display(description="This month")
    def month(self, provider: Provider) -> SafeString:
        """Return what is used of the month's quota."""
        return quota_bar(month_quota_of(provider, timezone.now()))

    @display(description="Last hour")
    def success(self, provider: Any) -> SafeString:
        """Return the share of mails it accepted."""
        tally = provider.last_hour
        if not tally.tried:
            return format_html('<span class="ms-muted">{}</span>', "no mail")
        return format_html(
            '<span class="ms-rate {}">{}</span><span class="ms-hint">of {}</span>',
            rate_tone(tally.success_rate),
            percent(tally.success_rate),
            f"{tally.tried:,}",
        )

    @display(description="Per 1,000")
    def price(self, provider: Provider) -> SafeString:
        """Return what a thousand mails cost now."""
        price = price_now(provider, timezone.now())
        return format_html('{} <span class="ms-muted ms-small">{}</span>', price, settings.CURRENCY)

    @display(description="Last sent")
    def last_sent(self, provider: Provider) -> SafeString:
        """Return when it last took a mail."""
        usage = getattr(provider, "usage", None)
        return moment(usage.last_sent_at if usage else None, empty="never")
