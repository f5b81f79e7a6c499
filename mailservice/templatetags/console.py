"""Filters of the console's pages."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django import template

from mailservice.core.presentation import moment as _moment
from mailservice.core.sealed import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def moment(value: object) -> SafeString | object:
    """Show a time short, with the whole of it on hover; anything else stays as it is."""
    return _moment(value) if isinstance(value, datetime) else value


@register.filter
def pretty_json(value: object) -> str:
    """Show data as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.filter
def without_secrets(context: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Show a mail's context with dots for what only its recipient may read."""
    return masked(context)


@register.filter
def thousands(value: int) -> str:
    """Show a number with commas."""
    return f"{value:,}"


@register.filter
def age(value: timedelta | None) -> str:
    """Show how long something has lasted, in its largest unit."""
    if value is None:
        return ""
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
