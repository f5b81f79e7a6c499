"""The editor: source beside what it becomes, one language at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.clickjacking import xframe_options_sameorigin

from accounts.admin.console import ConsoleAdmin, show_faults, signed_in
from mailservice.core.errors import ConflictError, DomainError, InvalidInputError
from templates_app.admin.canvas import from_canvas
from templates_app.admin.forms import DraftForm, parsed_data, with_plain_lines
from templates_app.admin.previews import (
    Look,
    Problem,
    framed,
    kept,
    language_name,
    look_at,
    look_at_error,
)
from templates_app.engine import TemplateSyntaxProblem
from templates_app.lookup import locale_of
from templates_app.models import Format, Kind, Template, TemplateVersion
from templates_app.selectors import language_of_default, may_publish
from templates_app.services import (
    DraftText,
    Reader,
    preview_source,
    preview_version,
    save_draft,
    update_template,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from django.http import QueryDict

#: Offered for a new language; any other tag can be typed.
_LANGUAGES = (
    *("ar", "cs", "da", "de", "de-AT", "de-CH", "el", "en-GB", "en-US", "es", "es-MX", "et", "fa"),
    *("fi", "fr", "fr-CA", "he", "hi", "hr", "hu", "id", "it", "ja", "ko", "lt", "lv", "nb", "nl"),
    *("pl", "pt", "pt-BR", "ro", "ru", "sk", "sl", "sr", "sv", "th", "tr", "uk", "vi"),
    *("zh-Hans", "zh-Hant"),
)
_MARKETING = ("marketing", "newsletter", "promotion")
_MAX_LOCALES = 200


class EditorPages(ConsoleAdmin[Template]):
    """The editor and the addresses its preview comes from."""

    def get_urls(self) -> list[URLPattern]:
        """Add the editor's pages."""
        wrap, prefix = self.admin_site.admin_view, self.url_prefix
        frame = xframe_options_sameorigin(wrap(self.frame_view))
        return [
            path("<uuid:template_id>/draft/", wrap(self.draft_view), name=f"{prefix}_draft"),
            path("<uuid:template_id>/preview/", wrap(self.preview_view), name=f"{prefix}_preview"),
            path(
                "<uuid:template_id>/version/<uuid:version_id>/",
                wrap(self.version_view),
                name=f"{prefix}_version",
            ),
            path("preview/<uuid:token>/<slug:colours>/", frame, name=f"{prefix}_frame"),
            *super().get_urls(),
        ]

    def draft_view(self, request: HttpRequest, template_id: UUID) -> HttpResponse:
        """Edit one language of the draft, preview it, save it, go on to publish it."""
        template = self.get_or_404(request, str(template_id))
        if request.method != "POST":
            locale = locale_of(request.GET.get("locale", ""))
            return self._editor(
                request, template, DraftForm(initial=draft_initial(template, locale))
            )
        try:
            posted = _posted(request)
        except TemplateSyntaxProblem as problem:
            return _told_one(problem.message, request.POST.get("unchanged_since", ""))
        return self._posted_draft(request, template, posted)

    def _posted_draft(
        self, request: HttpRequest, template: Template, posted: QueryDict
    ) -> HttpResponse:
        form = DraftForm(posted)
        if "preview" in posted:
            return self._editor(request, template, form)
        self.require_change(request)
        saved = self._save(request, template, form)
        if request.headers.get("X-Requested-With") == "fetch":
            return _told(form, saved)
        if saved is None:
            return self._editor(request, template, form)
        if "publish" in request.POST:
            return self.back_to(self.url("publish", template.pk))
        messages.success(request, "The draft is saved.")
        return self.back_to(f"{self.url('draft', template.pk)}?locale={saved.locale}")

    def preview_view(self, request: HttpRequest, template_id: UUID) -> HttpResponse:
        """Return what the posted text becomes, as a piece of the editor; nothing is written."""
        template = self.get_or_404(request, str(template_id))
        if request.method != "POST":
            return HttpResponse(status=405, headers={"Allow": "POST"})
        try:
            seen = look(request, template, _posted(request))
        except TemplateSyntaxProblem as problem:
            seen = look_at_error(problem)
        response = TemplateResponse(
            request, "console/template_look.html", {"look": seen, **self.frames(seen)}
        )
        response["Cache-Control"] = "no-store, private"
        return response

    def version_view(
        self, request: HttpRequest, template_id: UUID, version_id: UUID
    ) -> HttpResponse:
        """Show the source of one text and what it becomes."""
        template = self.get_or_404(request, str(template_id))
        version = template.versions.filter(pk=version_id).first()
        if version is None:
            raise Http404("There is no such version.")
        try:
            preview = preview_version(version, Reader(locale=version.locale))
            seen = look_at(preview, user_id=signed_in(request).pk)
        except DomainError as error:
            seen = look_at_error(error)
        return self.page(
            request,
            "console/template_version.html",
            title=str(version),
            obj=template,
            version=version,
            language=language_name(version.locale, default=language_of_default(template)),
            look=seen,
            back=self.url("change", template.pk),
            media=self.media,
            **self.frames(seen),
        )

    def frame_view(self, request: HttpRequest, token: UUID, colours: str) -> HttpResponse:
        """Return the HTML of a preview made a moment ago, to its author alone."""
        if not self.has_view_permission(request):
            raise Http404
        html = kept(token, user_id=signed_in(request).pk)
        if html is None:
            html = "<p style='font-family:sans-serif;color:#666'>This preview is gone.</p>"
        return framed(html, is_dark=colours == "dark")

    def frames(self, look: Look) -> dict[str, Any]:
        """Return the addresses of a preview's frames."""
        if look.token is None:
            return {}
        return {
            "light_frame": self.url("frame", look.token, "light"),
            "dark_frame": self.url("frame", look.token, "dark"),
        }

    def _save(
        self, request: HttpRequest, template: Template, form: DraftForm
    ) -> TemplateVersion | None:
        """Save through the services; what is wrong goes beside the fields."""
        if not form.is_valid():
            return None
        text = dict(form.cleaned_data)
        sample, since = text.pop("sample"), text.pop("unchanged_since")
        if since is not None:
            text["unchanged_since"] = since
        try:
            with transaction.atomic():
                version = save_draft(template_id=template.pk, **text)
                if form.has_sample and sample != template.sample:
                    update_template(template_id=template.pk, sample=sample)
        except InvalidInputError as error:
            show_faults(form, error)
        except ConflictError as error:
            form.add_error(None, f"{error.message} Saving again writes over it.")
            form.data = {
                **form.data.dict(),  # type: ignore[attr-defined] # a QueryDict
                "unchanged_since": _saved_at(template, text["locale"]),
            }
        else:
            self.note(request, [template], f"Draft saved ({version.locale or 'default'}).")
            return version
        return None

    def _editor(
        self, request: HttpRequest, template: Template, form: DraftForm
    ) -> TemplateResponse:
        values = form.data if form.is_bound else form.initial
        locale = str(values.get("locale", ""))
        seen = look(request, template, values)
        default = language_of_default(template)
        tabs = language_tabs(template, locale)
        saved = [tag for tag, _, _, is_new in tabs if not is_new]
        return self.page(
            request,
            "console/template_editor.html",
            title="Editor",
            obj=template,
            form=form,
            look=seen,
            locale=locale,
            is_mail=template.kind == Kind.MAIL,
            is_mjml=values.get("format") == Format.MJML,
            can_design=values.get("format") == Format.MJML or not values.get("html"),
            is_marketing=is_for_marketing(template, request.POST if form.is_bound else None),
            can_change=self.has_change_permission(request),
            can_publish=may_publish(signed_in(request), template),
            tabs=tabs,
            can_drop=len(saved) > 1 and locale in saved,
            languages=[(tag, language_name(tag, default=default)) for tag in _LANGUAGES],
            urls={
                name: self.url(name, template.pk)
                for name in ("draft", "preview", "change", "publish", "test", "language", "design")
            },
            media=self.media,
            **self.frames(seen),
        )


