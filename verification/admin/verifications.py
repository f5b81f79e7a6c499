"""Verifications: who was asked and what came of it; never a link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from accounts.admin.console import Confirmation, Fact, Link
from accounts.admin.keyset import KeysetAdmin
from mailservice.core.addresses import normalized
from mailservice.core.errors import DomainError
from mailservice.core.presentation import moment
from verification.models import Verification, VerificationState
from verification.services.tokens import cancel
from verification.tokens.shown import shown_address

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    from verification.models.tokens import VerificationQuerySet

_LABELS = {
    "pending": "info",
    "confirmed": "success",
    "expired": "warning",
    "cancelled": "danger",
    "superseded": "",
}


class _StateFilter(DropdownFilter):
    """The state as it is now: nobody writes down the moment in which a link expires."""

    title = "state"
    parameter_name = "state"

    def lookups(self, _request: HttpRequest, _admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """Return the states."""
        return VerificationState.choices

    def queryset(self, _request: HttpRequest, queryset: VerificationQuerySet) -> Any:
        """Return what is in it."""
        value = self.value()
        if value not in VerificationState.values:
            return queryset
        return queryset.in_state(str(value), timezone.now())


@admin.register(Verification)
class VerificationAdmin(KeysetAdmin[Verification]):
    """List and cancel verifications."""

    list_display = ("address_line", "state_label", "mails", "created", "expires", "ended")
    list_filter = (_StateFilter,)
    list_filter_submit = True
    list_select_related = ("owner",)
    search_fields = ("=address",)
    search_help_text = "The whole address"
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Verification]:
        """Leave the hashes where they are."""
        rows: QuerySet[Verification] = super().get_queryset(request)
        return rows.defer("token_hash", "metadata")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Verification], search_term: str
    ) -> tuple[QuerySet[Verification], bool]:
        """Find an address however it is written."""
        found, has_doubles = super().get_search_results(request, queryset, normalized(search_term))
        return found, has_doubles

    def get_urls(self) -> list[URLPattern]:
        """Add the page that cancels."""
        view = self.admin_site.admin_view(self.cancel_view)
        return [
            path("<uuid:object_id>/cancel/", view, name=f"{self.url_prefix}_cancel"),
            *super().get_urls(),
        ]

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Applications start them."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """They are forgotten by age."""
        return False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the facts; there is nothing to edit."""
        del form_url, extra_context
        row = self.get_or_404(request, object_id)
        links = [Link("History", self.url("history", row.pk), "history")]
        state = row.state_at(timezone.now())
        if state == VerificationState.PENDING and self.has_change_permission(request):
            links.insert(0, Link("Cancel", self.url("cancel", row.pk), "block"))
        return self.page(
            request,
            "verification/admin/verification.html",
            title=row.email,
            obj=row,
            facts=_facts(row),
            state=state,
            state_tone=_LABELS[state],
            is_pending=state == VerificationState.PENDING,
            metadata=row.metadata,
            mails=row.mailed_at,
            console_links=links,
        )

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then void the link."""
        self.require_change(request)
        row = self.get_or_404(request, object_id)
        back = self.url("change", row.pk)
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Cancel the verification of {row.email}?",
                effect="The link in the mail stops working. The application sees “cancelled” and "
                "may start another one.",
                button="Cancel verification",
                back=back,
                is_dangerous=True,
            )
            return self.confirm(request, confirmation, obj=row)
        try:
            cancel(verification_id=row.pk)
        except DomainError as error:
            messages.warning(request, error.message)
        else:
            self.note(request, [row], "Cancelled.")
            messages.success(request, f"The verification of {row.email} is cancelled.")
        return self.back_to(back)

    # --- columns ----------------------------------------------------------------------------------

    @display(description="Address", header=True)
    def address_line(self, row: Verification) -> list[str]:
        """Return address and who asks."""
        return [shown_address(row.email), f"for {row.owner}{' (test)' if row.is_test else ''}"]

    @display(description="State", label=_LABELS)
    def state_label(self, row: Verification) -> tuple[str, str]:
        """Return the state as it is now."""
        state = row.state_at(timezone.now())
        return state.value, state.label

    @display(description="Mails")
    def mails(self, row: Verification) -> int:
        """Return how many went out."""
        return len(row.mailed_at)

    @display(description="Asked")
    def created(self, row: Verification) -> SafeString:
        """Return when."""
        return moment(row.created_at)

    @display(description="Link works until")
    def expires(self, row: Verification) -> SafeString:
        """Return when."""
        return moment(row.expires_at)

    @display(description="Ended")
    def ended(self, row: Verification) -> SafeString:
        """Return when."""
        return moment(row.ended_at, empty="")


def _readable(email: str) -> str:
    """Return how people write the address, if that is not how it is sent to."""
    shown = shown_address(email)
    return "" if shown == email else shown


def _facts(row: Verification) -> list[Fact]:
    key = f"{row.api_key}" if row.api_key else "none"
    facts = [
        Fact("Address", row.email, hint=_readable(row.email), is_code=True),
        Fact("Asked for by", row.owner, hint=f"API key: {key}"),
        Fact("Asked", row.created_at),
        Fact("Works until", row.expires_at, hint="The link itself is in the mail only."),
        Fact("Language", row.locale or "the reader's"),
        Fact("Mail", f"template {row.template}" if row.template else "built in"),
    ]
    if row.redirect_url:
        facts.append(Fact("Leads to", row.redirect_url, is_code=True))
    if row.ended_at:
        facts.append(Fact("Ended", row.ended_at))
    if row.is_test:
        facts.append(Fact("Test", "Nothing is sent."))
    return facts
