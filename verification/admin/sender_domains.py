"""Sender domains: traffic lights, records to copy, checks on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import PermissionDenied
from django.urls import URLPattern, path
from django.utils.html import format_html_join
from unfold.decorators import display

from accounts.admin.console import Confirmation, ConsoleAdmin, Fact, Link, signed_in
from mailservice.core.errors import DomainError
from mailservice.core.presentation import moment
from verification.admin.sender_domain_form import SenderDomainForm, initial_of
from verification.admin.sender_domain_words import (
    advice_for,
    explained,
    in_letters,
    is_checked,
    label,
    labels,
    pastes,
)
from verification.models import SenderDomain
from verification.services.domains import add_domain, change_domain, check_now, remove_domain

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

_LIGHTS = {"pass": "success", "warn": "warning", "fail": "danger", "unknown": "info"}


@admin.register(SenderDomain)
class SenderDomainAdmin(ConsoleAdmin[SenderDomain]):
    """List, add, change, check and remove sender domains."""

    list_display = ("name", "light", "lights", "sent_by", "last_check", "next_check")
    list_filter = ("state",)
    list_filter_submit = True
    list_select_related = ("owner",)
    search_fields = ("domain",)
    search_help_text = "Domain"
    ordering = ("domain",)
    sortable_by = ()
    actions = None

    class Media:
        css = {"all": ["verification/admin.css"]}

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that change and check."""
        edit = self.admin_site.admin_view(self.edit_view)
        check = self.admin_site.admin_view(self.check_view)
        return [
            path("<uuid:object_id>/edit/", edit, name=f"{self.url_prefix}_edit"),
            path("<uuid:object_id>/check/", check, name=f"{self.url_prefix}_check"),
            *super().get_urls(),
        ]

    # --- pages ------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for a domain and who sends for it."""
        del form_url, extra_context
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = SenderDomainForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            owner = form.cleaned_data["owner"]
            try:
                row = add_domain(owner_id=owner.pk if owner else None, values=form.values())
            except DomainError as error:
                form.show(error)
            else:
                _note_addition(request, row)
                messages.success(
                    request, f"{row.domain} is added. Publish its records, then check."
                )
                return self.back_to(self.url("change", row.pk))
        return self.form_page(request, form, title="New sender domain", button="Add domain")

    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Change what is expected of a domain; name and owner stay."""
        self.require_change(request)
        row = self.get_or_404(request, object_id)
        form = SenderDomainForm(request.POST or None, initial=initial_of(row))
        form.fields["domain"].disabled = form.fields["owner"].disabled = True
        if request.method == "POST" and form.is_valid():
            try:
                change_domain(domain_id=row.pk, values=form.values())
            except DomainError as error:
                form.show(error)
            else:
                self.note(request, [row], "Changed what is expected.")
                messages.success(request, f"{row.domain} is changed, and checked within a minute.")
                return self.back_to(self.url("change", row.pk))
        return self.form_page(request, form, title=f"Change {row.domain}", button="Save", obj=row)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show what was found, and the records to publish."""
        del form_url, extra_context
        row = self.get_or_404(request, object_id)
        links = [Link("History", self.url("history", row.pk), "history")]
        if self.has_delete_permission(request, row):
            links.insert(0, Link("Remove", self.url("delete", row.pk), "delete"))
        may_change = self.has_change_permission(request)
        if may_change:
            links.insert(0, Link("Edit", self.url("edit", row.pk), "edit"))
        return self.page(
            request,
            "verification/admin/sender_domain.html",
            title=row.domain,
            obj=row,
            row=row,
            advice=advice_for(row),
            checks=explained(row),
            is_checked=is_checked(row),
            facts=self._facts(row),
            pastes=pastes(row),
            check_url=self.url("check", row.pk) if may_change else "",
            console_links=links,
            media=self.media,
        )

    def check_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask the DNS now, on POST."""
        self.require_change(request)
        row = self.get_or_404(request, object_id)
        if request.method == "POST":
            try:
                checked = check_now(domain_id=row.pk)
            except DomainError as error:
                messages.warning(request, error.message)
            else:
                messages.success(request, f"Checked: {checked.get_state_display()}.")
        return self.back_to(self.url("change", row.pk))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask, then forget a domain."""
        del extra_context
        row = self.get_or_404(request, object_id)
        if not self.has_delete_permission(request, row):
            raise PermissionDenied
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Remove {row.domain}?",
                effect="It is no longer checked. Nothing changes in the DNS, and mail goes on.",
                button="Remove domain",
                back=self.url("change", row.pk),
                is_dangerous=True,
            )
            return self.confirm(request, confirmation, obj=row)
        remove_domain(domain_id=row.pk)
        self.note(request, [row], "", is_deletion=True)
        messages.success(request, f"{row.domain} is removed.")
        return self.back_to(self.url("changelist"))

    def _facts(self, row: SenderDomain) -> list[Fact]:
        facts = [
            Fact("Owner", row.owner or "Everybody"),
            Fact("Sent by", labels(row.providers) or "nobody named"),
            *_alignment_facts(row),
            Fact("Checked", row.checked_at or "not yet"),
            Fact("Next check", row.next_check_at),
        ]
        if row.return_path_domain:
            facts.insert(2, Fact("Return path", row.return_path_domain, is_code=True))
        if written := in_letters(row.domain):
            facts.insert(0, Fact("In letters", written))
        if row.failing_since:
            facts.append(Fact("Failing since", row.failing_since))
        return facts

    # --- columns ----------------------------------------------------------------------------------

    @display(description="Domain", header=True)
    def name(self, row: SenderDomain) -> list[str]:
        """Return domain and owner."""
        owner = str(row.owner) if row.owner else "Everybody's"
        return [row.domain, " · ".join(filter(None, [in_letters(row.domain), owner]))]

    @display(description="State", label=_LIGHTS)
    def light(self, row: SenderDomain) -> tuple[str, str]:
        """Return the gravest state."""
        return row.state, row.get_state_display()

    @display(description="Checks")
    def lights(self, row: SenderDomain) -> SafeString:
        """Return a dot per check."""
        return format_html_join(
            "",
            '<span class="vf-dot is-{}" title="{}: {}"></span>',
            ((check["state"], check["title"], check["notes"][0]) for check in row.checks),
        )

    @display(description="Sent by")
    def sent_by(self, row: SenderDomain) -> SafeString:
        """Return the providers; those that are aligned have a tick."""
        return format_html_join(
            " ",
            '<span class="ms-chip" title="{}">{}{}</span>',
            (
                ("aligned: its mail passes DMARC", label(kind), " ✓")
                if kind in row.aligned_providers
                else ("not aligned: its mail fails DMARC", label(kind), "")
                for kind in row.providers
            ),
        )

    @display(description="Checked")
    def last_check(self, row: SenderDomain) -> SafeString:
        """Return when."""
        return moment(row.checked_at, empty="not yet")

    @display(description="Next")
    def next_check(self, row: SenderDomain) -> SafeString:
        """Return when."""
        return moment(row.next_check_at)


def _alignment_facts(row: SenderDomain) -> list[Fact]:
    """Return whose mail passes DMARC by what the DNS says, whose from below, and whose does not."""
    wanting = [kind for kind in row.providers if kind not in row.aligned_providers]
    below = labels(row.aligned_below)
    hint = f"From domains below it too at: {below}." if below else "Not from domains below it."
    facts = []
    if row.aligned_providers:
        facts.append(Fact("Aligned", labels(row.aligned_providers), hint=hint))
    if wanting:
        why = "Their mail fails DMARC: accounts for aligned domains only do not take it."
        facts.append(Fact("Not aligned", labels(wanting), hint=why))
    return facts


def _note_addition(request: HttpRequest, row: SenderDomain) -> None:
    LogEntry.objects.log_actions(
        user_id=signed_in(request).pk,
        queryset=[row],
        action_flag=ADDITION,
        change_message="",
        single_object=True,
    )