def _posted(request: HttpRequest) -> QueryDict:
    """Return what was posted, with the source that the visual editor's canvas stands for.

    Raises `TemplateSyntaxProblem` for a canvas that stands for none.
    """
    posted = request.POST.copy()
    canvas = posted.get("canvas", "")
    posted.pop("canvas", None)
    if canvas:
        opened = with_plain_lines(posted.get("html", ""))
        posted["html"] = from_canvas(with_plain_lines(canvas), opened)
    return posted


def _told_one(message: str, since: str) -> JsonResponse:
    """Answer the visual editor's script, which alone posts a canvas."""
    faults = [{"field": "", "message": message}]
    return JsonResponse({"faults": faults, "unchanged_since": since}, status=422)


def _told(form: DraftForm, saved: TemplateVersion | None) -> JsonResponse:
    """Answer the editor's script."""
    if saved is not None:
        since = saved.updated_at.isoformat()
        return JsonResponse({"unchanged_since": since, "locale": saved.locale})
    faults = [
        {"field": "" if field == "__all__" else field, "message": str(fault)}
        for field, found in form.errors.items()
        for fault in found
    ]
    return JsonResponse(
        {"faults": faults, "unchanged_since": form.data.get("unchanged_since", "")}, status=422
    )


def look(request: HttpRequest, template: Template, values: Mapping[str, Any]) -> Look:
    """Render a text as it stands in the form, with the sample data beside it."""
    sample = values.get("sample", template.sample)
    try:
        context = sample if isinstance(sample, dict) else parsed_data(str(sample))
    except ValidationError as error:
        return Look(problems=(Problem("sample", error.messages[0]),))
    locale = str(values.get("locale", ""))
    text: DraftText = {
        "locale": locale,
        "subject": str(values.get("subject", "")),
        "preheader": str(values.get("preheader", "")),
        "html": with_plain_lines(str(values.get("html", ""))),
        "text": with_plain_lines(str(values.get("text", ""))),
        "format": str(values.get("format", "")),
    }
    is_marketing = is_for_marketing(template, request.POST if request.method == "POST" else None)
    reader = Reader(context=context, locale=locale, is_marketing=is_marketing)
    try:
        return look_at(preview_source(template, text, reader), user_id=signed_in(request).pk)
    except DomainError as error:
        return look_at_error(error)


