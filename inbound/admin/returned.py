"""Returned mail in the console: what came, what it was taken for, once more; where it comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.decorators import display

from accounts.admin.console import Confirmation, Fact, Link
from inbound.admin.kept import KeptAdmin
from inbound.models import ReturnedMail, ReturnedStatus
from inbound.services.returned import try_again
from inbound.services.returned_hook import renew_returned_token, return_hook, returned_url
from mailservice.core.presentation import moment

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

_TONES = {
    ReturnedStatus.NEW: "info",
    ReturnedStatus.DONE: "success",
    ReturnedStatus.UNMATCHED: "warning",
    ReturnedStatus.IGNORED: "default",
    ReturnedStatus.FAILED: "danger",
}
#: Of a mail so much is shown.
_SHOWN_CHARS = 50_000


@admin.register(ReturnedMail)
class ReturnedMailAdmin(KeptAdmin[ReturnedMail]):
    """List and read returned mail; have it worked off again; the address where it is posted."""

    list_display = ("state", "sort", "concerns", "message_link", "received", "error")
    list_display_links = ("state",)
    list_filter = ("status", "kind", "route")
    list_filter_submit = True
    noun = "mail"
    try_again = staticmethod(try_again)
    #: What an empty list says.
    empty_title = "Nothing came back"
    empty_text = (
        "Bounces, complaints and automatic answers to a return path appear here and are kept for "
        "a while. Give an account a return path, then have a mail server post what comes there, "
        "or have a mailbox read."
    )
    empty_icon = "undo"

    def get_urls(self) -> list[URLPattern]:
        """Add the address for mail servers."""
        wrap = self.admin_site.admin_view
        prefix = self.url_prefix
        return [
            path("address/", wrap(self.address_view), name=f"{prefix}_address"),
            path("address/renew/", wrap(self.renew_view), name=f"{prefix}_renew"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave the mails themselves where they are."""
        return super().get_queryset(request).defer("body")

    def list_links(self, request: HttpRequest) -> list[Link]:
        """Lead to the ways in."""
        links = []
        if request.user.has_perm("inbound.view_bouncemailbox"):
            mailboxes = reverse(f"{self.admin_site.name}:inbound_bouncemailbox_changelist")
            links.append(Link("Bounce mailboxes", mailboxes, "inbox"))
        if request.user.has_perm("inbound.change_returnhook"):
            links.append(Link("Address for mail servers", self.url("address"), "webhook"))
        return links

    # --- pages ------------------------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one mail."""
        del form_url, extra_context
        row = self.get_or_404(request, object_id)
        return self.page(
            request,
            "inbound/admin/returned_mail.html",
            title="Returned mail",
            obj=row,
            facts=self._facts(request, row),
            body=bytes(row.body).decode("utf-8", "replace")[:_SHOWN_CHARS],
            again_url=self.again_url(request, row) if row.status != ReturnedStatus.NEW else "",
        )

    def address_view(self, request: HttpRequest) -> HttpResponse:
        """Show the address where mail servers post, to those who may change it."""
        _require_hook_permission(request)
        hook = return_hook()
        button = "New secret" if hook else "Make address"
        return self.page(
            request,
            "inbound/admin/return_hook.html",
            title="Address for mail servers",
            url=returned_url(hook) if hook else "",
            facts=[Fact("Secret since", hook.renewed_at if hook else "not made yet")],
            console_links=[Link(button, self.url("renew"), "autorenew")],
        )

    def renew_view(self, request: HttpRequest) -> HttpResponse:
        """Ask, then make the address or give it a new secret."""
        _require_hook_permission(request)
        if request.method != "POST":
            has_one = return_hook() is not None
            return self.confirm(request, self._renewal() if has_one else self._making())
        hook = renew_returned_token()
        self.note(request, [hook], "Gave the address for mail servers a new secret.")
        messages.success(request, "The address has a new secret. Enter it at your mail servers.")
        return self.back_to(self.url("address"))

    def _renewal(self) -> Confirmation:
        return Confirmation(
            question="Give the address for mail servers a new secret?",
            effect="The present address is refused at once: enter the new one at every mail "
            "server that posts here. What they keep in their queues meanwhile is not lost.",
            button="New secret",
            back=self.url("address"),
            is_dangerous=True,
        )

    def _making(self) -> Confirmation:
        return Confirmation(
            question="Make an address for mail servers?",
            effect="They can then post returned mail here. The address holds a secret.",
            button="Make address",
            back=self.url("address"),
        )

    def _facts(self, request: HttpRequest, row: ReturnedMail) -> list[Fact]:
        facts = [
            Fact("State", row.get_status_display(), hint=row.error),
            Fact("Kind", row.get_kind_display() or "not read yet"),
            Fact("Class", row.bounce_class or "none"),
            Fact("Recipient", row.recipient or "unknown"),
            Fact("Came to", row.envelope_to or "not told"),
            Fact("Route", row.get_route_display()),
            Fact("Received", row.received_at),
            Fact("Attempts", row.attempts),
            Fact("Size", filesizeformat(row.size_bytes), hint=_cut_note(row)),
            Fact("SHA-256", row.sha256, is_code=True),
        ]
        if row.message_id and request.user.has_perm("delivery.view_message"):
            link = self._message_url(row)
            facts.insert(3, Fact("Message", row.message_id, href=link))
        return facts

    # --- columns ----------------------------------------------------------------------------------

    @display(description="State", label=_TONES)
    def state(self, row: ReturnedMail) -> tuple[str, str]:
        """Return what became of it."""
        return row.status, row.get_status_display()

    @display(description="Kind", header=True)
    def sort(self, row: ReturnedMail) -> list[str]:
        """Return kind and class."""
        return [row.get_kind_display() or "—", row.bounce_class.replace("_", " ")]

    @display(description="Recipient")
    def concerns(self, row: ReturnedMail) -> str:
        """Return whom it is about."""
        return row.recipient or "—"

    @display(description="Message")
    def message_link(self, row: ReturnedMail) -> SafeString | str:
        """Return a link to the message; it may be purged."""
        if row.message_id is None:
            return "—"
        short = f"…{row.message_id.hex[-8:]}"
        return format_html('<a class="ms-link" href="{}">{}</a>', self._message_url(row), short)

    @display(description="Received")
    def received(self, row: ReturnedMail) -> SafeString:
        """Return when."""
        return moment(row.received_at)

    def _message_url(self, row: ReturnedMail) -> str:
        return reverse(f"{self.admin_site.name}:delivery_message_change", args=[row.message_id])


def _cut_note(row: ReturnedMail) -> str:
    return "Only its start is kept." if row.size_bytes > len(row.body) else ""


def _require_hook_permission(request: HttpRequest) -> None:
    if not request.user.has_perm("inbound.change_returnhook"):
        raise PermissionDenied
