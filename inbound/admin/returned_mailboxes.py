"""Bounce mailboxes in the console: entered, tried, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget

from accounts.admin.console import Confirmation, Link, counted
from accounts.admin.deletion import DeletingAdmin
from inbound.models import BounceMailbox
from inbound.returned.imap import MAX_SECONDS, MailboxError
from inbound.services.returned_mailboxes import (
    delete_mailbox,
    mailbox_faults,
    password_of,
    save_mailbox,
    try_mailbox,
)
from mailservice.core.presentation import moment

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString


class MailboxForm(forms.ModelForm[BounceMailbox]):
    """A mailbox and its password, which is only ever written."""

    password = forms.CharField(
        required=False,
        max_length=1000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted; nobody can read it here again. Gmail, Fastmail and others "
        "want an “app password”.",
    )

    class Meta:
        model = BounceMailbox
        fields = (
            "name",
            "host",
            "port",
            "security",
            "username",
            "folder",
            "move_to",
            "is_active",
        )
        help_texts = {
            "host": "Such as imap.example.com.",
            "folder": "All mail in it is fetched and then removed: use a mailbox of its own, never "
            "one that people read.",
            "move_to": "Empty: fetched mail is deleted.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self._stored_password():
            field = self.fields["password"]
            field.help_text = "One is stored. Leave empty to keep it."
            field.widget.attrs["placeholder"] = "••••••••••"

    def clean(self) -> dict[str, Any]:
        """Ask the service for every fault and put each beside its field."""
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        names = ("name", "host", "port", "security", "username", "folder", "move_to")
        candidate = BounceMailbox(**{name: data[name] for name in names})
        password = data.get("password") or self._stored_password()
        for field, _, text in mailbox_faults(candidate, password):
            self.add_error(field if field in self.fields else None, text)
        return data

    def _stored_password(self) -> str:
        is_new = self.instance._state.adding  # noqa: SLF001 - Django's documented way to ask
        return "" if is_new else password_of(self.instance)


@admin.register(BounceMailbox)
class BounceMailboxAdmin(DeletingAdmin[BounceMailbox]):
    """List, add, change, try and delete mailboxes."""

    form = MailboxForm
    list_display = ("mailbox", "active", "checked", "fetched", "trouble")
    list_display_links = ("mailbox",)
    sortable_by = ()
    actions = None
    #: What an empty list says.
    empty_title = "No bounce mailboxes yet"
    empty_text = (
        "Where no mail server of yours can post returned mail here, have it come to a mailbox. It "
        "is read by IMAP every minute."
    )
    empty_icon = "inbox"
    fieldsets = (
        ("Mailbox", {"fields": (("name", "is_active"), "host", ("port", "security"))}),
        ("Login", {"fields": (("username", "password"),)}),
        ("Mail", {"fields": (("folder", "move_to"),)}),
    )
    deleted_noun = "mailbox"
    deletion_effect = "It is not read any more. What was fetched from it stays here."

    def get_urls(self) -> list[URLPattern]:
        """Add the page that tries a mailbox."""
        wrapped = self.admin_site.admin_view(self.try_view)
        return [
            path("<uuid:object_id>/try/", wrapped, name=f"{self.url_prefix}_try"),
            *super().get_urls(),
        ]

    def save_model(
        self,
        request: HttpRequest,
        obj: BounceMailbox,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Save through the service."""
        del request, change
        save_mailbox(obj, password=form.cleaned_data.get("password") or "")

    def delete_by_service(self, obj: BounceMailbox) -> None:
        """Forget a mailbox."""
        delete_mailbox(obj.pk)

    def form_links(self, request: HttpRequest, object_id: str | None) -> list[Link]:
        """Offer the trial."""
        if object_id is None or not self.has_change_permission(request):
            return []
        return [Link("Test connection", self.url("try", object_id), "network_check")]

    def list_links(self, request: HttpRequest) -> list[Link]:
        """Lead to what was fetched."""
        if not request.user.has_perm("inbound.view_returnedmail"):
            return []
        returned = reverse(f"{self.admin_site.name}:inbound_returnedmail_changelist")
        return [Link("Returned mail", returned, "undo")]

    def try_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then go into the mailbox and report how that went."""
        self.require_change(request)
        mailbox = self.get_or_404(request, object_id)
        back = self.url("change", mailbox.pk)
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Test the connection to “{mailbox.name}”?",
                effect="It connects, logs in and opens the folder; no mail is touched. This takes "
                f"up to {MAX_SECONDS:g} seconds if nobody answers.",
                button="Test now",
                back=back,
            )
            return self.confirm(request, confirmation, obj=mailbox)
        try:
            count = try_mailbox(mailbox.pk)
        except MailboxError as error:
            messages.error(request, f"The test failed. {error.message}")
        else:
            waiting = counted(count, "mail")
            messages.success(request, f"All is well: {waiting} in “{mailbox.folder}”.")
        return self.back_to(back)

    # --- columns ----------------------------------------------------------------------------------

    @display(description="Mailbox", header=True)
    def mailbox(self, row: BounceMailbox) -> list[str]:
        """Return name and place."""
        return [row.name, f"{row.username} at {row.host}"]

    @display(description="Active", boolean=True)
    def active(self, row: BounceMailbox) -> bool:
        """Tell whether it is read."""
        return row.is_active

    @display(description="Last checked")
    def checked(self, row: BounceMailbox) -> SafeString:
        """Return when it was last looked at."""
        return moment(row.last_checked_at)

    @display(description="Fetched")
    def fetched(self, row: BounceMailbox) -> str:
        """Return how many mails it brought."""
        return f"{row.fetched_count:,}"

    @display(description="Trouble")
    def trouble(self, row: BounceMailbox) -> SafeString | str:
        """Return what failed last, if it still does."""
        return format_html("<b>{}</b>", row.last_error) if row.last_error else "—"
