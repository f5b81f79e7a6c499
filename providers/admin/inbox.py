"""The local inbox as a mailbox to read."""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.decorators import display

from accounts.admin.console import Confirmation, Link, counted
from accounts.admin.keyset import KeysetAdmin
from accounts.admin.sandbox import download, sandboxed, sanitised, source_text
from mailservice.core.presentation import moment
from providers.models import InboxMail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.utils.safestring import SafeString

_SHOWN_HEADERS = ("From", "To", "Cc", "Reply-To", "Date", "Message-ID")


@dataclass(frozen=True)
class Part:
    """A file in a mail."""

    index: int
    filename: str
    content_type: str
    size_bytes: int


class Opened:
    """A mail taken apart for reading."""

    def __init__(self, data: bytes) -> None:
        parsed = message_from_bytes(data, policy=default)
        assert isinstance(parsed, EmailMessage)  # noqa: S101 - what this policy makes
        self._mail = parsed
        self._files = list(parsed.iter_attachments()) if parsed.is_multipart() else []
        self.html = self._body("html")
        self.text = self._body("plain")

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Return the headers people look at."""
        found = [(name, self._mail.get(name)) for name in _SHOWN_HEADERS]
        return [(name, str(value)) for name, value in found if value]

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        """Return every header as it came."""
        return [(name, str(value)) for name, value in self._mail.items()]

    @property
    def attachments(self) -> Sequence[Part]:
        """Return the files."""
        return [
            Part(
                index,
                part.get_filename() or f"part-{index + 1}",
                part.get_content_type(),
                len(_bytes_of(part)),
            )
            for index, part in enumerate(self._files)
        ]

    def file(self, index: int) -> tuple[Part, bytes]:
        """Return a file and its bytes. Raises `IndexError`."""
        return self.attachments[index], _bytes_of(self._files[index])

    def inline_images(self) -> dict[str, tuple[str, bytes]]:
        """Return what the HTML refers to by Content-ID."""
        found = {}
        for part in self._mail.walk():
            cid = str(part.get("Content-ID", "")).strip("<> ")
            if cid and part.get_content_maintype() == "image":
                found[cid] = (part.get_content_type(), _bytes_of(part))
        return found

    def _body(self, kind: str) -> str:
        part = self._mail.get_body(preferencelist=(kind,))
        if part is None:
            return ""
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        try:
            return data.decode(part.get_content_charset("utf-8"), "replace")
        except LookupError:
            return data.decode("utf-8", "replace")


@admin.register(InboxMail)
class InboxMailAdmin(KeysetAdmin[InboxMail]):
    """List like a mail program; open, mark, delete."""

    list_display = ("sender_column", "subject_column", "to_column", "received", "size")
    list_display_links = ("subject_column",)
    list_filter = ("is_read", "provider")
    list_filter_submit = True
    list_select_related = ("provider",)
    search_fields = ("subject", "sender")
    search_help_text = "Subject or sender"
    actions = ("mark_read", "mark_unread")

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of one mail, and “delete all”."""
        wrap = self.admin_site.admin_view
        prefix = self.url_prefix
        return [
            path("clear/", wrap(self.clear_view), name=f"{prefix}_clear"),
            path("<uuid:mail_id>/html/", wrap(self.html_view), name=f"{prefix}_html"),
            path("<uuid:mail_id>/source/", wrap(self.source_view), name=f"{prefix}_source"),
            path("<uuid:mail_id>/eml/", wrap(self.eml_view), name=f"{prefix}_eml"),
            path("<uuid:mail_id>/file/<int:index>/", wrap(self.file_view), name=f"{prefix}_file"),
            path("<uuid:mail_id>/read/", wrap(require_POST(self.read_view)), name=f"{prefix}_read"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave the mails' bytes where they are."""
        return (
            super().get_queryset(request).defer("data", "provider__secrets", "provider__settings")
        )

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Mail arrives by being sent."""
        return False

    # --- pages ------------------------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one mail. A GET changes nothing: the page's script posts that it was read."""
        del form_url, extra_context
        mail = self.get_or_404(request, object_id)
        return self.page(
            request,
            "console/inbox_mail.html",
            title=str(mail),
            obj=mail,
            mail=mail,
            opened=Opened(bytes(mail.data)),
            recipients=mail.recipients,
            urls={
                name: self.url(name, mail.pk)
                for name in ("html", "source", "eml", "read", "delete")
            },
            message_url=self._message_url(request, mail),
            console_links=[Link("Inbox", self.url("changelist"), "arrow_back")],
            can_delete=self.has_delete_permission(request, mail),
        )

    def html_view(self, request: HttpRequest, mail_id: str) -> HttpResponse:
        """Return the HTML part for the frame."""
        opened = Opened(bytes(self.get_or_404(request, mail_id).data))
        return sandboxed(sanitised(opened.html, opened.inline_images()))

    def source_view(self, request: HttpRequest, mail_id: str) -> HttpResponse:
        """Return the raw mail to be read."""
        return source_text(bytes(self.get_or_404(request, mail_id).data))

    def eml_view(self, request: HttpRequest, mail_id: str) -> HttpResponse:
        """Return the raw mail to be saved."""
        mail = self.get_or_404(request, mail_id)
        return download(
            bytes(mail.data), filename=f"{mail.message_id}.eml", content_type="message/rfc822"
        )

    def file_view(self, request: HttpRequest, mail_id: str, index: int) -> HttpResponse:
        """Return an attachment to be saved."""
        mail = self.get_or_404(request, mail_id)
        try:
            part, data = Opened(bytes(mail.data)).file(index)
        except IndexError:
            raise Http404("There is no such attachment.") from None
        return download(data, filename=part.filename, content_type="application/octet-stream")

    def read_view(self, request: HttpRequest, mail_id: str) -> HttpResponse:
        """Mark one mail as read or, with `unread`, as unread."""
        self.require_change(request)
        mail = self.get_or_404(request, mail_id)
        is_read = "unread" not in request.POST
        InboxMail.objects.filter(pk=mail.pk).update(is_read=is_read)
        if request.headers.get("X-Requested-With") == "fetch":
            return HttpResponse(status=204)
        return self.back_to(self.url("changelist"))

    def clear_view(self, request: HttpRequest) -> HttpResponse:
        """Ask, then delete every mail of the inbox."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        back = self.url("changelist")
        if request.method != "POST":
            confirmation = Confirmation(
                question="Delete all mail in the local inbox?",
                effect="The copies kept here go; the messages and their history stay.",
                button="Delete all",
                back=back,
                is_dangerous=True,
            )
            return self.confirm(request, confirmation)
        deleted, _ = InboxMail.objects.all().delete()
        messages.success(request, f"{counted(deleted, 'mail')} deleted.")
        if deleted:
            note = InboxMail(subject=f"{counted(deleted, 'mail')} (all)")
            self.note(request, [note], "Deleted all mail.", is_deletion=True)
        return self.back_to(back)

    def list_links(self, request: HttpRequest) -> list[Link]:
        """Offer “delete all”."""
        if not self.has_delete_permission(request):
            return []
        return [Link("Delete all", self.url("clear"), "delete_sweep")]

    # --- actions ----------------------------------------------------------------------------------

    @admin.action(description="Mark as read", permissions=["change"])
    def mark_read(self, request: HttpRequest, queryset: Any) -> None:
        """Mark the chosen mails as read."""
        count = queryset.update(is_read=True)
        messages.success(request, f"{counted(count, 'mail')} marked as read.")

    @admin.action(description="Mark as unread", permissions=["change"])
    def mark_unread(self, request: HttpRequest, queryset: Any) -> None:
        """Mark the chosen mails as unread."""
        count = queryset.update(is_read=False)
        messages.success(request, f"{counted(count, 'mail')} marked as unread.")

    # --- columns ----------------------------------------------------------------------------------

    @display(description="From")
    def sender_column(self, mail: InboxMail) -> SafeString:
        """Return the sender's name, bold while unread."""
        name, address = parseaddr(mail.sender)
        return format_html(
            '<span class="ms-sender {}" title="{}">{}</span>',
            "" if mail.is_read else "is-unread",
            mail.sender,
            name or address or mail.sender or "(nobody)",
        )

    @display(description="Subject")
    def subject_column(self, mail: InboxMail) -> SafeString:
        """Return the subject, bold while unread."""
        return format_html(
            '<span class="ms-subject {}">{}</span>',
            "" if mail.is_read else "is-unread",
            mail.subject or "(no subject)",
        )

    @display(description="To")
    def to_column(self, mail: InboxMail) -> SafeString:
        """Return the first recipient and how many more."""
        return first_and_more([str(address) for address in mail.recipients])

    @display(description="Received")
    def received(self, mail: InboxMail) -> SafeString:
        """Return when it came."""
        return moment(mail.received_at)

    @display(description="Size")
    def size(self, mail: InboxMail) -> str:
        """Return the size in kB."""
        return f"{max(1, round(mail.size_bytes / 1000)):,} kB"

    def _message_url(self, request: HttpRequest, mail: InboxMail) -> str:
        """Return the page of the message it came from, which an app above serves."""
        if not request.user.has_perm("delivery.view_message"):
            return ""
        try:
            return reverse(
                f"{self.admin_site.name}:delivery_message_change", args=[mail.message_id]
            )
        except NoReverseMatch:
            return ""


def first_and_more(addresses: Sequence[str]) -> SafeString:
    """Return the first address and “+ n”."""
    if not addresses:
        return format_html('<span class="ms-muted">{}</span>', "nobody")
    if len(addresses) == 1:
        return format_html('<span class="ms-address">{}</span>', addresses[0])
    return format_html(
        '<span class="ms-address" title="{}">{}</span> <span class="ms-chip">+{}</span>',
        ", ".join(addresses[1:20]),
        addresses[0],
        len(addresses) - 1,
    )


def _bytes_of(part: Any) -> bytes:
    payload = part.get_payload(decode=True)
    if isinstance(payload, bytes):
        return payload
    return part.as_bytes() if part.is_multipart() else b""
