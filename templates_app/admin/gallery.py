"""How a new template begins: a gallery of mails that work everywhere, and blank sheets."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.clickjacking import xframe_options_sameorigin

from accounts.admin.console import ConsoleAdmin
from templates_app.admin.previews import framed
from templates_app.models import Kind, Template
from templates_app.starters import all_starters, rendered, starter

_BLANK = (
    (Kind.MAIL, "draft", "Blank mail", "An empty sheet, to fill with blocks or in the source."),
    (Kind.LAYOUT, "web_asset", "Layout", "The frame around mails: head, foot, colours."),
    (Kind.PARTIAL, "extension", "Partial", "A piece that mails and layouts share."),
)


class GalleryPages(ConsoleAdmin[Template]):
    """The page that asks what a new template begins with."""

    def get_urls(self) -> list[URLPattern]:
        """Add the starters' previews."""
        wrap = self.admin_site.admin_view
        frame = xframe_options_sameorigin(wrap(self.starter_view))
        return [
            path("starter/<slug:name>/", frame, name=f"{self.url_prefix}_starter"),
            *super().get_urls(),
        ]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask what to begin with first."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        is_chosen = "starter" in request.GET or "kind" in request.GET
        if request.method == "GET" and not is_chosen:
            return self.page(
                request,
                "console/template_gallery.html",
                title="New template",
                starters=[(one, self.url("starter", one.name)) for one in all_starters()],
                media=self.media,
                blank=[(kind.value, *words) for kind, *words in _BLANK],
            )
        response: HttpResponse = super().add_view(request, form_url, extra_context)
        return response

    def starter_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Return a starter filled with its sample data, for the frame."""
        if not (self.has_add_permission(request) or self.has_view_permission(request)):
            raise PermissionDenied
        chosen = starter(name)
        if chosen is None:
            raise Http404("There is no such starter.")
        response = framed(rendered(chosen).html)
        response["Cache-Control"] = "private, max-age=300"
        return response
