"""The visual editor: the same draft as blocks that are dragged about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path

from accounts.admin.console import signed_in
from templates_app.admin.canvas import difference, to_canvas
from templates_app.admin.editor import (
    EditorPages,
    draft_initial,
    is_for_marketing,
    language_tabs,
    look,
)
from templates_app.admin.forms import DraftForm, with_plain_lines
from templates_app.admin.previews import light_rules
from templates_app.engine import TemplateSyntaxProblem
from templates_app.lookup import locale_of
from templates_app.models import Format, Kind
from templates_app.selectors import may_publish

if TYPE_CHECKING:
    from uuid import UUID

    from templates_app.admin.canvas import Canvas
    from templates_app.models import Template

#: Stricter than the console's: what a draft says stands in a frame of this very page. Pictures of
#: mails come from anywhere.
_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: https:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'self'"
)
_BLANK = """<mjml>
  <mj-head>
    <mj-attributes>
      <mj-all font-family="-apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif" />
      <mj-text font-size="16px" line-height="1.6" color="#1f2937" />
      <mj-button background-color="#0f766e" border-radius="8px" font-size="16px" />
      <mj-section background-color="#ffffff" />
    </mj-attributes>
  </mj-head>
  <mj-body background-color="#f1f5f4">
    <mj-section>
      <mj-column>
        <mj-text>Write here.</mj-text>
      </mj-column>
    </mj-section>
  </mj-body>
</mjml>
"""
_NOT_MJML = "This text is written in HTML. The visual editor builds mails in MJML."
_TO_BEGIN = "A new template made from a design, or a text switched to MJML, opens there."
_TO_MEND = "The source editor shows everything. Conditions and loops may stand around whole blocks."


class DesignPages(EditorPages):
    """The visual editor beside the source editor; both save and preview through the same pages."""

    def get_urls(self) -> list[URLPattern]:
        """Add the visual editor's pages."""
        wrap, prefix = self.admin_site.admin_view, self.url_prefix
        return [
            path("<uuid:template_id>/design/", wrap(self.design_view), name=f"{prefix}_design"),
            path(
                "<uuid:template_id>/design/check/",
                wrap(self.design_check_view),
                name=f"{prefix}_design_check",
            ),
            *super().get_urls(),
        ]

    def design_view(self, request: HttpRequest, template_id: UUID) -> HttpResponse:
        """Show one language of the draft as blocks, or say why that cannot be."""
        template = self.get_or_404(request, str(template_id))
        locale = locale_of(request.GET.get("locale", ""))
        initial = draft_initial(template, locale)
        if not initial.get("html"):
            initial |= {"html": _BLANK, "format": Format.MJML.value}
        if initial["format"] != Format.MJML:
            return self._refused(request, template, _NOT_MJML, _TO_BEGIN)
        try:
            canvas = to_canvas(with_plain_lines(initial["html"]))
        except TemplateSyntaxProblem as problem:
            return self._refused(request, template, problem.message, _TO_MEND)
        return self._design(request, template, initial, canvas)

    def design_check_view(self, request: HttpRequest, template_id: UUID) -> HttpResponse:
        """Tell what the browser lost of a mail that it has just opened."""
        self.get_or_404(request, str(template_id))
        if request.method != "POST":
            return HttpResponse(status=405, headers={"Allow": "POST"})
        try:
            sent = to_canvas(with_plain_lines(request.POST.get("html", ""))).markup
            lost = difference(sent, with_plain_lines(request.POST.get("canvas", "")))
        except TemplateSyntaxProblem as problem:
            lost = problem.message
        return JsonResponse({"lost": lost})

    def _design(
        self, request: HttpRequest, template: Template, initial: dict[str, Any], canvas: Canvas
    ) -> HttpResponse:
        seen = look(request, template, initial)
        locale = initial["locale"]
        response = self.page(
            request,
            "console/template_design.html",
            title="Design",
            obj=template,
            form=DraftForm(initial=initial),
            source=initial["html"],
            sample=json.dumps(initial["sample"], ensure_ascii=False, indent=2),
            canvas={**_for_script(canvas), "sample": initial["sample"]},
            look=seen,
            locale=locale,
            is_mail=template.kind == Kind.MAIL,
            is_marketing=is_for_marketing(template, None),
            can_change=self.has_change_permission(request),
            can_publish=may_publish(signed_in(request), template),
            tabs=language_tabs(template, locale),
            urls={
                name: self.url(name, template.pk)
                for name in ("draft", "preview", "change", "publish", "design_check")
            },
            **self.frames(seen),
        )
        response["Content-Security-Policy"] = _POLICY
        return response

    def _refused(
        self, request: HttpRequest, template: Template, reason: str, advice: str
    ) -> HttpResponse:
        locale = request.GET.get("locale", "")
        return self.page(
            request,
            "console/template_design_refused.html",
            title="Design",
            obj=template,
            reason=reason,
            help=advice,
            back=self.url("change", template.pk),
            source_url=f"{self.url('draft', template.pk)}?locale={locale}",
            media=self.media,
        )


def _for_script(canvas: Canvas) -> dict[str, Any]:
    """Return what the editor's script reads."""
    return {
        "markup": canvas.markup,
        "kept": [{"label": one.label, "shown": one.shown} for one in canvas.kept],
        "attributes": canvas.attributes,
        "css": light_rules(canvas.css),
    }
