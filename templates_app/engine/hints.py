"""What an author probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any

from liquid.builtin.tags.for_tag import ForLoop
from liquid.undefined import is_undefined

from templates_app.engine.errors import Missing
from templates_app.engine.locales import MAIL_FACTS, PERSONAL_LINKS
from templates_app.engine.nodes import LOOP_FIGURES

#: Names compared, and their length: the comparison is quadratic in the latter.
_MAX_NAMES = 200
_MAX_NAME_CHARS = 60
#: Names listed in a message.
_SHOWN = 12
#: Given by the service: suggested, but not listed.
_HELPERS = frozenset(("forloop", MAIL_FACTS, *PERSONAL_LINKS))
_ENDS: dict[object, int] = {"first": 0, "last": -1}


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


def missing(
    variable: str, parts: Sequence[object], namespaces: Sequence[Mapping[str, object]]
) -> Missing:
    """Return what is known where a variable such as `items[0].name` ends being known.

    `parts` are its names and indexes, `namespaces` what was in scope, innermost first.
    """
    value: object = _in_scope(namespaces)
    before = ""
    for part in parts:
        if not isinstance(part, (str, int)):
            break
        if isinstance(value, Mapping) and not is_undefined(value):
            if part not in value:
                return _missing_in(variable, before, str(part), value)
            value = value[part]
            before = f"{before}.{part}" if before else str(part)
        elif isinstance(value, list) and type(part) is int and -len(value) <= part < len(value):
            value = value[part]
            before = f"{before}[{part}]"
        elif isinstance(value, list) and value and part in _ENDS:
            value = value[_ENDS[part]]
            before = f"{before}.{part}"
        else:
            break
    return Missing(variable)


def _in_scope(namespaces: Sequence[Mapping[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for names in namespaces:
        for name, value in names.items():
            found.setdefault(name, value)
    return found


def _missing_in(variable: str, before: str, name: str, value: Mapping[Any, object]) -> Missing:
    # To walk through a loop's helper is to go on with the loop.
    keys = LOOP_FIGURES if isinstance(value, ForLoop) else value
    names = [str(key)[:_MAX_NAME_CHARS] for key in islice(keys, _MAX_NAMES)]
    nearest = closest(name, names)
    suggestion = f"{before}.{nearest}" if before and nearest else nearest
    known = sorted(one for one in names if before or one not in _HELPERS)
    return Missing(variable, tuple(known[:_SHOWN]), suggestion)


def words_for(found: Missing) -> str:
    """Return the sentence that tells an author about a missing variable."""
    text = f"The variable '{found.variable}' is missing"
    if found.suggestion:
        return f"{text}, did you mean '{found.suggestion}'?"
    if found.known:
        return f"{text}; known here: {', '.join(found.known)}"
    return text
