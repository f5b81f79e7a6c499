"""Templates: their texts by language, the draft, and its publication."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Max, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts.admin.console import Confirmation, ConsoleAdmin, Link, show_faults
from mailservice.core.errors import DomainError, InvalidInputError
from mailservice.core.presentation import moment
from templates_app.models import Template, TemplateVersion
from templates_app.services import (
    create_template,
    discard_draft,
    publish,
    save_draft,
    template_faults,
    update_template,
)

if TYPE_CHECKING:
    from uuid import UUID

    from django.utils.safestring import SafeString


class TemplateForm(forms.ModelForm[Template]):
    """Name, owner and description."""

    class Meta:
        model = Template
        fields = ("slug", "owner", "description")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "owner" in self.fields:
            self.fields["owner"].empty_label = "Everybody"  # type: ignore[attr-defined] # a choice of users

    def clean(self) -> dict[str, Any]:
        """Ask the service for every fault."""
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        candidate = Template(
            pk=self.instance.pk,
            owner=data.get("owner"),
            slug=data["slug"],
            description=data["description"],
        )
        for field, _, text in template_faults(candidate):
            self.add_error(field, text)
        return data

    def validate_unique(self) -> None:
        """Leave it to the service, which names the field."""

    def validate_constraints(self) -> None:
        """Leave it to the service, which names the field."""


class DraftForm(forms.Form):
    """One language of the draft."""

    locale = forms.CharField(
        required=False,
        max_length=35,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "empty for the default"}),
        help_text="Language tag such as de or pt-BR; empty for the default text.",
    )
    subject = forms.CharField(max_length=998, widget=UnfoldAdminTextInputWidget)
    html = forms.CharField(
        label="HTML",
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 22, "class": "ms-code", "spellcheck": "false"}
        ),
        help_text="Liquid: {{ name }} fills in a variable, {% if %} and {% for %} work. Values are "
        "escaped.",
    )
    text = forms.CharField(
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 10, "class": "ms-code"}),
        help_text="Empty: made from the HTML.",
    )


@admin.register(Template)
class TemplateAdmin(ConsoleAdmin[Template]):
    """List, add and change templates; edit and publish their draft."""

    form = TemplateForm
    list_display = ("name", "owner", "published", "draft", "updated")
    list_select_related = ("owner",)
    search_fields = ("slug", "description")
    ordering = ("slug",)
    sortable_by = ()
    actions = None
    fields = ("slug", "owner", "description")
    change_form_outer_after_template = "console/template_versions.html"

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of the draft."""
        wrap = self.admin_site.admin_view
        prefix = self.url_prefix
        return [
            path("<uuid:template_id>/draft/", wrap(self.draft_view), name=f"{prefix}_draft"),
            path("<uuid:template_id>/publish/", wrap(self.publish_view), name=f"{prefix}_publish"),
            path("<uuid:template_id>/discard/", wrap(self.discard_view), name=f"{prefix}_discard"),
            path(
                "<uuid:template_id>/version/<uuid:version_id>/",
                wrap(self.version_view),
                name=f"{prefix}_version",
            ),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Template]:
        """Bring the newest published and draft numbers along."""
        is_published = Q(versions__published_at__isnull=False)
        found: QuerySet[Template] = (
            super()
            .get_queryset(request)
            .annotate(
                published_number=Max("versions__number", filter=is_published),
                draft_number=Max("versions__number", filter=Q(versions__published_at__isnull=True)),
            )
        )
        return found

    def has_delete_permission(self, request: HttpRequest, obj: Template | None = None) -> bool:
        """Allow it while there is no text that mail may refer to."""
        is_empty = obj is None or not obj.versions.exists()
        return is_empty and super().has_delete_permission(request, obj)

    def save_model(
        self,
        request: HttpRequest,
        obj: Template,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Save through the service."""
        del request, form
        if change:
            update_template(
                template_id=obj.pk,
                owner_id=obj.owner_id,
                slug=obj.slug,
                description=obj.description,
            )
            return
        obj.pk = create_template(
            owner_id=obj.owner_id, slug=obj.slug, description=obj.description
        ).pk

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form with the versions below it."""
        versions = [
            (version, self.url("version", object_id, version.pk))
            for version in TemplateVersion.objects.filter(template_id=object_id)
            .defer("html", "text")
            .order_by("-number", "locale")[:100]
        ]
        context = {"template_versions": versions, **(extra_context or {})}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def form_links(self, request: HttpRequest, object_id: str | None) -> list[Link]:
        """Offer what can be done with the draft."""
        if object_id is None or not self.has_change_permission(request):
            return []
        has_draft = TemplateVersion.objects.filter(
            template_id=object_id, published_at__isnull=True
        ).exists()
        links = [Link("Edit draft", self.url("draft", object_id), "edit")]
        if has_draft:
            links.append(Link("Publish", self.url("publish", object_id), "publish"))
            links.append(Link("Discard draft", self.url("discard", object_id), "delete"))
        return links

    # --- pages ------------------------------------------------------------------------------------

    def draft_view(self, request: HttpRequest, template_id: UUID) -> HttpResponse:
        """Edit one language of the draft; publish it too if asked."""
        self.require_change(request)
        template = self.get_or_404(request, str(template_id))
        back = self.url("change", template.pk)
        locale = request.GET.get("locale", "")
        form = DraftForm(request.POST or None, initial=_initial(template, locale))
        if request.method == "POST" and form.is_valid():
            try:
                version = save_draft(template_id=template.pk, **form.cleaned_data)
            except InvalidInputError as error:
                show_faults(form, error)
            else:
                self.note(request, [template], f"Draft saved ({version.locale or 'default'}).")
                messages.success(request, "The draft is saved.")
                if "publish" in request.POST:
                    return self.back_to(self.url("publish", template.pk))
                return self.back_to(back)
        locales = template.versions.order_by("-number", "locale")
        return self.page(
            request,
            "console/form.html",
            title="Draft",
            obj=template,
            form=form,
            button="Save draft",
            second_button=("publish", "Save and publish …"),
            tabs=[
                (tag or "default", f"?locale={tag}", tag == locale)
                for tag in sorted(set(locales.values_list("locale", flat=True)[:50]) | {""})
            ],
            back=back,
            media=self.media + form.media,
        )

    def publish_view(self, request: HttpRequest, template_id: UUID) -> HttpResponse:
        """Ask, then make the draft what new mail uses."""
        self.require_change(request)
        template = self.get_or_404(request, str(template_id))
        back = self.url("change", template.pk)
        if request.method != "POST":
            drafts = template.versions.filter(published_at__isnull=True)
            confirmation = Confirmation(
                question=f"Publish the draft of “{template.slug}”?",
                effect="New mail uses it at once. Mail already accepted keeps the text it was "
                "accepted with. A published version never changes.",
                button="Publish",
                back=back,
                items=[f"{draft.locale or 'default'}: {draft.subject}" for draft in drafts],
            )
            return self.confirm(request, confirmation, obj=template)
        try:
            number = publish(template_id=template.pk)
        except DomainError as error:
            messages.error(request, error.message)
        else:
            self.note(request, [template], f"Published version {number}.")
            messages.success(request, f"Version {number} is published.")
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
            )
            return self.confirm(request, confirmation, obj=template)
        if discard_draft(template_id=template.pk):
            self.note(request, [template], "Draft discarded.")
            messages.success(request, "The draft is discarded.")
        return self.back_to(back)

    def version_view(
        self, request: HttpRequest, template_id: UUID, version_id: UUID
    ) -> HttpResponse:
        """Show the source of one text."""
        template = self.get_or_404(request, str(template_id))
        version = template.versions.filter(pk=version_id).first()
        if version is None:
            raise Http404("There is no such version.")
        return self.page(
            request,
            "console/template_version.html",
            title=str(version),
            obj=template,
            version=version,
            back=self.url("change", template.pk),
        )

    # --- columns ----------------------------------------------------------------------------------

    @display(description="Template", header=True)
    def name(self, template: Template) -> list[str]:
        """Return name and description."""
        return [template.slug, template.description]

    @display(description="Published")
    def published(self, template: Any) -> SafeString:
        """Return the version new mail uses."""
        if template.published_number is None:
            return format_html('<span class="ms-muted">{}</span>', "nothing yet")
        return format_html('<span class="ms-chip">version {}</span>', template.published_number)

    @display(description="Draft", boolean=True)
    def draft(self, template: Any) -> bool:
        """Tell whether there is one."""
        return template.draft_number is not None

    @display(description="Changed")
    def updated(self, template: Template) -> SafeString:
        """Return when it was last changed."""
        return moment(template.updated_at)


def _initial(template: Template, locale: str) -> dict[str, str]:
    """Return the newest text of a language to start from."""
    newest = template.versions.filter(locale=locale).order_by("-number").first()
    if newest is None:
        return {"locale": locale}
    return {
        "locale": newest.locale,
        "subject": newest.subject,
        "html": newest.html,
        "text": newest.text,
    }
