"""What an author probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from templates_app.engine.errors import Missing

#: Names compared, and their length: the comparison is quadratic in the latter.
_MAX_NAMES = 200
_MAX_NAME_CHARS = 60
#: Names listed in a message.
_SHOWN = 12


def closest(name: str, known: Iterable[str]) -> str:
    """Return the known name most like the given one, empty if none is near."""
    if len(name) > _MAX_NAME_CHARS:
        return ""
    names = [one for one in known if len(one) <= _MAX_NAME_CHARS][:_MAX_NAMES]
    by_folded = {one.lower(): one for one in names}
    found = get_close_matches(name.lower(), list(by_folded), n=1, cutoff=0.7)
    return by_folded[found[0]] if found else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` or nothing, to end a message with."""
    nearest = closest(name, known)
    return f", did you mean '{nearest}'?" if nearest else ""


def missing(variable: str, context: Mapping[str, object]) -> Missing:
    """Return what is known where a variable such as `order.total` ends being known."""
    value: object = context
    before: list[str] = []
    for name in variable.split("."):
        if not isinstance(value, Mapping):
            return Missing(variable)
        if name not in value:
            known = [str(key)[:_MAX_NAME_CHARS] for key in list(value)[:_MAX_NAMES]]
            nearest = closest(name, known)
            suggestion = ".".join((*before, nearest)) if nearest else ""
            return Missing(variable, tuple(sorted(known)[:_SHOWN]), suggestion)
        value = value[name]
        before.append(name)
    return Missing(variable)


def words_for(found: Missing) -> str:
    """Return the sentence that tells an author about a missing variable."""
    text = f"The variable '{found.variable}' is missing"
    if found.suggestion:
        return f"{text}, did you mean '{found.suggestion}'?"
    if found.known:
        return f"{text}; known here: {', '.join(found.known)}"
    return text
