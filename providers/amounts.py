"""Amounts of money as they are written, in the service's currency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from providers.pricing import NANOS, money

if TYPE_CHECKING:
    from decimal import Decimal

_CENT = NANOS // 100


def exact_text(nanos: int) -> str:
    """Return an amount for machines: every decimal that counts, and two at least."""
    return _trimmed(money(nanos), 9)


def price_text(price: Decimal) -> str:
    """Return a price for machines and people alike: every decimal that counts, and two at least."""
    return _trimmed(price, 6)


def amount_text(nanos: int) -> str:
    """Return an amount for people: “1,234.50 USD”, small ones with as many decimals as it takes."""
    return f"{figure_text(nanos)} {settings.CURRENCY}"


def figure_text(nanos: int) -> str:
    """Return an amount for people without its currency."""
    if nanos and abs(nanos) < _CENT:
        return f"{money(nanos):.5f}"
    return f"{money(nanos):,.2f}"


def _trimmed(value: Decimal, decimals: int) -> str:
    whole, _, rest = f"{value:.{decimals}f}".partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"
