"""Versions: their history, how they differ, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path

from accounts.admin.console import Confirmation, ConsoleAdmin, signed_in
from mailservice.core.errors import DomainError, NotFoundError
from mailservice.core.mail import ServiceMail, Terms
from templates_app.admin.diffs import ShownDiff, asked_versions, shown_diffs
from templates_app.admin.effects import concerned, when_dropped
from templates_app.admin.forms import NoteForm, PublishForm, TestForm
from templates_app.admin.previews import language_name
from templates_app.lookup import locale_of
from templates_app.models import Kind, Template, TemplateVersion
from templates_app.selectors import (
    dependents,
    history,
    language_of_default,
    may_publish,
    outdated,
)
from templates_app.services import (
    Reader,
    catch_up,
    discard_draft,
    preview_version,
    publish,
    remove_draft_locale,
    republish,
    roll_back,
)

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import QueryDict

    from accounts.models import User

_SHOWN_VERSIONS = 100


class VersionPages(ConsoleAdmin[Template]):
    """The pages of versions and the questions before anything happens to them."""

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of versions."""
        pages = {
            "publish": self.publish_view,
            "republish": self.republish_view,
            "discard": self.discard_view,
            "language": self.language_view,
            "test": self.test_view,
            "diff": self.diff_view,
        }
        wrap, prefix = self.admin_site.admin_view, self.url_prefix
        one = "<uuid:template_id>/"
        return [
            *(path(f"{one}{name}/", wrap(view), name=f"{prefix}_{name}")
              for name, view in pages.items()),
            path(f"{one}rollback/<int:number>/", wrap(self.rollback_view),
                 name=f"{prefix}_rollback"),
            *super().get_urls(),
        ]  # fmt: skip

    # --- reading ----------------------------------------------------------------------------------

    def version_rows(self, template_id: object) -> list[dict[str, Any]]:
        """Return the history with the address of each text and of what can be done."""
        versions = history(template_id, limit=_SHOWN_VERSIONS)  # type: ignore[arg-type] # an id or its text
        rows = TemplateVersion.objects.filter(template_id=str(template_id))
        ids = {(number, tag): pk for pk, number, tag in rows.values_list("pk", "number", "locale")}
        published = [one.number for one in versions if not one.is_draft]
        numbers = [one.number for one in versions]
        shown = []
        for index, one in enumerate(versions):
            before = numbers[index + 1] if index + 1 < len(numbers) else None
            texts = [
                (
                    tag or "default",
                    one.subjects[tag],
                    self.url("version", template_id, ids[one.number, tag]),
                )
                for tag in one.locales
                if (one.number, tag) in ids
            ]
            shown.append(
                {
                    "version": one,
                    "texts": texts,
                    "is_current": bool(published) and one.number == published[0],
                    "diff": _query(self.url("diff", template_id), before, one.number),
                    "rollback": self.url("rollback", template_id, one.number)
                    if one.number in published[1:]
                    else "",
                }
            )
        return shown

    def diff_view(self, request: HttpRequest, template_id: UUID) -> HttpResponse:
        """Show how two versions differ."""
        template = self.get_or_404(request, str(template_id))
        versions = history(template.pk)
        numbers = [one.number for one in versions]
        found = asked_versions(request.GET, numbers)
        if found is None:
            raise Http404("There is no such version.")
        old, new = found
        diffs: list[ShownDiff] = []
        if old != new:
            try:
                diffs = shown_diffs(template, old, new)
            except NotFoundError as error:
                raise Http404(error.message) from error
        return self.page(
            request,
            "console/template_diff.html",
            title="What changed",
            obj=template,
            versions=versions[:_SHOWN_VERSIONS],
            old=old,
            new=new,
            diffs=diffs,
            back=self.url("change", template.pk),
            media=self.media,
        )

    # --- changing ---------------------------------------------------------------------------------

    def publish_view(self, request: HttpRequest, template_id: UUID) -> HttpResponse:
        """Ask, then make the draft what new mail uses."""
        template = self._publishable(request, template_id)
        is_shared = template.kind != Kind.MAIL
        form = PublishForm(_posted(request), is_shared=is_shared)
        back = self.url("change", template.pk)
        if request.method != "POST" or not form.is_valid():
            confirmation = Confirmation(
                question=f"Publish the draft of “{template.slug}”?",
                effect="New mail uses it at once. Mail already accepted keeps the text it was "
                "accepted with. A published version never changes.",
                button="Publish",
                back=self.url("draft", template.pk),
                items=concerned(template),
                form=form,
            )
            return self.confirm(request, confirmation, obj=template)
        user = signed_in(request)
        try:
            number = publish(template_id=template.pk, by=user.pk, note=form.cleaned_data["note"])
        except DomainError as error:
            messages.error(request, error.message)
            return self.back_to(back)
        self.note(request, [template], f"Published version {number}.")
        messages.success(request, f"Version {number} is published.")
        if form.cleaned_data.get("republish"):
            self._republish(request, template, user)
        return self.back_to(back)

    def republish_view(self, request: HttpRequest, template_id: UUID) -> HttpResponse:
        """Ask, then bring the newest layouts and partials into what is published."""
        template = self._publishable(request, template_id)
        behind = names_behind(template)
        back = self.url("change", template.pk)
        if not behind:
            messages.info(request, "Nothing is behind: there is nothing to publish anew.")
            return self.back_to(back)
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Take in the newest {', '.join(behind)}?"
                if template.kind == Kind.MAIL
                else f"Publish anew what is behind “{template.slug}”?",
                effect="What is published becomes a new version with the newest layouts and "
                "partials, which new mail uses at once. Texts and drafts stay as they are.",
                button="Publish anew",
                back=back,
                items=behind[:20],
                more_count=max(len(behind) - 20, 0),
            )
            return self.confirm(request, confirmation, obj=template)
        user = signed_in(request)
        if template.kind != Kind.MAIL:
            self._republish(request, template, user)
            return self.back_to(back)
        try:
            number = catch_up(template_id=template.pk, by=user.pk)
        except DomainError as error:
            messages.error(request, f"It keeps its version: {error.message}")
        else:
            self.note(request, [template], f"Published anew as version {number}.")
            messages.success(request, f"Version {number} is published.")
        return self.back_to(back)

    def _republish(self, request: HttpRequest, template: Template, user: User) -> None:
        result = republish(used_id=template.pk, by=user.pk)
        if result.done:
            shown = ", ".join(f"{name} v{number}" for name, number in result.done)
            messages.success(request, f"Published anew: {shown}.")
        for name, reason in result.failed:
            messages.warning(request, f"“{name}” keeps its version: {reason}")

    def rollback_view(self, request: HttpRequest, template_id: UUID, number: int) -> HttpResponse:
        """Ask, then publish a copy of an old version."""
        template = self._publishable(request, template_id)
        form = NoteForm(_posted(request))
        back = self.url("change", template.pk)
        if request.method != "POST" or not form.is_valid():
            confirmation = Confirmation(
                question=f"Go back to version {number} of “{template.slug}”?",
                effect="A copy of it, word for word, becomes the newest version, which new mail "
                "uses at once. Nothing is lost: the versions in between and a draft stay.",
                button=f"Publish version {number} again",
                back=back,
                items=[
                    f"{one.locale or 'default'}: {one.subject or template.slug}"
                    for one in template.versions.filter(number=number)
                ],
                form=form,
            )
            return self.confirm(request, confirmation, obj=template)
        try:
            made = roll_back(
                template_id=template.pk,
                number=number,
                by=signed_in(request).pk,
                note=form.cleaned_data["note"],
            )
        except DomainError as error:
            messages.error(request, error.message)
        else:
            self.note(request, [template], f"Version {number} again, as version {made}.")
            messages.success(request, f"Version {number} is back, as version {made}.")
        return self.back_to(back)

    def discard_view(self, request: HttpRequest, template_id: UUID) -> HttpResponse:
        """Ask, then throw the draft away."""
        self.require_change(request)
        template = self.get_or_404(request, str(template_id))
        back = self.url("change", template.pk)
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Discard the draft of “{template.slug}”?",
                effect="Its texts are gone for good; published versions stay.",
                button="Discard draft",
                back=back,
                is_dangerous=True,
                items=[
                    f"{draft.locale or 'default'}: {draft.subject or template.slug}"
                    for draft in template.versions.filter(published_at__isnull=True)
                ],
            )
            return self.confirm(request, confirmation, obj=template)
        if discard_draft(template_id=template.pk):
            self.note(request, [template], "Draft discarded.")
            messages.success(request, "The draft is discarded.")
        return self.back_to(back)

    def language_view(self, request: HttpRequest, template_id: UUID) -> HttpResponse:
        """Ask, then drop one language from the draft."""
        self.require_change(request)
        template = self.get_or_404(request, str(template_id))
        locale = locale_of(request.POST.get("locale", request.GET.get("locale", "")))
        name = language_name(locale, default=language_of_default(template))
        if request.method != "POST":
            confirmation = Confirmation(
                question=f"Drop {name} from the draft of “{template.slug}”?",
                effect=when_dropped(template, locale),
                button="Drop the language",
                back=self.url("draft", template.pk),
                is_dangerous=True,
                hidden=[("locale", locale)],
            )
            return self.confirm(request, confirmation, obj=template)
        try:
            if remove_draft_locale(template_id=template.pk, locale=locale):
                self.note(request, [template], f"Dropped {locale or 'default'} from the draft.")
                messages.success(request, f"{name} is no longer in the draft.")
        except DomainError as error:
            messages.error(request, error.message)
        return self.back_to(self.url("draft", template.pk))

    def test_view(self, request: HttpRequest, template_id: UUID) -> HttpResponse:
        """Ask, then send the newest text with the sample data to the person who asks."""
        self.require_change(request)
        template = self.get_or_404(request, str(template_id))
        newest = template.versions.order_by("-number").first()
        if newest is None or template.kind != Kind.MAIL:
            messages.error(request, "There is no mail to send yet: save the draft first.")
            return self.back_to(self.url("draft", template.pk))
        default = language_of_default(template)
        tags = template.versions.filter(number=newest.number).values_list("locale", flat=True)
        form = TestForm(
            _posted(request),
            initial={"locale": request.GET.get("locale", "")},
            locales=[(tag, language_name(tag, default=default)) for tag in tags],
        )
        user = signed_in(request)
        if request.method != "POST" or not form.is_valid():
            state = "draft" if newest.published_at is None else f"version {newest.number}"
            confirmation = Confirmation(
                question=f"Send “{template.slug}” to yourself?",
                effect=f"The {state} goes to {user.email}, filled with the sample data.",
                button="Send test mail",
                back=self.url("draft", template.pk),
                form=form,
            )
            return self.confirm(request, confirmation, obj=template)
        version = template.versions.get(number=newest.number, locale=form.cleaned_data["locale"])
        try:
            _send_test(version, user)
        except DomainError as error:
            messages.error(request, f"Not sent: {error.message}")
        else:
            self.note(request, [template], f"Test mail to {user.email}.")
            messages.success(request, f"The test mail to {user.email} is on its way.")
        return self.back_to(f"{self.url('draft', template.pk)}?locale={version.locale}")

    def _publishable(self, request: HttpRequest, template_id: UUID) -> Template:
        """Return a template the user may publish. Raises `PermissionDenied`."""
        template = self.get_or_404(request, str(template_id))
        if not may_publish(signed_in(request), template):
            raise PermissionDenied
        return template


def names_behind(template: Template) -> list[str]:
    """Return the layouts and partials a mail is behind, or the mails behind one of those."""
    if template.kind != Kind.MAIL:
        return [one.template.slug for one in dependents(template.pk) if one.is_behind]
    return [one.name for one in outdated([template.pk]).get(template.pk, [])]


def _send_test(version: TemplateVersion, user: User) -> None:
    """Queue one mail as a recipient would get it. Raises `DomainError`."""
    preview = preview_version(version, Reader(locale=version.locale))
    mail = ServiceMail(
        terms=Terms(metadata={"template_test": version.template.slug}),
        subject=f"[Test] {preview.subject}",
        body=preview.text,
        to=[user.email],
    )
    if preview.html:
        mail.attach_alternative(preview.html, "text/html")
    mail.send(fail_silently=False)


def _posted(request: HttpRequest) -> QueryDict | None:
    """Return what was posted, be it nothing; None for a page that is merely opened."""
    return request.POST if request.method == "POST" else None


def _query(url: str, old: int | None, new: int) -> str:
    return f"{url}?old={old}&new={new}" if old is not None else ""
