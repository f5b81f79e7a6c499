"""Routing rules: list in the order in which they count, form with targets, and the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.urls import URLPattern, path
from unfold.admin import TabularInline
from unfold.decorators import display

from accounts.admin.console import Link, counted
from accounts.admin.deletion import DeletingAdmin
from accounts.models import ApiKey
from mailservice.core.errors import DomainError
from providers.admin.rule_forms import RuleForm, TargetForm, TargetFormSet
from providers.admin.simulator import answer, question_form
from providers.models import RoutingRule, RoutingTarget
from providers.routing import rule_in_words
from providers.rules import create_rule, delete_rule, update_rule
from providers.selectors import rule_of

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse


class TargetInline(TabularInline):
    """The accounts of a rule."""

    model = RoutingTarget
    form = TargetForm
    formset = TargetFormSet
    fields = ("place", "provider", "weight")
    ordering = ("position",)
    extra = 1
    hide_title = True
    verbose_name = "target"
    verbose_name_plural = "Targets: who takes the mail"


@admin.register(RoutingRule)
class RoutingRuleAdmin(DeletingAdmin[RoutingRule]):
    """List, add, change, delete and try out rules."""

    form = RuleForm
    inlines = (TargetInline,)
    deleted_noun = "rule"
    deletion_effect = (
        "Its mail then follows the next rule that is for it, or the usual order of "
        "accounts. What was sent by it still tells so."
    )
    list_display = ("rule", "position", "active", "strategy_label", "whose")
    list_display_links = ("rule",)
    list_editable = ("position",)
    list_filter = ("is_active", "strategy")
    list_filter_submit = True
    list_select_related = ("owner",)
    search_fields = ("name",)
    search_help_text = "Name"
    ordering = ("position", "id")
    sortable_by = ()
    actions = None
    fieldsets = (
        (None, {"fields": (("name", "owner"), ("position", "is_active"))}),
        (
            "Which mail: all of these must hold",
            {
                "fields": (
                    ("email_types", "tags"),
                    ("sender_domains", "recipient_domains"),
                    "api_key_ids",
                )
            },
        ),
        (
            "How one of the targets is chosen",
            {
                "fields": (
                    "strategy",
                    ("cost_weight", "reliability_weight", "latency_weight"),
                    "is_exclusive",
                )
            },
        ),
    )

    def get_urls(self) -> list[URLPattern]:
        """Add the simulator."""
        simulate = self.admin_site.admin_view(self.simulate_view)
        return [
            path("simulate/", simulate, name=f"{self.url_prefix}_simulate"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[RoutingRule]:
        """Read the targets along."""
        rules: QuerySet[RoutingRule] = super().get_queryset(request)
        return rules.prefetch_related("targets__provider")

    # --- list -------------------------------------------------------------------------------------

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Put the rules of a page into words, with the names of their keys read at once."""
        changelist = super().get_changelist_instance(request)
        rules = list(changelist.result_list)
        ids = {key_id for rule in rules for key_id in rule.api_key_ids}
        keys = dict(ApiKey.objects.filter(pk__in=ids).values_list("pk", "name")) if ids else {}
        for rule in rules:
            names = {each.provider_id: each.provider.name for each in rule.targets.all()}
            rule.words = rule_in_words(rule_of(rule), provider_names=names, key_names=keys)
        return changelist

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list and save positions; a refusal by the service becomes a message."""
        try:
            return super().changelist_view(request, extra_context)
        except DomainError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(request.get_full_path())

    def list_links(self, _request: HttpRequest) -> list[Link]:
        """Offer the simulator."""
        return [Link("Routing simulator", self.url("simulate"), "alt_route")]

    @display(description="Rule", header=True)
    def rule(self, rule: Any) -> list[str]:
        """Return name and meaning."""
        return [rule.name, rule.words]

    @display(description="Active", boolean=True)
    def active(self, rule: RoutingRule) -> bool:
        """Tell whether it counts."""
        return rule.is_active

    @display(description="Strategy", label=True)
    def strategy_label(self, rule: RoutingRule) -> str:
        """Return the strategy, short."""
        return rule.strategy.replace("_", " ").capitalize()

    @display(description="Owner")
    def whose(self, rule: RoutingRule) -> str:
        """Return whose mail it is for."""
        return str(rule.owner) if rule.owner else "Everybody"

    # --- form -------------------------------------------------------------------------------------

    def save_model(
        self,
        request: HttpRequest,
        obj: RoutingRule,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Wait for the targets: the service saves both at once."""

    def save_related(
        self,
        request: HttpRequest,
        form: Any,
        formsets: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Save rule and targets through the service that the API uses too."""
        del request
        rule = form.instance
        if not isinstance(form, RuleForm):
            update_rule(rule.pk, position=form.cleaned_data["position"])
            return
        for formset in formsets:
            formset.save(commit=False)  # tells what changed, for the audit trail
        targets = [target for formset in formsets for target in formset.targets()]
        changes: dict[str, Any] = dict(form.changes())
        if change:
            update_rule(rule.pk, targets=targets, **changes)
        else:
            rule.pk = create_rule(targets=targets, **changes).pk

    def form_links(self, _request: HttpRequest, object_id: str | None) -> list[Link]:
        """Offer the simulator."""
        return [Link("Routing simulator", self.url("simulate"), "alt_route")] if object_id else []

    def delete_by_service(self, obj: RoutingRule) -> None:
        """Delete a rule."""
        delete_rule(obj.pk)

    # --- simulator --------------------------------------------------------------------------------

    def simulate_view(self, request: HttpRequest) -> HttpResponse:
        """Tell which account would take a mail, and why; nothing is written or reserved."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = question_form(request)
        found = answer(form) if form.is_bound and form.is_valid() else None
        rules = counted(RoutingRule.objects.filter(is_active=True).count(), "active rule")
        return self.page(
            request,
            "console/routing_simulator.html",
            title="Routing simulator",
            form=form,
            answer=found,
            rules=rules,
            back=self.url("changelist"),
            media=self.media + form.media,
        )
