"""Suppressions: addresses that get no mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path
from unfold.contrib.filters.admin import DropdownFilter, TextFilter
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin.console import Link, counted, show_faults
from accounts.admin.keyset import KeysetAdmin
from delivery.email_types import email_types
from delivery.intake.fields import LIST
from delivery.models import Suppression, SuppressionReason
from delivery.models.suppressions import ALL_MARKETING, ENTERED_BY_PEOPLE
from delivery.services.suppression_files import export_csv, import_csv
from mailservice.core.addresses import AddressError, normalized, parse_email
from mailservice.core.errors import DomainError
from mailservice.core.presentation import moment

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.utils.safestring import SafeString


def _scopes() -> list[tuple[str, str]]:
    return [
        ("", "All mail"),
        (ALL_MARKETING, "All marketing mail"),
        *((name, f"Only {name}") for name in sorted(email_types())),
    ]


def _checked_list(given: dict[str, Any]) -> str:
    """Return the list of a form. Raises `ValidationError`."""
    key: str = given.get("list_key", "").strip()
    if key and not LIST.match(key):
        raise forms.ValidationError("Use 1 to 64 letters, digits, hyphens and underscores.")
    if key and given.get("email_type"):
        raise forms.ValidationError("Choose an email type or a list, not both.")
    return key


class ImportForm(forms.Form):
    """A file, and what holds for lines that do not say."""

    file = forms.FileField(
        label="CSV file",
        widget=UnfoldAdminFileFieldWidget,
        help_text="UTF-8, with a column email; reason, email_type, list and note if you like.",
    )
    reason = forms.ChoiceField(
        choices=SuppressionReason.choices,
        initial=SuppressionReason.MANUAL,
        widget=UnfoldAdminSelectWidget,
        help_text="For lines without one.",
    )
    email_type = forms.ChoiceField(
        label="Holds for", required=False, choices=_scopes, widget=UnfoldAdminSelectWidget
    )
    list_key = forms.CharField(
        label="Only the list", required=False, max_length=64, widget=UnfoldAdminTextInputWidget
    )

    def clean_list_key(self) -> str:
        """Return the list, if it is one and the only scope."""
        return _checked_list(self.cleaned_data)


class SuppressionForm(forms.ModelForm[Suppression]):
    """Address, scope and reason."""

    email_type = forms.ChoiceField(
        label="Holds for", required=False, widget=UnfoldAdminSelectWidget, choices=[]
    )

    class Meta:
        model = Suppression
        fields = ("address", "email_type", "list_key", "reason", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "email_type" in self.fields:
            self.fields["email_type"].choices = _scopes()  # type: ignore[attr-defined]  # a choice field by construction
        if "list_key" in self.fields:
            self.fields["list_key"].label = "Only the list"

    def clean_list_key(self) -> str:
        """Return the list, if it is one and the only scope."""
        return _checked_list(self.cleaned_data)

    def clean_address(self) -> str:
        """Return the address in the form that sending compares."""
        try:
            return normalized(parse_email(self.cleaned_data["address"]))
        except AddressError as error:
            raise forms.ValidationError(error.message) from None


class ScopeFilter(DropdownFilter):
    """For which type of mail it holds."""

    title = "holds for"
    parameter_name = "type"

    def lookups(
        self, _request: HttpRequest, _admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        """Return the types."""
        return [(name, label) for name, label in _scopes() if name]

    def queryset(
        self, _request: HttpRequest, queryset: QuerySet[Suppression]
    ) -> QuerySet[Suppression]:
        """Return what holds for the type."""
        return queryset.filter(email_type=self.value()) if self.value() else queryset


class ListFilter(TextFilter):
    """For which list it holds."""

    title = "list"
    parameter_name = "list"

    def queryset(
        self, _request: HttpRequest, queryset: QuerySet[Suppression]
    ) -> QuerySet[Suppression]:
        """Return what holds for the list, named in full."""
        name = (self.value() or "").strip()
        if not name:
            return queryset
        return queryset.filter(list_key=name) if LIST.match(name) else queryset.none()


def _may_touch(request: HttpRequest, obj: Suppression | None) -> bool:
    if obj is None or obj.reason in ENTERED_BY_PEOPLE:
        return True
    return _may_lift(request)


def _may_lift(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("delivery.lift_suppression"))


@admin.register(Suppression)
class SuppressionAdmin(KeysetAdmin[Suppression]):
    """List, add and remove suppressions."""

    form = SuppressionForm
    list_display = ("address", "scope", "reason_label", "note", "since")
    list_filter = ("reason", ScopeFilter, ListFilter)
    list_filter_submit = True
    search_fields = ("address",)
    search_help_text = "Address, whole"

    def has_change_permission(self, request: HttpRequest, obj: Suppression | None = None) -> bool:
        """Leave what recipients caused to those who may lift it."""
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Suppression | None = None) -> bool:
        """Leave what recipients caused to those who may lift it."""
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def get_urls(self) -> list[URLPattern]:
        """Add the ways in and out by file."""
        wrap = self.admin_site.admin_view
        prefix = self.url_prefix
        return [
            path("import/", wrap(self.import_view), name=f"{prefix}_import"),
            path("export/", wrap(self.export_view), name=f"{prefix}_export"),
            *super().get_urls(),
        ]

    def list_links(self, request: HttpRequest) -> list[Link]:
        """Offer both to those who may."""
        links = [Link("Export", self.url("export"), "download")]
        if self.has_add_permission(request):
            links.insert(0, Link("Import", self.url("import"), "upload"))
        return links

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Take a CSV file."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None)
        if form.is_bound and form.is_valid() and self._imported(request, form):
            return self.back_to(self.url("changelist"))
        return self.page(
            request,
            "console/suppressions_import.html",
            title="Import suppressions",
            form=form,
            back=self.url("changelist"),
            media=self.media + form.media,
        )

    def _imported(self, request: HttpRequest, form: ImportForm) -> bool:
        given = form.cleaned_data
        name = given["file"].name[:100]
        try:
            result = import_csv(
                given["file"],
                reason=SuppressionReason(given["reason"]),
                email_type=given["email_type"],
                list_key=given["list_key"],
                # Else what a recipient said would become something that people may remove.
                keeps_unsubscribes=not _may_lift(request),
            )
        except DomainError as error:
            show_faults(form, error)
            # What came before the fault is written.
            self.note_all(request, f"Import of {name} broke off: {error.message[:300]}")
            return False
        added = counted(result.added, "suppression")
        self.note_all(request, f"Imported {name}: {added} added.")
        messages.success(request, f"{added} added from {counted(result.read, 'line')}.")
        if result.refused:
            named = "; ".join(f"line {line}: {text}" for line, text in result.faults)
            messages.warning(request, f"{counted(result.refused, 'line')} left out: {named}")
        return True

    def export_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """Return all as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        self.note_all(request, "Exported all.")
        response = StreamingHttpResponse(export_csv(), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="suppressions.csv"'
        response["Cache-Control"] = "no-store, private"
        return response

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[Suppression], search_term: str
    ) -> tuple[QuerySet[Suppression], bool]:
        """Find by the whole address, through the index that sending uses."""
        term = search_term.strip()
        return (queryset.filter(address=normalized(term)) if term else queryset), False

    @display(description="Holds for")
    def scope(self, suppression: Suppression) -> str:
        """Return what it stops."""
        if suppression.email_type == ALL_MARKETING:
            return "all marketing"
        if suppression.list_key:
            return f"list {suppression.list_key}"
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
