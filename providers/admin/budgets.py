"""Budgets: a list with how far each is spent, and a form through the service that the API uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from accounts.admin.console import Link
from accounts.admin.deletion import DeletingAdmin
from accounts.models import ApiKey
from providers.admin.rule_forms import ListField
from providers.amounts import amount_text, figure_text
from providers.budgets import (
    BudgetChanges,
    budget_faults,
    create_budget,
    delete_budget,
    standings,
    update_budget,
    warn_percents,
)
from providers.models import Budget, Provider
from providers.months import month_of

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

_HIGH_PERCENT, _FULL_PERCENT = 80, 100


class BudgetForm(forms.ModelForm[Budget]):
    """Amount, which mail, and when to warn."""

    warn_percents = ListField(
        label="Warn at percent",
        placeholder="80, 100",
        help_text="Percents of the amount, separated by commas; empty for 80 and 100.",
    )

    class Meta:
        model = Budget
        fields = ("name", "amount", "provider", "api_key", "email_type", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["warn_percents"] = [str(each) for each in self.instance.warn_percents]
        choices = (
            ("provider", Provider.objects.defer("secrets", "settings"), "All accounts"),
            ("api_key", ApiKey.objects.select_related("user").order_by("name"), "All keys"),
        )
        for name, queryset, empty in choices:
            if name in self.fields:
                self.fields[name].queryset = queryset  # type: ignore[attr-defined]  # a choice of rows
                self.fields[name].empty_label = empty  # type: ignore[attr-defined]  # as above

    def clean_warn_percents(self) -> list[int]:
        """Return the numbers."""
        texts = self.cleaned_data["warn_percents"]
        bad = next((text for text in texts if not (text.isascii() and text.isdigit())), None)
        if bad is not None:
            raise forms.ValidationError(f"{bad[:20]}: give whole numbers such as 50, 80, 100.")
        return [int(text[:6]) for text in texts]

    def clean(self) -> dict[str, Any]:
        """Ask the service for every fault and put each beside its field."""
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        candidate = Budget(pk=self.instance.pk)
        for name, value in self.changes().items():
            setattr(candidate, name, value)
        for path, _, text in budget_faults(candidate):
            field = path.partition("[")[0].removesuffix("_id")
            self.add_error(field if field in self.fields else None, text)
        return data

    def changes(self) -> BudgetChanges:
        """Return what the service is told."""
        data = self.cleaned_data
        return {
            "name": data["name"],
            "amount": data["amount"],
            "provider_id": data["provider"].pk if data["provider"] else None,
            "api_key_id": data["api_key"].pk if data["api_key"] else None,
            "email_type": data["email_type"],
            "warn_percents": data["warn_percents"],
            "is_active": data["is_active"],
        }

    def validate_unique(self) -> None:
        """Leave it to the service, which names the field."""

    def validate_constraints(self) -> None:
        """Leave it to the service, which names the field."""


@admin.register(Budget)
class BudgetAdmin(DeletingAdmin[Budget]):
    """List, add, change and delete budgets."""

    form = BudgetForm
    deleted_noun = "budget"
    deletion_effect = (
        "Nobody is told any more when it is spent; its open alerts are closed. What was "
        "spent stays in the costs."
    )
    list_display = ("budget", "used", "amount_label", "warns", "active")
    list_filter = ("is_active",)
    list_filter_submit = True
    list_select_related = ("provider", "api_key")
    search_fields = ("name",)
    search_help_text = "Name"
    sortable_by = ()
    actions = None
    empty_icon = "savings"
    empty_text = (
        "A budget says what may be spent in a month, on all mail or on that of one account, key or "
        "email type. It alerts in time; it never stops mail."
    )
    fieldsets = (
        (None, {"fields": (("name", "amount"), ("warn_percents", "is_active"))}),
        (
            "Which mail: all of these must hold",
            {"fields": (("provider", "api_key"), "email_type")},
        ),
    )

    # --- list -------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Budget]:
        """Leave credentials where they are."""
        budgets: QuerySet[Budget] = super().get_queryset(request)
        return budgets.defer("provider__secrets", "provider__settings")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Add up what is spent of the budgets of a page at once."""
        changelist = super().get_changelist_instance(request)
        month = month_of(timezone.localdate())
        for standing in standings(changelist.result_list, month=month, today=None):
            standing.budget.standing = standing  # type: ignore[attr-defined]  # for the columns
        return changelist

    def list_links(self, request: HttpRequest) -> list[Link]:
        """Lead to the costs."""
        if not request.user.has_perm("providers.view_costday"):
            return []
        return [Link("Costs", reverse("admin:providers_costday_changelist"), "payments")]

    @display(description="Budget", header=True)
    def budget(self, budget: Budget) -> list[str]:
        """Return name and meaning."""
        return [budget.name, in_words(budget)]

    @display(description="Spent this month")
    def used(self, budget: Any) -> SafeString:
        """Return the spent part with a bar."""
        standing = budget.standing
        level = "is-high" if standing.percent >= _HIGH_PERCENT else ""
        if standing.percent >= _FULL_PERCENT:
            level = "is-full"
        return format_html(
            '<span class="ms-quota"><b>{}</b> <span class="ms-muted">{} %</span>'
            '<span class="ms-bar {}"><i style="width:{}%"></i></span></span>',
            figure_text(standing.spent_nanos),
            standing.percent,
            level,
            min(100, standing.percent),
        )

    @display(description="Per month")
    def amount_label(self, budget: Any) -> str:
        """Return the amount."""
        return amount_text(budget.standing.amount_nanos)

    @display(description="Warns at")
    def warns(self, budget: Budget) -> str:
        """Return the percents."""
        return ", ".join(f"{percent} %" for percent in warn_percents(budget))

    @display(description="Active", boolean=True)
    def active(self, budget: Budget) -> bool:
        """Tell whether it is watched."""
        return budget.is_active

    # --- form -------------------------------------------------------------------------------------

    def save_model(
        self,
        request: HttpRequest,
        obj: Budget,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Save through the service that the API uses too."""
        del request
        assert isinstance(form, BudgetForm)  # noqa: S101 - for the type checker
        if change:
            update_budget(obj.pk, **form.changes())
        else:
            obj.pk = create_budget(**form.changes()).pk

    def delete_by_service(self, obj: Budget) -> None:
        """Delete a budget and end its alerts."""
        delete_budget(obj.pk)


def in_words(budget: Budget) -> str:
    """Return which mail a budget is for."""
    parts = []
    if budget.email_type:
        parts.append(f"of type {budget.email_type}")
    if budget.api_key:
        parts.append(f"sent with {budget.api_key.name}")
    if budget.provider:
        parts.append(f"through {budget.provider.name}")
    return f"Mail {' '.join(parts)}" if parts else "All mail, and all monthly fees"
