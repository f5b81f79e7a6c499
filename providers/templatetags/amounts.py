"""Amounts of money on pages."""

from __future__ import annotations

from django import template

from providers.amounts import figure_text

register = template.Library()


@register.filter
def amount(nanos: int) -> str:
    """Show an amount given in billionths, without its currency."""
    return figure_text(nanos)
