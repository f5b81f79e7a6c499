"""The email types, at hand in every process."""

from __future__ import annotations

import threading
import time

from delivery.models import EmailType

#: How old the remembered table may be.
CACHE_SECONDS = 5.0

_lock = threading.Lock()
_held: tuple[float, dict[str, EmailType]] | None = None


def email_types() -> dict[str, EmailType]:
    """Return all email types by name; a change is seen after `CACHE_SECONDS`."""
    global _held  # noqa: PLW0603 - a cache of the whole process
    held = _held
    if held is not None and held[0] > time.monotonic():
        return held[1]
    types = EmailType.objects.in_bulk()
    with _lock:
        _held = (time.monotonic() + CACHE_SECONDS, types)
    return types


def email_type_names() -> frozenset[str]:
    """Return the names of all email types, as they are now."""
    return frozenset(EmailType.objects.values_list("name", flat=True))


def forget_email_types() -> None:
    """Make the next look go to the database."""
    global _held  # noqa: PLW0603 - a cache of the whole process
    with _lock:
        _held = None
