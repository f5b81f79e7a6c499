"""From values to text, and how heavy a value is."""

from __future__ import annotations

import re
from decimal import Decimal

from liquid.exceptions import LiquidTypeError
from markupsafe import Markup, escape

from templates_app.engine.context import require_defined
from templates_app.engine.errors import LimitReachedError
from templates_app.engine.limits import MAX_ITEMS, MAX_TEXT_CHARS

#: Finds what HTML escaping would change; most values have none of it.
needs_escape = re.compile("[&<>'\"]").search

_NUMBERS = (int, float, Decimal)
#: Values inside a list, those inside its objects counted.
_MAX_WEIGHT = 10 * MAX_ITEMS


def printable(value: object, *, autoescape: bool) -> str:
    """Return the text of any value a template may print, escaped for HTML if asked.

    Raises `LiquidTypeError` for an object (print one of its fields) and for anything that is no
    plain data, `UndefinedError` for a missing variable, `LimitReachedError`.
    """
    text = _text(value)
    if autoescape and not isinstance(text, Markup):
        return str(escape(text))
    return text


def as_text(value: object) -> str:
    """Return the text of a value that a text filter is applied to; safe markup stays marked."""
    text = _text(value)
    if len(text) > MAX_TEXT_CHARS:
        raise LimitReachedError("a text is too long for a filter")
    return text


def check_weight(value: object) -> tuple[int, int]:
    """Return how many items and characters a value holds. Raises `LimitReachedError`."""
    items, chars = _weigh(value, 0, 0)
    if items > _MAX_WEIGHT or chars > MAX_TEXT_CHARS or _length(value) > MAX_ITEMS:
        raise LimitReachedError("a list is too long for a filter")
    return items, chars


def _text(value: object) -> str:
    kind = type(value)
    if kind is str or kind is Markup:
        return value  # type: ignore[return-value]  # narrowed by identity of the type
    if value is None:
        return ""
    if kind is bool:
        return "true" if value else "false"
    if kind in _NUMBERS:
        return str(value)
    return _text_of_others(value)


def _text_of_others(value: object) -> str:
    require_defined(value)
    if isinstance(value, (list, tuple)):
        return _joined(value)
    if isinstance(value, range):
        return f"{value.start}..{value.stop - 1}"
    if isinstance(value, str):  # a subclass from outside is not trusted to be safe markup
        return "".join(value)
    if isinstance(value, dict):
        raise LiquidTypeError("an object cannot be printed, print one of its fields", token=None)
    raise LiquidTypeError(f"a value of type {type(value).__name__} cannot be printed", token=None)


def _joined(items: list[object] | tuple[object, ...]) -> str:
    check_weight(items)
    texts = [_text(item) for item in items]
    if any(isinstance(text, Markup) for text in texts):
        return Markup("").join(texts)
    return "".join(texts)


def _length(value: object) -> int:
    return len(value) if isinstance(value, (list, tuple, range)) else 0


def _weigh(value: object, items: int, chars: int) -> tuple[int, int]:
    """Add a value to a count of items and characters; stops soon after a bound is passed."""
    if isinstance(value, str):
        return items + 1, chars + len(value)
    if isinstance(value, (list, tuple)):
        parts = iter(value)
    elif isinstance(value, dict):
        parts = iter(value.values())
    else:
        return items + 1 + (len(value) if isinstance(value, range) else 0), chars
    for part in parts:
        items, chars = _weigh(part, items, chars)
        if items > _MAX_WEIGHT or chars > MAX_TEXT_CHARS:
            break
    return items, chars
