"""The forms of a routing rule and its targets: the service's faults stand beside the field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.forms.models import BaseInlineFormSet
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.models import ApiKey
from providers.models import RoutingRule, RoutingTarget
from providers.routing import Target
from providers.rules import RuleChanges, rule_faults, target_faults

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS = (
    "name",
    "position",
    "is_active",
    "email_types",
    "sender_domains",
    "recipient_domains",
    "tags",
    "api_key_ids",
    "strategy",
    "is_exclusive",
    "cost_weight",
    "reliability_weight",
    "latency_weight",
)
_SEPARATORS = re.compile(r"[,;\n]")


class ListField(forms.CharField):
    """Several values in one line, separated by commas."""

    def __init__(self, *, placeholder: str, **kwargs: Any) -> None:
        widget = UnfoldAdminTextInputWidget(attrs={"placeholder": placeholder})
        super().__init__(required=False, max_length=10_000, widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Show a list as it is typed."""
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Return the values."""
        text = super().to_python(value) or ""
        return [part.strip() for part in _SEPARATORS.split(text) if part.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the values, not how they are typed."""
        return bool((initial or []) != self.to_python(data))


class _KeyChoice(forms.ModelMultipleChoiceField[ApiKey]):
    def label_from_instance(self, obj: Any) -> str:
        """Tell whose key it is."""
        return f"{obj.name} ({obj.prefix}…, {obj.user.email})"


class RuleForm(forms.ModelForm[RoutingRule]):
    """Name, order, conditions and strategy."""

    email_types = ListField(placeholder="any type", help_text="One of these.")
    sender_domains = ListField(
        placeholder="any domain",
        help_text="The From address is in one of these: example.com, or *.example.com for all "
        "below it.",
    )
    recipient_domains = ListField(
        placeholder="any domain",
        help_text="All recipients are in these; written in the same way.",
    )
    tags = ListField(placeholder="any tag, or none", help_text="The mail carries one of these.")
    api_key_ids = _KeyChoice(
        label="API keys",
        queryset=ApiKey.objects.select_related("user").order_by("name"),
        required=False,
        widget=UnfoldAdminSelect2MultipleWidget,
        help_text="The mail was sent with one of these; empty for any.",
    )

    class Meta:
        model = RoutingRule
        fields = ("owner", *(name for name in _COLUMNS if name != "api_key_ids"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["api_key_ids"] = self.instance.api_key_ids
        if "owner" in self.fields:
            self.fields["owner"].empty_label = "Everybody"  # type: ignore[attr-defined] # a choice of users

    def clean(self) -> dict[str, Any]:
        """Ask the service for every fault and put each beside its field."""
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        candidate = RoutingRule(pk=self.instance.pk, owner=data.get("owner"))
        changes = self.changes()
        for column in _COLUMNS:
            setattr(candidate, column, changes[column])  # type: ignore[literal-required]  # its keys
        for path, _, text in rule_faults(candidate):
            field, _, place = path.partition("[")
            values = data[field] if place else ()
            which = f"{values[int(place[:-1])]}: " if place and field != "api_key_ids" else ""
            self.add_error(field, which + text)
        return data

    def changes(self) -> RuleChanges:
        """Return what the service is told."""
        data = self.cleaned_data
        owner = data.get("owner")
        changes: dict[str, Any] = {column: data[column] for column in _COLUMNS}
        changes["api_key_ids"] = [key.pk for key in data["api_key_ids"]]
        changes["owner_id"] = owner.pk if owner else None
        told: RuleChanges = changes  # type: ignore[assignment]  # names are the fields
        return told

    def validate_unique(self) -> None:
        """Leave it to the service, which names the field."""

    def validate_constraints(self) -> None:
        """Leave it to the service, which names the field."""


class TargetForm(forms.ModelForm[RoutingTarget]):
    """An account, its place in the order and its weight."""

    place = forms.IntegerField(
        label="Order",
        required=False,
        min_value=1,
        max_value=1_000,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="The first is the default, the others follow.",
    )

    class Meta:
        model = RoutingTarget
        fields = ("provider", "weight")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:  # noqa: SLF001 - Django's own way to ask
            self.fields["place"].initial = self.instance.position + 1

    def validate_unique(self) -> None:
        """Leave it to the service: places may be swapped."""

    def validate_constraints(self) -> None:
        """Leave it to the service: places may be swapped."""


class TargetFormSet(BaseInlineFormSet[RoutingTarget, RoutingRule, TargetForm]):
    """The targets of one rule, saved by the service with it."""

    def clean(self) -> None:
        """Ask the service for every fault."""
        if any(self.errors):
            return
        forms_in_order = self._in_order()
        faults = target_faults(self.instance, self.targets())
        for path, _, text in faults:
            place, _, field = path.removeprefix("targets[").partition("].")
            if field:
                name = {"provider_id": "provider"}.get(field, field)
                forms_in_order[int(place)].add_error(name, text)
        if faults:
            raise forms.ValidationError(
                [text for path, _, text in faults if "." not in path]
                or ["Please correct the targets."]
            )

    def validate_unique(self) -> None:
        """Leave it to the service."""

    def targets(self) -> list[Target]:
        """Return the accounts in order."""
        return [
            Target(form.cleaned_data["provider"].pk, form.cleaned_data["weight"])
            for form in self._in_order()
        ]

    def _in_order(self) -> Sequence[TargetForm]:
        given = [
            form
            for form in self.forms
            if form.cleaned_data.get("provider") and not form.cleaned_data.get("DELETE")
        ]
        # Those without a number come last, as they stand.
        return sorted(given, key=lambda form: form.cleaned_data.get("place") or 10_000)
