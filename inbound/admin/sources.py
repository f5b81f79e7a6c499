"""Event addresses: to copy, with what to do at the provider; key, topic, a new secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.urls import URLPattern, path
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.admin.console import Confirmation, ConsoleAdmin, Fact, Link, show_faults
from inbound.models import EventSource
from inbound.services.sources import hook_url, key_of, renew_token, set_trust, source_of
from mailservice.core.errors import DomainError
from mailservice.core.presentation import moment
from providers.adapters.esp.webhooks import HOOKS
from providers.models import Provider

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString


class NewSourceForm(forms.Form):
    """Of which account."""

    provider = forms.ModelChoiceField(
        Provider.objects.none(),
        label="Provider",
        widget=UnfoldAdminSelectWidget,
        help_text="Only kinds that post events, without an address so far.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chosen = Provider.objects.filter(kind__in=HOOKS, event_source__isnull=True)
        field = self.fields["provider"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - for the type checker
        field.queryset = chosen.defer("secrets")


class TrustForm(forms.Form):
    """How posts are believed; what a kind does not have is left out."""

    key = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="Kept encrypted and never shown again. Empty: stays as it is.",
    )
    has_no_key = forms.BooleanField(
        required=False, label="Forget the key: posts are believed for their address alone"
    )
    topic_arn = forms.CharField(
        required=False,
        label="SNS topic",
        widget=UnfoldAdminTextInputWidget,
        help_text="The only one believed. Empty: the next one to be confirmed.",
    )

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        key = HOOKS[kind].key
        if key is None:
            del self.fields["key"], self.fields["has_no_key"]
        else:
            self.fields["key"].label = key.label
        if kind != "amazon_ses":
            del self.fields["topic_arn"]

    def values(self) -> dict[str, str]:
        """Return what the service is to set."""
        given = self.cleaned_data
        found: dict[str, str] = {}
        if given.get("key") or given.get("has_no_key"):
            found["key"] = "" if given.get("has_no_key") else given["key"]
        if "topic_arn" in given:
            found["topic_arn"] = given["topic_arn"]
        return found


@admin.register(EventSource)
class EventSourceAdmin(ConsoleAdmin[EventSource]):
    """List, make, set up and renew event addresses."""

    list_display = ("account", "checked", "last_event", "refused_count")
    list_display_links = ("account",)
    list_select_related = ("provider",)
    search_fields = ("provider__name",)
    sortable_by = ()
    actions = None
    #: What an empty list says.
    empty_title = "No event addresses yet"
    empty_text = (
        "A provider posts to such an address what became of your mail. Add one for an account, "
        "then enter it at the provider."
    )
    empty_icon = "webhook"

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that renew and set."""
        wrap = self.admin_site.admin_view
        prefix = self.url_prefix
        return [
            path("<uuid:object_id>/renew/", wrap(self.renew_view), name=f"{prefix}_renew"),
            path("<uuid:object_id>/trust/", wrap(self.trust_view), name=f"{prefix}_trust"),
            *super().get_urls(),
        ]

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Allow none: an address goes with its account."""
        return False

    # --- pages ------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for the account."""
        del form_url, extra_context
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewSourceForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                source = source_of(provider_id=form.cleaned_data["provider"].pk)
            except DomainError as error:
                show_faults(form, error)
            else:
                self.note(request, [source], "Made the address.")
                return self.back_to(self.url("change", source.pk))
        return self.form_page(request, form, title="New event address", button="Make address")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the address to those who may change it, and what to do with it."""
        del form_url, extra_context
        row = self.get_or_404(request, object_id)
        may_change = self.has_change_permission(request, row)
        hook = HOOKS[row.provider.kind]
        links = []
        if may_change:
            links.append(Link("New secret", self.url("renew", row.pk), "autorenew"))
            if hook.key is not None or row.provider.kind == "amazon_ses":
                links.insert(0, Link("Signature", self.url("trust", row.pk), "verified_user"))
        return self.page(
            request,
            "inbound/admin/event_source.html",
            title=f"Events of {row.provider.name}",
            obj=row,
            url=hook_url(row) if may_change else "",
            steps=hook.steps,
            facts=[
                Fact("Account", row.provider.name, hint=row.provider.get_kind_display()),
                Fact("Believed for", _trust(row)),
                Fact("Last event", row.last_event_at or "none yet"),
                Fact("Refused", f"{row.refused_count:,}", hint="Wrong address or signature."),
            ],
            console_links=links,
        )

    def renew_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then give the address a new secret."""
        self.require_change(request)
        row = self.get_or_404(request, object_id)
        back = self.url("change", row.pk)
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Give the event address of “{row.provider.name}” a new secret?",
                effect="The present address is refused at once: enter the new one at the provider. "
                "Most providers repeat for some hours what was refused meanwhile.",
                button="New secret",
                back=back,
                is_dangerous=True,
            )
            return self.confirm(request, confirmation, obj=row)
        renew_token(source_id=row.pk)
        self.note(request, [row], "Gave the address a new secret.")
        messages.success(request, "The address has a new secret. Enter it at the provider.")
        return self.back_to(back)

    def trust_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Set key or topic."""
        self.require_change(request)
        row = self.get_or_404(request, object_id)
        initial = {"topic_arn": row.topic_arn}
        form = TrustForm(request.POST or None, kind=row.provider.kind, initial=initial)
        if request.method == "POST" and form.is_valid():
            try:
                set_trust(source_id=row.pk, **form.values())
            except DomainError as error:
                show_faults(form, error)
            else:
                self.note(request, [row], "Changed how posts are believed.")
                messages.success(request, "Saved.")
                return self.back_to(self.url("change", row.pk))
        return self.form_page(
            request, form, title=f"Signature of {row.provider.name}", button="Save", obj=row
        )

    # --- columns ----------------------------------------------------------------------------------

    @display(description="Account", header=True)
    def account(self, row: EventSource) -> list[str]:
        """Return account and kind."""
        return [row.provider.name, row.provider.get_kind_display()]

    @display(description="Believed for")
    def checked(self, row: EventSource) -> str:
        """Return what makes a post genuine."""
        return _trust(row)

    @display(description="Last event")
    def last_event(self, row: EventSource) -> SafeString:
        """Return when."""
        return moment(row.last_event_at, empty="none yet")


def _trust(row: EventSource) -> str:
    """Return in words what makes a post genuine."""
    if row.provider.kind == "amazon_ses":
        return f"signature of Amazon, topic {row.topic_arn or '(the first one confirmed)'}"
    if key_of(row):
        return "address and signature"
    can_sign = HOOKS[row.provider.kind].key is not None
    return "its address alone" + (": enter the key" if can_sign else "")