def is_for_marketing(template: Template, posted: Mapping[str, str] | None) -> bool:
    """Tell whether a way to unsubscribe is asked for: as ticked, at first by the category."""
    if posted is not None and "knows_marketing" in posted:
        return "marketing" in posted
    return any(word in template.category.lower() for word in _MARKETING)


def _newest(template: Template, locale: str) -> TemplateVersion | None:
    """Return the text of a language in the newest version."""
    newest = template.versions.order_by("-number").first()
    if newest is None:
        return None
    return template.versions.filter(number=newest.number, locale=locale).first()


def _saved_at(template: Template, locale: str) -> str:
    newest = _newest(template, locale)
    return newest.updated_at.isoformat() if newest else ""


def draft_initial(template: Template, locale: str) -> dict[str, Any]:
    """Return what to start from: the newest text, for a new language that of the default."""
    found = _newest(template, locale)
    start = found or _newest(template, "") or template.versions.order_by("-number").first()
    initial: dict[str, Any] = {"locale": locale, "sample": template.sample}
    if start is not None:
        for name in ("subject", "preheader", "html", "text", "format"):
            initial[name] = getattr(start, name)
    if found is not None:
        initial["unchanged_since"] = found.updated_at.isoformat()
    return initial


def language_tabs(template: Template, locale: str) -> list[tuple[str, str, bool, bool]]:
    """Return tag, name, whether it is shown, and whether it is yet to be saved."""
    newest = template.versions.order_by("-number").first()
    present: list[str] = []
    if newest is not None:
        rows = template.versions.filter(number=newest.number).order_by("locale")
        present = list(rows.values_list("locale", flat=True)[:_MAX_LOCALES])
    tags = list(present) or [""]
    if locale not in tags:
        tags.append(locale)
    default = language_of_default(template)
    return [
        (tag, language_name(tag, default=default), tag == locale, tag not in present)
        for tag in tags
    ]
