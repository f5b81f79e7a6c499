"""Templates: the list, what they have beside their texts, and how a new one begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from django.contrib import admin
from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.utils.html import format_html, format_html_join
from unfold.decorators import display

from accounts.admin.console import Link
from mailservice.core.presentation import moment
from templates_app.admin.design import DesignPages
from templates_app.admin.forms import TemplateForm
from templates_app.admin.gallery import GalleryPages
from templates_app.admin.transfer import TransferPages
from templates_app.admin.versions import VersionPages, names_behind
from templates_app.models import Kind, Template
from templates_app.selectors import dependents, may_publish
from templates_app.services import create_template, save_draft, update_template
from templates_app.starters import Starter, starter

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    from accounts.models import User

_FIELDS = (
    "owner_id",
    "slug",
    "kind",
    "title",
    "description",
    "category",
    "language",
    "sample",
    "schema",
)


class _Listed(Protocol):
    """A template with what the list counts."""

    published_number: int | None
    draft_number: int | None
    slug: str
    title: str
    description: str
    kind: str
    category: str
    owner: User | None
    updated_at: datetime


@admin.register(Template)
class TemplateAdmin(GalleryPages, DesignPages, VersionPages, TransferPages):
    """List, add and change templates; edit, compare and publish their versions."""

    class Media:
        css = {"all": ["mailservice/templates.css"]}

    form = TemplateForm
    list_display = ("name", "kind_label", "category", "whose", "published", "updated")
    list_filter = ("kind", "category")
    list_filter_submit = True
    list_select_related = ("owner",)
    search_fields = ("slug", "title", "description", "category")
    search_help_text = "Name, title, category or description"
    ordering = ("slug",)
    sortable_by = ()
    actions = ("export_selected",)
    fieldsets = (
        (None, {"fields": (("slug", "title"), ("kind", "category"), ("language", "owner"),
                           "description")}),
        ("Data", {"fields": (("sample", "schema"),)}),
    )  # fmt: skip
    change_form_outer_after_template = "console/template_versions.html"

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

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Fill in what the starter says."""
        chosen = starter(request.GET.get("starter", ""))
        kind = request.GET.get("kind", "")
        if chosen is None:
            return {"kind": kind if kind in Kind.values else Kind.MAIL.value}
        return {
            "kind": Kind.MAIL.value,
            "slug": chosen.name,
            "title": chosen.title,
            "category": chosen.category,
            "description": chosen.description,
            "language": "en",
            "sample": chosen.sample,
        }

    def save_model(
        self,
        request: HttpRequest,
        obj: Template,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Save through the service; a new one begins with the starter's text."""
        del form
        fields = {name: getattr(obj, name) for name in _FIELDS}
        if change:
            update_template(template_id=obj.pk, **fields)
            return
        chosen = starter(request.GET.get("starter", ""))
        with transaction.atomic():
            obj.pk = create_template(**fields).pk
            if chosen is not None and obj.kind == Kind.MAIL:
                _begin(obj, chosen)

    def response_add(
        self, request: HttpRequest, obj: Template, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Go on to the editor."""
        goes_elsewhere = {"_continue", "_addanother", "_popup"} & request.POST.keys()
        if goes_elsewhere or not self.has_view_permission(request, obj):
            response: HttpResponse = super().response_add(request, obj, post_url_continue)
            return response
        return self.back_to(self.url("draft", obj.pk))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form with the versions below it."""
        template = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if template is not None and self.has_view_permission(request, template):
            may = may_publish(request.user, template)  # type: ignore[arg-type] # signed in
            context = {
                "template_versions": self.version_rows(template.pk),
                "can_publish": may,
                "draft_url": self.url("draft", template.pk),
                "publish_url": self.url("publish", template.pk),
                "export_url": self.url("export", template.pk),
                "discard_url": self.url("discard", template.pk),
                "behind": names_behind(template),
                "republish_url": self.url("republish", template.pk),
                "users_of_it": [
                    (one, self.url("change", one.template.pk)) for one in dependents(template.pk)
                ]
                if template.kind != Kind.MAIL
                else [],
            }
        response: HttpResponse = super().change_view(
            request, object_id, form_url, {**context, **(extra_context or {})}
        )
        return response

    def form_links(self, request: HttpRequest, object_id: str | None) -> list[Link]:
        """Offer the editor first."""
        if object_id is None:
            return []
        word = "Editor" if self.has_change_permission(request) else "Open in the editor"
        return [
            Link(word, self.url("draft", object_id), "edit_document"),
            Link("Export", self.url("export", object_id), "download"),
        ]

    # --- columns ----------------------------------------------------------------------------------

    @display(description="Template", header=True)
    def name(self, template: _Listed) -> list[str]:
        """Return name and title or description."""
        return [template.slug, template.title or template.description]

    @display(description="Kind", label={"Mail": "info", "Layout": "success", "Partial": "warning"})
    def kind_label(self, template: _Listed) -> str:
        """Return what it is for."""
        return Kind(template.kind).label

    @display(description="Owner")
    def whose(self, template: _Listed) -> str:
        """Return whose mail may use it."""
        return template.owner.email if template.owner else "everybody"

    @display(description="Published")
    def published(self, template: _Listed) -> SafeString:
        """Return the version new mail uses, and whether there is a draft."""
        chips = []
        if template.published_number is not None:
            chips.append(("ms-chip is-live", f"version {template.published_number}"))
        if template.draft_number is not None:
            chips.append(("ms-chip is-draft", "draft"))
        if not chips:
            return format_html('<span class="ms-muted">{}</span>', "nothing yet")
        return format_html_join(" ", '<span class="{}">{}</span>', chips)

    @display(description="Changed")
    def updated(self, template: _Listed) -> SafeString:
        """Return when it was last changed."""
        return moment(template.updated_at)


def _begin(template: Template, chosen: Starter) -> None:
    save_draft(
        template_id=template.pk,
        locale="",
        subject=chosen.subject,
        preheader=chosen.preheader,
        html=chosen.html,
        text=chosen.text,
        format=chosen.format,
    )
