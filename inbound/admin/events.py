"""Posts of providers: what became of them, what they said, once more."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from unfold.decorators import display

from accounts.admin.console import Fact
from inbound.admin.kept import KeptAdmin
from inbound.models import RawEvent, RawStatus
from inbound.services.intake import try_again
from mailservice.core.presentation import moment

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

_TONES = {
    RawStatus.NEW: "info",
    RawStatus.DONE: "success",
    RawStatus.UNMATCHED: "warning",
    RawStatus.FAILED: "danger",
}
#: Of a body so much is shown.
_SHOWN_CHARS = 50_000


@admin.register(RawEvent)
class RawEventAdmin(KeptAdmin[RawEvent]):
    """List and read posts; have them worked off again."""

    list_display = ("state", "account", "received", "attempts", "error")
    list_display_links = ("state",)
    list_filter = ("status", "source")
    list_filter_submit = True
    list_select_related = ("source__provider",)
    noun = "post"
    try_again = staticmethod(try_again)
    #: What an empty list says.
    empty_title = "Nothing was told"
    empty_text = "What providers post to an event address appears here and is kept for a while."
    empty_icon = "forum"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave bodies and secrets where they are."""
        hidden = ("source__token", "source__secrets", "source__provider__secrets")
        return super().get_queryset(request).defer("body", "headers", *hidden)

    # --- pages ------------------------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one post."""
        del form_url, extra_context
        row = self.get_or_404(request, object_id)
        return self.page(
            request,
            "inbound/admin/raw_event.html",
            title=f"Event of {row.source}",
            obj=row,
            facts=[
                Fact("State", row.get_status_display(), hint=row.error),
                Fact("Account", row.source.provider.name),
                Fact("Received", row.received_at),
                Fact("Attempts", row.attempts),
                Fact("Content type", row.content_type, is_code=True),
            ],
            headers=sorted(row.headers.items()),
            body=_readable(bytes(row.body)),
            again_url=self.again_url(request, row) if row.status != RawStatus.NEW else "",
        )

    # --- columns ----------------------------------------------------------------------------------

    @display(description="State", label=_TONES)
    def state(self, row: RawEvent) -> tuple[str, str]:
        """Return what became of it."""
        return row.status, row.get_status_display()

    @display(description="Account")
    def account(self, row: RawEvent) -> str:
        """Return whose provider told it."""
        return row.source.provider.name

    @display(description="Received")
    def received(self, row: RawEvent) -> SafeString:
        """Return when."""
        return moment(row.received_at)


def _readable(body: bytes) -> str:
    """Return a body for people: JSON with indents, anything else as it is."""
    text = body.decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):  # no JSON: shown as it came
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text[:_SHOWN_CHARS]
