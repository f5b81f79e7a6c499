"""JSON values that can be stored, read back and written again without harm. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

#: (path, code, message)
Fault = tuple[str, str, str]

MAX_VALUE_CHARS = 256 * 1024
MAX_DEPTH = 40
_MAX_INTEGER = 2**63
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def text_fault(path: str, value: object) -> Fault | None:
    """Return what keeps a value from being a text that the database can hold."""
    if not isinstance(value, str):
        return (path, "invalid_type", "This must be a string.")
    if _UNSTORABLE.search(value):
        return (path, "invalid_characters", "Not allowed: NUL and halves of surrogate pairs.")
    return None


def object_fault(path: str, value: object) -> Fault | None:
    """Return what keeps a value from being a JSON object that the database can hold."""
    if not isinstance(value, Mapping):
        return (path, "invalid_type", "This must be an object.")
    room = MAX_VALUE_CHARS
    pending: list[tuple[object, int]] = [(value, 1)]
    while pending:
        one, depth = pending.pop()
        if depth > MAX_DEPTH:
            return (path, "too_large", f"At most {MAX_DEPTH} levels.")
        if message := _leaf_fault(one):
            return (path, "invalid", message)
        parts = _parts(one)
        room -= 1 + (len(one) if isinstance(one, str) else len(parts))
        if room < 0:
            return (path, "too_large", f"At most {MAX_VALUE_CHARS:,} characters.")
        pending += [(part, depth + 1) for part in parts]
    return None


def _parts(value: object) -> list[Any]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else []


def _leaf_fault(value: object) -> str:
    if isinstance(value, str) and _UNSTORABLE.search(value):
        return "Not allowed: NUL and halves of surrogate pairs."
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        return "Whole numbers have at most 64 bits."
    if isinstance(value, float) and not math.isfinite(value):
        return "A number must be finite."
    return ""
