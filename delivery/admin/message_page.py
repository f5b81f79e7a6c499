"""What the page of one message shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Sum
from django.urls import reverse

from accounts.admin.console import Fact, Link
from delivery.admin import rendering
from delivery.admin.actions import OPERATIONS
from delivery.admin.cards import cards_for
from delivery.admin.timeline import MAX_ATTEMPTS, MAX_EVENTS, timeline
from delivery.admin.wording import REASONS, TONES
from delivery.models import Message
from delivery.selectors import decisions_of
from delivery.states import FINISHED, Lane, Status
from mailservice.core.addresses import Address, format_address
from mailservice.core.errors import DomainError
from providers.amounts import amount_text
from providers.models import InboxMail, Provider

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from django.http import HttpRequest

    from delivery.admin.messages import MessageAdmin

_KINDS = {"to": "To", "cc": "Cc", "bcc": "Bcc"}


def whole_message(message_id: UUID) -> Message | None:
    """Return a message with its content and all it refers to, credentials left out."""
    return (
        Message.objects.select_related(
            "content__template_version__template", "provider", "pinned_provider", "api_key", "owner"
        )
        .prefetch_related("content__attachments__blob")
        .defer("provider__secrets", "pinned_provider__secrets")
        .filter(pk=message_id)
        .first()
    )


def page_context(
    model_admin: MessageAdmin, request: HttpRequest, message: Message
) -> dict[str, Any]:
    """Return the context of the page's template."""
    attempts = list(
        message.attempts.select_related("provider")
        .defer("provider__secrets", "provider__settings")
        .order_by("-id")[:MAX_ATTEMPTS]
    )
    events = list(message.events.order_by("-id")[:MAX_EVENTS])
    decisions = decisions_of(attempts, events)
    subject, text, has_html, problem = _preview(message)
    pages = ("html", "source", "eml")
    return {
        "message_row": message,
        "subject": subject,
        "tone": TONES.get(message.status, ""),
        "sender": format_address(Address(message.content.from_email, message.content.from_name)),
        "facts": facts(request, message, cost_nanos=_cost_of(message)),
        "recipients": recipients(message),
        "entries": timeline(message, attempts, events, decisions),
        "text": text,
        "has_html": has_html,
        "problem": problem,
        "urls": {name: model_admin.url(name, message.pk) for name in pages},
        "attachments": [
            (item, model_admin.url("file", message.pk, item.pk))
            for item in message.content.attachments.all()
        ],
        "console_links": _links(model_admin, request, message),
        "inbox_url": _inbox_url(request, message),
        "cards": cards_for(request, message),
        "is_moving": message.status not in FINISHED and message.status != Status.HELD,
    }


def _cost_of(message: Message) -> int:
    """Return what all attempts cost together, in nanos."""
    return message.attempts.aggregate(sum=Sum("cost_nanos"))["sum"] or 0


def facts(request: HttpRequest, message: Message, *, cost_nanos: int = 0) -> list[Fact]:
    """Return what is worth knowing, without what is not set."""
    found = [
        Fact("Type", message.email_type_id),
        Fact("Lane", Lane(message.lane).label),
        Fact("Priority", f"{message.priority} of 5"),
        Fact("Provider", message.provider, href=_provider_url(request, message.provider)),
        Fact(
            "Pinned to",
            message.pinned_provider,
            href=_provider_url(request, message.pinned_provider),
            hint="No other provider may take it.",
        ),
        Fact("Accepted", message.created_at),
        Fact("Due", message.due_at if message.status not in FINISHED else None),
        Fact("Sent", message.sent_at),
        Fact("Expires", message.expires_at),
        Fact("Attempts", message.attempt_count),
        Fact("Cost", amount_text(cost_nanos) if cost_nanos else None),
        Fact("API key", message.api_key.name if message.api_key else None),
        Fact("Owner", message.owner.email),
        Fact("Template", message.content.template_version),
        Fact("Batch", message.group_id, is_code=True),
        Fact(
            "Sequence",
            message.sequence_key,
            hint="Waits for an earlier message of the sequence." if message.awaits_turn else "",
        ),
        Fact("Tags", ", ".join(message.tags or ())),
        Fact("Id", message.pk, is_code=True),
    ]
    return [fact for fact in found if fact.value not in (None, "")]


def recipients(message: Message) -> Sequence[dict[str, str]]:
    """Return the envelope, each with its own state where that differs."""
    rows = []
    for entry in message.recipients:
        state = entry.get("s", message.status)
        rows.append(
            {
                "kind": _KINDS.get(entry["k"], entry["k"]),
                "address": entry["a"],
                "name": entry.get("n", ""),
                "state": Status(state).label if state in Status.values else state,
                "tone": TONES.get(state, ""),
                "reason": REASONS.get(entry.get("r", ""), entry.get("r", "")),
            }
        )
    return rows


def _preview(message: Message) -> tuple[str, str, bool, str]:
    """Return subject, text part, whether there is HTML, and what keeps it from being shown."""
    try:
        shown = rendering.preview(message)
    except DomainError as error:
        return message.content.subject, "", False, error.message
    return shown.subject, shown.text, bool(shown.html), ""


def _links(model_admin: MessageAdmin, request: HttpRequest, message: Message) -> list[Link]:
    if not model_admin.has_change_permission(request, message):
        return []
    status = Status(message.status)
    return [
        Link(operation.label, model_admin.url(name, message.pk), operation.icon)
        for name, operation in OPERATIONS.items()
        if status in operation.allowed
    ]


def _provider_url(request: HttpRequest, provider: Provider | None) -> str:
    if provider is None or not request.user.has_perm("providers.view_provider"):
        return ""
    return reverse("admin:providers_provider_change", args=[provider.pk])


def _inbox_url(request: HttpRequest, message: Message) -> str:
    """Return where the mail lies in the local inbox, if it does."""
    if message.provider_id is None or not request.user.has_perm("providers.view_inboxmail"):
        return ""
    mail_id = (
        InboxMail.objects.filter(provider_id=message.provider_id, message_id=message.pk)
        .values_list("pk", flat=True)
        .first()
    )
    return reverse("admin:providers_inboxmail_change", args=[mail_id]) if mail_id else ""
