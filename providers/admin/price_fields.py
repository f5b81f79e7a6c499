"""The price list in the form of an account."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextInputWidget,
)

from providers.account_faults import MAX_FEE
from providers.amounts import price_text
from providers.pricing import MAX_MAILS

PRICE_COLUMNS = ("price_per_thousand", "free_per_month", "price_tiers", "monthly_fee")
#: The rows of the form's part.
PRICE_FIELDS = (("price_per_thousand", "monthly_fee"), ("free_per_month", "price_tiers"))
_TIER = re.compile(r"([0-9][0-9 _']*)\s*[:=]\s*([0-9]+(?:\.[0-9]+)?)\Z")
_HOW = "Write the mails above which a price holds, a colon and the price, such as 100000: 0.80"


class TiersField(forms.CharField):
    """Tiers in one line: `100000: 0.80, 500000: 0.60`."""

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminTextInputWidget(attrs={"placeholder": "100000: 0.80, 500000: 0.60"})
        super().__init__(required=False, max_length=2_000, widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Show tiers as they are typed."""
        if not isinstance(value, list):
            return value
        return ", ".join(
            f"{tier['above']}: {price_text(Decimal(tier['price_per_thousand']))}" for tier in value
        )

    def to_python(self, value: Any) -> Any:
        """Return the tiers as the account keeps them."""
        text = super().to_python(value) or ""
        tiers = []
        for part in re.split(r"[,;\n]", text):
            if not part.strip():
                continue
            found = _TIER.match(part.strip())
            if found is None:
                raise forms.ValidationError(f"{part.strip()[:40]}: {_HOW}.")
            above = int(re.sub(r"[ _']", "", found[1])[:12])
            tiers.append({"above": above, "price_per_thousand": found[2]})
        return tiers

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the tiers, not how they are typed."""
        try:
            return bool((initial or []) != self.to_python(data))
        except forms.ValidationError:
            return True


class PriceForm(forms.Form):
    """What mail costs at an account beyond the price of a thousand; empty for nothing."""

    free_per_month = forms.IntegerField(
        label="Free mails",
        required=False,
        min_value=0,
        max_value=MAX_MAILS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Per calendar month in the account's time zone.",
    )
    price_tiers = TiersField(
        label="Price tiers",
        help_text="Other prices for what comes after so many mails of a month, free ones included.",
    )
    monthly_fee = forms.DecimalField(
        label="Monthly fee",
        required=False,
        min_value=0,
        max_value=MAX_FEE,
        decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
        help_text="Paid whether mail is sent or not.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        price = self.initial.get("price_per_thousand")
        if isinstance(price, Decimal):
            self.initial["price_per_thousand"] = price_text(price)

    def clean_free_per_month(self) -> int:
        """Return 0 for nothing."""
        return self.cleaned_data["free_per_month"] or 0

    def clean_monthly_fee(self) -> Decimal:
        """Return 0 for nothing."""
        return self.cleaned_data["monthly_fee"] or Decimal(0)
