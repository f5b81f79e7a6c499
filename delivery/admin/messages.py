"""Messages: a list that stays fast, a page that tells everything, and four operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from unfold.decorators import display

from accounts.admin.console import Confirmation, actor_of, ids_of
from accounts.admin.keyset import KeysetAdmin
from accounts.admin.sandbox import download, sandboxed, sanitised, source_text
from delivery.admin import rendering
from delivery.admin.actions import OPERATIONS, Operation, forecast, report
from delivery.admin.filters import (
    OPEN,
    CreatedFilter,
    LaneFilter,
    PriorityFilter,
    ProviderFilter,
    StatusFilter,
    TestFilter,
    TypeFilter,
)
from delivery.admin.message_page import page_context, whole_message
from delivery.admin.wording import TONES
from delivery.blobs import read_blob
from delivery.models import Attachment, Message
from delivery.states import Status
from mailservice.core.addresses import normalized
from mailservice.core.errors import DomainError
from mailservice.core.presentation import moment
from providers.admin.inbox import first_and_more

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet

#: Everything the list shows, and nothing else of rows that may be large.
_COLUMNS = (
    "id",
    "status",
    "is_test",
    "recipients",
    "email_type",
    "lane",
    "priority",
    "provider__name",
    "attempt_count",
    "error",
    "created_at",
    "content__subject",
    "content__is_template",
    "content__locale",
)
_TABS = (
    ("All", ""),
    ("Not finished", OPEN),
    ("Queued", Status.QUEUED),
    ("Retrying", Status.RETRY),
    ("Held", Status.HELD),
    ("Unknown", Status.UNKNOWN),
    ("Sent", Status.SENT),
    ("Bounced", Status.BOUNCED),
    ("Failed", Status.FAILED),
)


@admin.register(Message)
class MessageAdmin(KeysetAdmin[Message]):
    """List, read and operate on messages; nobody adds, edits or deletes them here."""

    list_display = ("when", "state", "to", "subject", "kind", "via", "tries")
    list_display_links = ("subject",)
    list_filter = (
        StatusFilter,
        CreatedFilter,
        TypeFilter,
        LaneFilter,
        PriorityFilter,
        ProviderFilter,
        TestFilter,
    )
    list_filter_submit = True
    search_fields = ("id",)
    search_help_text = "Recipient address or message id, whole"
    list_before_template = "console/message_tabs.html"
    actions = ("hold", "release", "retry", "cancel")

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of one message."""
        wrap = self.admin_site.admin_view
        prefix = self.url_prefix
        return [
            path("<uuid:message_id>/html/", wrap(self.html_view), name=f"{prefix}_html"),
            path("<uuid:message_id>/source/", wrap(self.source_view), name=f"{prefix}_source"),
            path("<uuid:message_id>/eml/", wrap(self.eml_view), name=f"{prefix}_eml"),
            path(
                "<uuid:message_id>/file/<uuid:file_id>/",
                wrap(self.file_view),
                name=f"{prefix}_file",
            ),
            *(
                path(
                    f"<uuid:message_id>/{name}/",
                    wrap(self.operation_view),
                    {"name": name},
                    name=f"{prefix}_{name}",
                )
                for name in OPERATIONS
            ),
            *super().get_urls(),
        ]

    # --- who may ----------------------------------------------------------------------------------

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Messages come through the API."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Messages are the record of what happened."""
        return False

    # --- list -------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        """Read only what the list shows."""
        found: QuerySet[Message] = super().get_queryset(request)
        return found.select_related("content", "provider").only(*_COLUMNS)

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[Message], search_term: str
    ) -> tuple[QuerySet[Message], bool]:
        """Find by message id or by a recipient's whole address, both through an index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        ids = ids_of([term])
        if ids:
            return queryset.filter(pk__in=ids), False
        return queryset.for_recipient(normalized(term)), False  # type: ignore[attr-defined]  # our own queryset

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list with the states as tabs above it."""
        chosen = request.GET.get("status", "")
        tabs = []
        for label, value in _TABS:
            query = request.GET.copy()
            for name in ("before", "after", "status"):
                query.pop(name, None)
            if value:
                query["status"] = str(value)
            tabs.append((label, f"?{query.urlencode()}", chosen == str(value)))
        return super().changelist_view(request, {"status_tabs": tabs, **(extra_context or {})})

    @display(description="When")
    def when(self, message: Message) -> SafeString:
        """Return when it was accepted."""
        return moment(message.created_at)

    @display(description="Status", label=dict(TONES))
    def state(self, message: Message) -> tuple[str, str]:
        """Return where it is."""
        return message.status, message.get_status_display()

    @display(description="To")
    def to(self, message: Message) -> SafeString:
        """Return the first recipient and how many more."""
        return first_and_more([entry["a"] for entry in message.recipients])

    @display(description="Subject")
    def subject(self, message: Message) -> SafeString:
        """Return the subject (a template's source as it is), and why it is not sent."""
        chips = [("test", message.is_test), ("template", message.content.is_template)]
        marks = [
            format_html(' <span class="ms-chip">{}</span>', name) for name, is_on in chips if is_on
        ]
        subject = format_html(
            '<span class="ms-subject" title="{0}">{0}</span>',
            message.content.subject or "(no subject)",
        )
        error = (
            format_html('<span class="ms-error" title="{0}">{0}</span>', message.error)
            if message.error
            else ""
        )
        return mark_safe(subject + "".join(marks) + error)  # noqa: S308 - each part is escaped above

    @display(description="Type")
    def kind(self, message: Message) -> SafeString:
        """Return type and priority."""
        return format_html(
            '{} <span class="ms-chip" title="Priority {} of 5">P{}</span>',
            message.email_type_id,
            message.priority,
            message.priority,
        )

    @display(description="Provider")
    def via(self, message: Message) -> str:
        """Return the account it last went through."""
        return message.provider.name if message.provider else "-"

    @display(description="Tries")
    def tries(self, message: Message) -> int:
        """Return how often it was tried."""
        return message.attempt_count

    # --- one message ------------------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show everything about one message."""
        del form_url, extra_context
        message = self._whole(request, object_id)
        return self.page(
            request,
            "console/message.html",
            title=f"Message {message.pk}",
            obj=message,
            **page_context(self, request, message),
        )

    def html_view(self, request: HttpRequest, message_id: UUID) -> HttpResponse:
        """Return the HTML part for the frame."""
        message = self._whole(request, message_id)
        try:
            html = rendering.preview(message).html
        except DomainError as error:
            return sandboxed(format_html("<p>{}</p>", error.message))
        return sandboxed(sanitised(html, rendering.inline_images(message)))

    def source_view(self, request: HttpRequest, message_id: UUID) -> HttpResponse:
        """Return the raw mail to be read."""
        return source_text(self._raw(self._whole(request, message_id)))

    def eml_view(self, request: HttpRequest, message_id: UUID) -> HttpResponse:
        """Return the raw mail to be saved."""
        message = self._whole(request, message_id)
        return download(
            self._raw(message), filename=f"{message.pk}.eml", content_type="message/rfc822"
        )

    def file_view(self, request: HttpRequest, message_id: UUID, file_id: UUID) -> HttpResponse:
        """Return an attachment to be saved."""
        message = self._whole(request, message_id)
        item = (
            Attachment.objects.select_related("blob")
            .filter(pk=file_id, content_id=message.content_id)
            .first()
        )
        if item is None:
            raise Http404("There is no such attachment.")
        try:
            data = read_blob(item.blob.stored_as)
        except FileNotFoundError:
            raise Http404("The storage has lost this file.") from None
        return download(data, filename=item.filename, content_type="application/octet-stream")

    def _whole(self, request: HttpRequest, message_id: object) -> Message:
        ids = ids_of([str(message_id)])
        message = whole_message(ids[0]) if ids else None
        if message is None:
            raise Http404("There is no such message.")
        if not self.has_view_permission(request, message):
            raise Http404("There is no such message.")
        return message

    @staticmethod
    def _raw(message: Message) -> bytes:
        try:
            return rendering.raw(message)
        except DomainError as error:
            return f"This mail cannot be composed: {error.message}\r\n".encode()
        except FileNotFoundError:
            raise Http404("The storage has lost an attachment of this mail.") from None

    # --- operations -------------------------------------------------------------------------------

    def operation_view(self, request: HttpRequest, message_id: UUID, name: str) -> HttpResponse:
        """Ask, then do it to one message."""
        self.require_change(request)
        message = self._whole(request, message_id)
        operation = OPERATIONS[name]
        back = self.url("change", message.pk)
        if request.method == "POST":
            self._operate(request, operation, [message.pk])
            return self.back_to(back)
        return self.confirm(
            request, self._confirmation(operation, [message.pk], back=back), obj=message
        )

    @admin.action(description="Hold", permissions=["change"])
    def hold(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        """Hold the chosen messages."""
        return self._bulk(request, queryset, OPERATIONS["hold"])

    @admin.action(description="Release", permissions=["change"])
    def release(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        """Release the chosen messages."""
        return self._bulk(request, queryset, OPERATIONS["release"])

    @admin.action(description="Retry", permissions=["change"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        """Retry the chosen messages."""
        return self._bulk(request, queryset, OPERATIONS["retry"])

    @admin.action(description="Cancel", permissions=["change"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        """Cancel the chosen messages."""
        return self._bulk(request, queryset, OPERATIONS["cancel"])

    def _bulk(
        self, request: HttpRequest, queryset: QuerySet[Message], operation: Operation
    ) -> HttpResponse | None:
        """Ask on the first POST, do it on the second, which the page of the first one sends."""
        del queryset  # filtered by what the list showed; the choice itself is what counts
        ids = ids_of(request.POST.getlist(ACTION_CHECKBOX_NAME))
        if "confirmed" in request.POST:
            self._operate(request, operation, ids)
            return None
        return self.confirm(
            request, self._confirmation(operation, ids, back=request.get_full_path(), is_bulk=True)
        )

    def _confirmation(
        self, operation: Operation, ids: list[UUID], *, back: str, is_bulk: bool = False
    ) -> Confirmation:
        shown = Message.objects.select_related("content").only(
            "recipients", "status", "content__subject"
        )
        items = [
            f"{message.get_status_display()}: {message.content.subject or '(no subject)'} "
            f"→ {message.recipients[0]['a'] if message.recipients else 'nobody'}"
            for message in shown.filter(pk__in=ids[:10])
        ]
        hidden = [("confirmed", "1")]
        if is_bulk:
            hidden += [("action", operation.name), ("index", "0")]
            hidden += [(ACTION_CHECKBOX_NAME, str(pk)) for pk in ids]
        return Confirmation(
            question=operation.question(len(ids)),
            effect=forecast(operation, ids),
            button=f"{operation.label} now",
            back=back,
            is_dangerous=operation.is_dangerous,
            items=items,
            more_count=len(ids) - len(items),
            hidden=hidden,
        )

    def _operate(self, request: HttpRequest, operation: Operation, ids: list[UUID]) -> None:
        outcome = operation.service(ids=ids, actor=actor_of(request))
        self.note(
            request, [Message(pk=pk) for pk in outcome.changed], f"{operation.done.capitalize()}."
        )
        level = messages.SUCCESS if not outcome.refused else messages.WARNING
        messages.add_message(request, level, report(operation, outcome))
