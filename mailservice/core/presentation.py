"""Values as people read them on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html

if TYPE_CHECKING:
    from datetime import datetime

    from django.utils.safestring import SafeString


def console_path(page: str, *args: object) -> str:
    """Return the path of a console page such as `providers_provider_change`.

    Empty if this process serves no such page.
    """
    try:
        return reverse(f"admin:{page}", args=args)
    except NoReverseMatch:
        return ""


def moment(value: datetime | None, *, empty: str = "never") -> SafeString:
    """Return a time as short as it can be told, with the whole of it on hover."""
    if value is None:
        return format_html('<span class="ms-muted">{}</span>', empty)
    local = timezone.localtime(value)
    now = timezone.localtime()
    pattern = "j M Y" if local.year != now.year else "j M H:i"
    if local.date() == now.date():
        pattern = "H:i:s"
    return format_html(
        '<time class="ms-time" datetime="{}" title="{}">{}</time>',
        local.isoformat(),
        date_format(local, "l, j F Y, H:i:s T"),
        date_format(local, pattern),
    )
