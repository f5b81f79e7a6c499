"""Refusals of tracking: addresses whose owners want opens and clicks unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.contrib import admin
from unfold.decorators import display

from accounts.admin.console import ConsoleAdmin
from delivery.models import TrackingRefusal
from mailservice.core.addresses import AddressError, normalized, parse_email
from mailservice.core.presentation import moment

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


class TrackingRefusalForm(forms.ModelForm[TrackingRefusal]):
    """An address."""

    class Meta:
        model = TrackingRefusal
        fields = ("address",)
        help_texts = {"address": "Mail to it is not tracked, whatever message and email type say."}

    def clean_address(self) -> str:
        """Return the address in the form that sending compares."""
        try:
            return normalized(parse_email(self.cleaned_data["address"]))
        except AddressError as error:
            raise forms.ValidationError(error.message) from None


@admin.register(TrackingRefusal)
class TrackingRefusalAdmin(ConsoleAdmin[TrackingRefusal]):
    """List, add and remove refusals of tracking."""

    form = TrackingRefusalForm
    list_display = ("address", "since")
    search_fields = ("address",)
    search_help_text = "Address, whole"
    ordering = ("address",)
    sortable_by = ()

    def has_change_permission(
        self, _request: HttpRequest, _obj: TrackingRefusal | None = None
    ) -> bool:
        """Have another address entered anew: there is nothing else to a refusal."""
        return False

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[TrackingRefusal], search_term: str
    ) -> tuple[QuerySet[TrackingRefusal], bool]:
        """Find by the whole address, through the index that sending uses."""
        term = search_term.strip()
        return (queryset.filter(pk=normalized(term)) if term else queryset), False

    @display(description="Since")
    def since(self, refusal: TrackingRefusal) -> SafeString:
        """Return when it was said."""
        return moment(refusal.created_at)
