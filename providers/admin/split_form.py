"""The form of the cheapest split: the month, its mail, and what is supposed of each account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanSwitchWidget,
)

from providers.account_faults import MAX_FEE
from providers.amounts import price_text
from providers.months import month_of, next_month, parse_month
from providers.planning import (
    MAX_VOLUME,
    Question,
    Supposed,
    candidates,
    capacity_of,
    plan_split,
)
from providers.pricing import MAX_MAILS, MAX_PRICE, PRICE_DECIMALS
from providers.split import MAX_ACCOUNTS, NoSplitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date
    from uuid import UUID

    from django.http import HttpRequest

    from providers.models import Provider
    from providers.split_report import Plan

#: Names of the fields of each account, as `Supposed` calls them.
_PARTS = ("is_out", "price_per_thousand", "monthly_fee", "capacity", "at_least")
_MONTHS = 4


class SplitForm(forms.Form):
    """A question; an empty field leaves things as they are."""

    month = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    volume = forms.IntegerField(
        label="Mails of the month",
        required=False,
        min_value=1,
        max_value=MAX_VOLUME,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"placeholder": "as forecast"}),
    )
    is_by_type = forms.BooleanField(
        label="Follow the routing rules",
        required=False,
        initial=True,
        widget=UnfoldBooleanSwitchWidget,
        help_text="What rules bind to certain accounts by its email type stays with them.",
    )

    def __init__(
        self, *args: Any, providers: Sequence[Provider], today: date, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.providers = providers
        months = [month_of(today)]
        while len(months) < _MONTHS:
            months.append(next_month(months[-1]))
        month_field = self.fields["month"]
        month_field.choices = [(f"{each:%Y-%m}", f"{each:%B %Y}") for each in months]  # type: ignore[attr-defined]  # a choice
        month_field.initial = f"{months[1]:%Y-%m}"
        for provider in providers:
            self._add_fields(provider, months[1])

    def _add_fields(self, provider: Provider, month: date) -> None:
        capacity = capacity_of(provider, month)
        limit = "no limit" if capacity is None else f"{capacity:,}"
        made: dict[str, forms.Field] = {
            "is_out": forms.BooleanField(required=False, widget=UnfoldBooleanSwitchWidget),
            "price_per_thousand": _amount(
                MAX_PRICE, PRICE_DECIMALS, price_text(provider.price_per_thousand)
            ),
            "monthly_fee": _amount(MAX_FEE, 2, price_text(provider.monthly_fee)),
            "capacity": _count(limit),
            "at_least": _count("0"),
        }
        for part, field in made.items():
            field.label = f"{provider.name}: {part.replace('_', ' ')}"
            self.fields[f"{part}_{provider.pk.hex}"] = field

    def facts_fields(self) -> Iterator[forms.BoundField]:
        """Yield the fields about the month."""
        for name in self.base_fields:
            yield self[name]

    def account_rows(self) -> Iterator[tuple[Provider, list[forms.BoundField]]]:
        """Yield per account its fields, in the order of the table's columns."""
        for provider in self.providers:
            yield provider, [self[f"{part}_{provider.pk.hex}"] for part in _PARTS]

    def question(self) -> Question:
        """Return what is asked."""
        data = self.cleaned_data
        return Question(
            month=parse_month(data["month"]),
            volume=data["volume"],
            supposed=self._supposed(),
            is_by_type=data["is_by_type"],
        )

    def _supposed(self) -> dict[UUID, Supposed]:
        found = {}
        for provider in self.providers:
            values = {part: self.cleaned_data[f"{part}_{provider.pk.hex}"] for part in _PARTS}
            values["at_least"] = values["at_least"] or 0
            found[provider.pk] = Supposed(**values)
        return found


def split_form(request: HttpRequest, today: date) -> SplitForm:
    """Return the form as posted, or empty."""
    providers = candidates(None)[:MAX_ACCOUNTS]
    if request.method == "POST":
        return SplitForm(request.POST, providers=providers, today=today)
    return SplitForm(providers=providers, today=today)


def answer_of(form: SplitForm, today: date) -> tuple[Plan | None, str]:
    """Return the answer, or why there is none; an empty form asks for the forecast."""
    if not form.is_bound:
        question = Question(month=next_month(today))
    elif form.is_valid():
        question = form.question()
    else:
        return None, ""
    try:
        return plan_split(question, today=today), ""
    except NoSplitError as error:
        return None, str(error)


def _amount(most: Any, decimals: int, placeholder: str) -> forms.DecimalField:
    return forms.DecimalField(
        required=False,
        min_value=0,
        max_value=most,
        decimal_places=decimals,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"placeholder": placeholder, "step": "any"}),
    )


def _count(placeholder: str) -> forms.IntegerField:
    return forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_MAILS,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"placeholder": placeholder}),
    )
