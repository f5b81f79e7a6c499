"""Recipient domains: limits that operators set, and domains that are slowed down now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.utils import timezone
from unfold.decorators import display

from accounts.admin.console import Confirmation, ConsoleAdmin, counted
from accounts.admin.deletion import DeletingAdmin
from mailservice.core.presentation import moment
from providers.domain_limits import (
    create_limit,
    delete_limit,
    end_slowdowns,
    limit_faults,
    update_limit,
)
from providers.models import DomainLimit, DomainSlowdown
from providers.routing import Slowdown

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString


class LimitForm(forms.ModelForm[DomainLimit]):
    """Domain, account and rate."""

    class Meta:
        model = DomainLimit
        fields = ("pattern", "provider", "rate_per_second", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "provider" in self.fields:
            self.fields["provider"].empty_label = "Every account"  # type: ignore[attr-defined] # a choice of accounts

    def clean(self) -> dict[str, Any]:
        """Ask the service for every fault and put each beside its field."""
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        for field, _, text in limit_faults(DomainLimit(pk=self.instance.pk, **data)):
            self.add_error(field.removesuffix("_id"), text)
        return data

    def validate_unique(self) -> None:
        """Leave it to the service, which names the field."""

    def validate_constraints(self) -> None:
        """Leave it to the service, which names the field."""


@admin.register(DomainLimit)
class DomainLimitAdmin(DeletingAdmin[DomainLimit]):
    """List, add, change and delete limits."""

    form = LimitForm
    deleted_noun = "limit"
    deletion_effect = (
        "Mail to it then goes as fast as its account allows, unless a limit of a domain "
        "above it counts. What waits already keeps its time."
    )
    list_display = ("pattern", "account", "rate", "active")
    list_filter = ("is_active", "provider")
    list_filter_submit = True
    list_select_related = ("provider",)
    search_fields = ("pattern",)
    search_help_text = "Recipient domain"
    ordering = ("pattern", "id")
    actions = None
    fieldsets = ((None, {"fields": (("pattern", "provider"), ("rate_per_second", "is_active"))}),)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave the accounts' credentials where they are."""
        return super().get_queryset(request).defer("provider__secrets", "provider__settings")

    @display(description="Account")
    def account(self, limit: DomainLimit) -> str:
        """Return whose limit it is."""
        return limit.provider.name if limit.provider else "Every account, each by itself"

    @display(description="Mails per second", ordering="rate_per_second")
    def rate(self, limit: DomainLimit) -> str:
        """Return the rate."""
        return f"{limit.rate_per_second:g}"

    @display(description="Active", boolean=True)
    def active(self, limit: DomainLimit) -> bool:
        """Tell whether it counts."""
        return limit.is_active

    def save_model(
        self,
        request: HttpRequest,
        obj: DomainLimit,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Save through the service."""
        del request
        data = dict(form.cleaned_data)
        provider = data.pop("provider")
        data["provider_id"] = provider.pk if provider else None
        if change:
            update_limit(obj.pk, **data)
        else:
            obj.pk = create_limit(**data).pk

    def delete_by_service(self, obj: DomainLimit) -> None:
        """Delete a limit."""
        delete_limit(obj.pk)

    def deleted_name(self, obj: DomainLimit) -> str:
        """Name the limit by its domain."""
        return f"the limit of {obj.pattern}"


@admin.register(DomainSlowdown)
class DomainSlowdownAdmin(ConsoleAdmin[DomainSlowdown]):
    """List what is slowed down now; let mail pass."""

    list_display = ("domain", "account", "state", "signals", "began", "said")
    list_display_links = None
    list_filter = ("provider",)
    list_filter_submit = True
    list_select_related = ("provider",)
    search_fields = ("domain",)
    search_help_text = "Recipient domain"
    ordering = ("-closed_until",)
    sortable_by = ()
    actions = ("let_pass",)

    def get_queryset(self, _request: HttpRequest) -> Any:
        """Leave out what has recovered, and credentials where they are."""
        found = DomainSlowdown.objects.under_way()
        return found.defer("provider__secrets", "provider__settings")

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Domains are slowed down by what they answer."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """One ends by recovery, or by "let mail pass"."""
        return False

    @display(description="Account")
    def account(self, row: DomainSlowdown) -> str:
        """Return the account that is slowed down."""
        return row.provider.name

    @display(description="Now")
    def state(self, row: DomainSlowdown) -> str:
        """Return how much mail passes."""
        now = timezone.now()
        wait = (row.closed_until - now).total_seconds()
        if wait > 0:
            return f"Closed for {wait:.0f} s more"
        rate = Slowdown(row.closed_until, row.failures).rate_at(now)
        left = max(0.0, (row.recovered_at - now).total_seconds())
        return f"{rate:.2g} a second, free in {left:.0f} s"

    @display(description="Signals")
    def signals(self, row: DomainSlowdown) -> int:
        """Return how often it complained in a row."""
        return row.failures

    @display(description="Since")
    def began(self, row: DomainSlowdown) -> SafeString:
        """Return when it began."""
        return moment(row.since)

    @display(description="It said")
    def said(self, row: DomainSlowdown) -> str:
        """Return what was answered last."""
        return row.detail

    @admin.action(description="Let mail pass", permissions=["change"])
    def let_pass(
        self, request: HttpRequest, queryset: QuerySet[DomainSlowdown]
    ) -> HttpResponse | None:
        """Ask on the first POST, do it on the second, which the page of the first one sends."""
        rows = list(queryset.select_related("provider"))
        if "confirmed" in request.POST:
            count = end_slowdowns([row.pk for row in rows])
            self.note(request, rows, "Let mail pass.")
            messages.success(request, f"Mail passes again to {counted(count, 'domain')}.")
            return None
        confirmation = Confirmation(
            question=f"Let mail pass to {counted(len(rows), 'domain')}?",
            effect="New mail goes at full speed at once. A domain that still wants less says so, "
            "and is slowed down again. What waits already keeps its time.",
            button="Let mail pass",
            back=request.get_full_path(),
            items=[f"{row.domain} through {row.provider.name}" for row in rows[:10]],
            more_count=max(0, len(rows) - 10),
            hidden=[
                ("confirmed", "1"),
                ("action", "let_pass"),
                ("index", "0"),
                *((ACTION_CHECKBOX_NAME, str(row.pk)) for row in rows),
            ],
        )
        return self.confirm(request, confirmation)
