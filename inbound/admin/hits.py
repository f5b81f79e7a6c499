"""Opens and clicks: the list of all, and the card on a message's page."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.decorators import display

from accounts.admin.console import Fact, ids_of
from accounts.admin.keyset import KeysetAdmin
from delivery.admin.cards import Card
from delivery.email_types import email_types
from inbound.models import Hit, HitKind, HitVerdict
from inbound.verdicts import HUMAN, REASONS
from mailservice.core.presentation import moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    from delivery.models import Message

_TONES = {
    HitVerdict.PERSON: "success",
    HitVerdict.PROXY: "success",
    HitVerdict.SCANNER: "",
    HitVerdict.PREFETCH: "",
    "": "info",
}
#: On a message's page: rows shown, and rows counted.
_SHOWN, _COUNTED = 50, 1_000
_URL_CHARS, _AGENT_CHARS = 80, 130


@admin.register(Hit)
class HitAdmin(KeysetAdmin[Hit]):
    """Read what was asked for; nothing is changed here."""

    list_display = ("what", "taken_for", "why", "leads_to", "program", "received", "message")
    list_display_links = ("what",)
    list_filter = ("kind", "verdict")
    list_filter_submit = True
    search_fields = ("id",)
    search_help_text = "Message id, whole"
    #: What an empty list says.
    empty_title = "Nothing was opened or clicked"
    empty_text = "Opens and clicks of tracked mail appear here and are kept for a while."
    empty_icon = "ads_click"

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Allow none: hits come from outside."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Allow none: they are as they came."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Allow none: they are forgotten by themselves."""
        return False

    def get_search_results(
        self, _request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Find by message id, through an index."""
        term = search_term.strip()
        return (queryset.filter(message_id__in=ids_of([term])) if term else queryset), False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one hit."""
        del form_url, extra_context
        row = self.get_or_404(request, object_id)
        facts = [
            Fact("What", row.get_kind_display()),
            Fact("Leads to", row.url or None, is_code=True),
            Fact("Taken for", row.get_verdict_display() or "Not judged yet", hint=_words(row)),
            Fact("Judged", row.judged_at),
            Fact("Time", row.at),
            Fact("Method", row.method, is_code=True),
            Fact("Program", row.user_agent or "(none)", is_code=True),
            Fact("Address", row.address, is_code=True),
            Fact("Purpose", row.purpose or None, is_code=True),
            Fact("Message", row.message_id, href=_message_url(request, row), is_code=True),
        ]
        return self.page(
            request,
            "inbound/admin/hit.html",
            title=str(row),
            obj=row,
            facts=[fact for fact in facts if fact.value is not None],
        )

    # --- columns ----------------------------------------------------------------------------------

    @display(description="What")
    def what(self, row: Hit) -> str:
        """Return what was asked for."""
        return row.get_kind_display()

    @display(description="Taken for", label=_TONES)
    def taken_for(self, row: Hit) -> tuple[str, str]:
        """Return who it was."""
        return row.verdict, row.get_verdict_display() or "Not judged yet"

    @display(description="Because")
    def why(self, row: Hit) -> str:
        """Return the reason in words."""
        return _words(row)

    @display(description="Leads to")
    def leads_to(self, row: Hit) -> str:
        """Return the link."""
        return Truncator(row.url).chars(_URL_CHARS)

    @display(description="Program")
    def program(self, row: Hit) -> str:
        """Return what asked."""
        return Truncator(row.user_agent).chars(_AGENT_CHARS)

    @display(description="Time")
    def received(self, row: Hit) -> SafeString:
        """Return when."""
        return moment(row.at)

    @display(description="Message")
    def message(self, row: Hit) -> SafeString:
        """Return the way to the message's page; it may be purged."""
        url = reverse("admin:delivery_message_change", args=[row.message_id])
        return format_html('<a class="ms-link" href="{}">{}…</a>', url, str(row.message_id)[:13])


def hits_card(request: HttpRequest, message: Message) -> Card | None:
    """Return the card of a message that is tracked or was asked for."""
    if not request.user.has_perm("inbound.view_hit"):
        return None
    found = Hit.objects.filter(message_id=message.pk).order_by("-pk")
    counted = list(found.values_list("kind", "verdict")[:_COUNTED])
    if not counted and not _is_tracked(message):
        return None
    values = {
        "counts": _counts(counted),
        "is_more": len(counted) == _COUNTED,
        "counted": _COUNTED,
        "shown": _SHOWN,
        "rows": [_row(hit) for hit in found[:_SHOWN]],
        "list_url": f"{reverse('admin:inbound_hit_changelist')}?q={message.pk}",
    }
    return Card("inbound/admin/hits_card.html", values)


def _is_tracked(message: Message) -> bool:
    content, kind = message.content, email_types()[message.email_type_id]
    opens = kind.track_opens if content.track_opens is None else content.track_opens
    clicks = kind.track_clicks if content.track_clicks is None else content.track_clicks
    return bool(content.html) and (opens or clicks)


def _counts(rows: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return by kind how many were people, machines, and are not judged."""
    who = Counter(
        (kind, ("people" if verdict in HUMAN else "machines") if verdict else "waiting")
        for kind, verdict in rows
    )
    return [
        {
            "label": label,
            **{name: who[kind.value, name] for name in ("people", "machines", "waiting")},
        }
        for kind, label in ((HitKind.OPEN, "Opens"), (HitKind.CLICK, "Clicks"))
    ]


def _row(hit: Hit) -> dict[str, Any]:
    return {
        "at": hit.at,
        "what": hit.get_kind_display(),
        "url": Truncator(hit.url).chars(_URL_CHARS),
        "verdict": hit.get_verdict_display() or "Not judged yet",
        "tone": _TONES.get(hit.verdict, ""),
        "reason": _words(hit),
        "program": Truncator(hit.user_agent).chars(_AGENT_CHARS),
        "address": hit.address or "",
    }


def _words(hit: Hit) -> str:
    return REASONS.get(hit.reason, hit.reason)


def _message_url(request: HttpRequest, hit: Hit) -> str:
    if not request.user.has_perm("delivery.view_message"):
        return ""
    return reverse("admin:delivery_message_change", args=[hit.message_id])
