"""Suppressions: addresses that get no mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.admin.keyset import KeysetAdmin
from delivery.email_types import email_types
from delivery.models import Suppression
from mailservice.core.addresses import AddressError, normalized, parse_email
from mailservice.core.presentation import moment

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


class SuppressionForm(forms.ModelForm[Suppression]):
    """Address, scope and reason."""

    email_type = forms.ChoiceField(
        label="Holds for", required=False, widget=UnfoldAdminSelectWidget, choices=[]
    )

    class Meta:
        model = Suppression
        fields = ("address", "email_type", "reason", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "email_type" in self.fields:
            self.fields["email_type"].choices = [  # type: ignore[attr-defined]  # a choice field by construction
                ("", "All mail"),
                *((name, f"Only {name}") for name in sorted(email_types())),
            ]

    def clean_address(self) -> str:
        """Return the address in the form that sending compares."""
        try:
            return normalized(parse_email(self.cleaned_data["address"]))
        except AddressError as error:
            raise forms.ValidationError(error.message) from None


@admin.register(Suppression)
class SuppressionAdmin(KeysetAdmin[Suppression]):
    """List, add and remove suppressions."""

    form = SuppressionForm
    list_display = ("address", "scope", "reason_label", "note", "since")
    list_filter = ("reason",)
    list_filter_submit = True
    search_fields = ("address",)
    search_help_text = "Address, whole"

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[Suppression], search_term: str
    ) -> tuple[QuerySet[Suppression], bool]:
        """Find by the whole address, through the index that sending uses."""
        term = search_term.strip()
        return (queryset.filter(address=normalized(term)) if term else queryset), False

    @display(description="Holds for")
    def scope(self, suppression: Suppression) -> str:
        """Return what it stops."""
        return suppression.email_type or "all mail"

    @display(
        description="Reason",
        label={
            "hard_bounce": "danger",
            "complaint": "danger",
            "unsubscribe": "info",
            "manual": "",
        },
    )
    def reason_label(self, suppression: Suppression) -> tuple[str, str]:
        """Return why."""
        return suppression.reason, suppression.get_reason_display()

    @display(description="Since")
    def since(self, suppression: Suppression) -> SafeString:
        """Return when it began."""
        return moment(suppression.created_at)
