"""Provider accounts: list with quotas, one form per kind, test of the connection, deletion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from accounts.admin.console import Confirmation, ConsoleAdmin, Link
from mailservice.core.errors import DomainError
from mailservice.core.presentation import moment
from mailservice.core.secrets import DecryptionError
from providers.adapters import SettingsError, UnknownKindError, check_connection
from providers.adapters.esp import KINDS as ESP_KINDS
from providers.admin.esp_forms import ESP_FORMS
from providers.admin.figures import Quota, quotas_of, short_kind
from providers.admin.forms import FORMS as OWN_FORMS
from providers.admin.forms import ProviderForm
from providers.models import Provider, ProviderKind
from providers.ports import ConnectError, Reason
from providers.selectors import account_config
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
_REASONS = {
    Reason.AUTHENTICATION: "The credentials were refused.",
    Reason.CONNECTION: "No usable connection: host, port, security or the network is wrong.",
    Reason.THROTTLED: "The server asks us to slow down.",
    Reason.LOST_AFTER_DATA: "The connection was lost.",
}


@admin.register(Provider)
class ProviderAdmin(ConsoleAdmin[Provider]):
    """List, add, change, test and delete accounts."""

    list_display = (
        "account",
        "kind_label",
        "active",
        "owner",
        "today",
        "hour",
        "last_sent",
        "position",
    )
    list_filter = ("kind", "is_active")
    list_filter_submit = True
    list_select_related = ("usage", "owner")
    search_fields = ("name", "from_email")
    search_help_text = "Name or From address"
    ordering = ("position", "id")
    sortable_by = ()
    actions = None

    def get_urls(self) -> list[URLPattern]:
        """Add the page that tests the connection."""
        test = self.admin_site.admin_view(self.test_view)
        return [
            path("<uuid:provider_id>/test/", test, name=f"{self.url_prefix}_test"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave the credentials where they are."""
        return super().get_queryset(request).defer("secrets")

    # --- form -------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for the kind first: each has its own form."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.GET.get("kind") not in FORMS:
            return self.page(
                request, "console/provider_kinds.html", title="New provider", kinds=_KINDS
            )
        response: HttpResponse = super().add_view(request, form_url, extra_context)
        return response

    def get_form(
        self,
        request: HttpRequest,
        obj: Provider | None = None,
        change: bool = False,  # noqa: FBT001, FBT002 - Django's signature
        **kwargs: Any,
    ) -> Any:
        """Return the form of the account's kind."""
        kwargs["form"] = _form_of(request, obj)
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Provider | None = None) -> Any:
        """Return the parts of the form of the account's kind."""
        form = _form_of(request, obj)
        own = ((form.own_title, {"fields": form.own_fields}),) if form.own_fields else ()
        return (
            (
                f"{FORMS[form.kind].kind.label}",
                {"fields": (("name", "owner"), ("from_email", "from_name"), "is_active")},
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
                "What it takes, and its price",
                {
                    "fields": (
                        ("from_domains", "max_message_bytes"),
                        ("takes_attachments", "price_per_thousand"),
                    )
                },
            ),
            (
                "Order and connections",
                {"fields": (("position", "max_connections"), "max_messages_per_connection")},
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

    def form_links(self, request: HttpRequest, object_id: str | None) -> list[Link]:
        """Offer the test of the connection."""
        if object_id is None or not self.has_change_permission(request):
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
        result = _try_connection(provider)
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

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask, then delete an account that nothing refers to."""
        del extra_context
        provider = self.get_or_404(request, object_id)
        if not self.has_delete_permission(request, provider):
            raise PermissionDenied
        back = self.url("change", provider.pk)
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Delete “{provider.name}”?",
                effect="The account, its credentials and its local inbox are removed. An account "
                "that has carried mail is kept: switch it off instead.",
                button="Delete provider",
                back=back,
                is_dangerous=True,
            )
            return self.confirm(request, confirmation, obj=provider)
        try:
            delete_provider(provider.pk)
        except DomainError as error:
            messages.error(request, error.message)
            return self.back_to(back)
        self.note(request, [provider], "", is_deletion=True)
        messages.success(request, f"“{provider.name}” is deleted.")
        return self.back_to(self.url("changelist"))

    # --- columns ----------------------------------------------------------------------------------

    @display(description="Provider", header=True)
    def account(self, provider: Provider) -> list[str]:
        """Return name and From."""
        return [provider.name, provider.from_email]

    @display(description="Kind", label={"smtp": "info", "inbox": "success", "simulator": "warning"})
    def kind_label(self, provider: Provider) -> tuple[str, str]:
        """Return the kind, short."""
        esp = ESP_KINDS.get(provider.kind)
        return provider.kind, esp.label if esp else short_kind(provider.kind)

    @display(description="Active", boolean=True)
    def active(self, provider: Provider) -> bool:
        """Tell whether it takes mail."""
        return provider.is_active

    @display(description="Today")
    def today(self, provider: Provider) -> SafeString:
        """Return what is used of the day's quota."""
        return quota_bar(quotas_of(provider, timezone.now())[1])

    @display(description="This hour")
    def hour(self, provider: Provider) -> SafeString:
        """Return what is used of the hour's quota."""
        return quota_bar(quotas_of(provider, timezone.now())[0])

    @display(description="Last sent")
    def last_sent(self, provider: Provider) -> SafeString:
        """Return when it last took a mail."""
        usage = getattr(provider, "usage", None)
        return moment(usage.last_sent_at if usage else None, empty="never")


def quota_bar(quota: Quota) -> SafeString:
    """Return “used of limit” with a bar."""
    if quota.limit is None:
        return format_html(
            '<span class="ms-quota"><b>{}</b> <span class="ms-muted">no limit</span></span>',
            f"{quota.used:,}",
        )
    return format_html(
        '<span class="ms-quota"><b>{}</b> <span class="ms-muted">of {}</span>'
        '<span class="ms-bar {}"><i style="width:{}%"></i></span></span>',
        f"{quota.used:,}",
        f"{quota.limit:,}",
        quota.level,
        quota.percent,
    )


def _form_of(request: HttpRequest, obj: Provider | None) -> type[ProviderForm]:
    kind = obj.kind if obj is not None else request.GET.get("kind", "")
    return FORMS.get(kind, ProviderForm)


def _try_connection(provider: Provider) -> dict[str, Any]:
    """Return the report of a trial connection in words."""
    try:
        report = check_connection(account_config(provider))
    except ConnectError as error:
        result = error.result
        code = f"{result.reply.code} {result.reply.enhanced_code}".strip("0 ")
        return {
            "is_ok": False,
            "verdict": _REASONS.get(result.reason, "The connection could not be used."),
            "reply": f"{code} {result.reply.text}".strip(),
            "dialogue": result.dialogue,
        }
    except (SettingsError, UnknownKindError, DecryptionError) as error:
        return {"is_ok": False, "verdict": str(error), "reply": "", "dialogue": ""}
    lines = [line.partition(": ") for line in report.splitlines()]
    return {
        "is_ok": True,
        "verdict": "The connection works.",
        "facts": [(label, value) for label, mark, value in lines if mark],
        "remarks": [label for label, mark, _ in lines if not mark],
    }
