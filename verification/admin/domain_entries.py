"""The operators' lists of domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.contrib import admin
from unfold.decorators import display

from accounts.admin.console import ConsoleAdmin
from mailservice.core.addresses import AddressError, domain_of, parse_email
from mailservice.core.presentation import moment
from verification.models import DomainEntry
from verification.tokens.shown import shown_domain

if TYPE_CHECKING:
    from django.utils.safestring import SafeString


class DomainEntryForm(forms.ModelForm[DomainEntry]):
    """Domain, list and note."""

    class Meta:
        model = DomainEntry
        fields = ("domain", "list", "note")

    def clean_domain(self) -> str:
        """Return the domain in the form that look-ups compare: lower case, A-labels."""
        text = self.cleaned_data["domain"].strip().removeprefix("*.").removeprefix("@")
        try:
            return domain_of(parse_email(f"x@{text.rstrip('.')}"))
        except AddressError:
            raise forms.ValidationError("Give a domain name such as example.com.") from None


@admin.register(DomainEntry)
class DomainEntryAdmin(ConsoleAdmin[DomainEntry]):
    """List, add, change and remove entries; they count within seconds, in all processes."""

    form = DomainEntryForm
    list_display = ("name", "list_label", "note", "since")
    list_filter = ("list",)
    list_filter_submit = True
    search_fields = ("domain", "note")
    search_help_text = "Domain or note"
    ordering = ("domain",)
    sortable_by = ()

    @display(description="Domain")
    def name(self, entry: DomainEntry) -> str:
        """Return the domain as people write it, with the form that is compared."""
        shown = shown_domain(entry.domain)
        return shown if shown == entry.domain else f"{shown} ({entry.domain})"

    @display(
        description="List",
        label={"disposable": "danger", "free": "info", "allow": "success"},
    )
    def list_label(self, entry: DomainEntry) -> tuple[str, str]:
        """Return what is said of the domain, short."""
        return entry.list, entry.get_list_display().partition(":")[0]

    @display(description="Since")
    def since(self, entry: DomainEntry) -> SafeString:
        """Return when it was added."""
        return moment(entry.created_at)
