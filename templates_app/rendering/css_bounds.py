"""How much work css-inline would have with a document, counted before it begins. Pure.

Counts are upper bounds that no odd CSS gets below: they look at single characters of all `<style>`
elements, not at what a parser makes of them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from templates_app.engine.limits import (
    MAX_CSS_COPIED_CHARS,
    MAX_CSS_MATCHES,
    MAX_CSS_MERGES,
    MAX_CSS_RULES,
    MAX_ELEMENTS,
)

_STYLE = re.compile(r"<style\b", re.IGNORECASE)
_END_OF_STYLE = re.compile("</style", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_STYLE_ATTRIBUTE = re.compile(r"""\bstyle\s*=\s*("[^"]*"|'[^']*'|[^\s>]*)""", re.IGNORECASE)
_DECLARATION_ENDS = re.compile(r"""[;{}"'<>&]""")
#: Left open, a parser makes them anew inside each element that follows.
_FORMATTING = frozenset(
    (
        "a",
        "b",
        "big",
        "code",
        "em",
        "font",
        "i",
        "nobr",
        "s",
        "small",
        "strike",
        "strong",
        "tt",
        "u",
    )
)
_MADE_BY_END_TAGS = frozenset(("br", "p"))


class Excess(NamedTuple):
    """Why rules cannot be inlined, and where the first of them stand."""

    start: int
    message: str


def css_excess(html: str) -> Excess | None:
    """Return why inlining the document's CSS would take too long, None if it would not."""
    first = _STYLE.search(html)
    if first is None:
        return None
    css = _css(html, first.end())
    elements = _elements(html)
    message = _message(html, css, elements)
    return Excess(first.start(), message) if message else None


def _message(html: str, css: str, elements: int) -> str:
    rules = css.count("{")
    if rules > MAX_CSS_RULES:
        return f"more than {MAX_CSS_RULES:,} CSS rules"
    if elements > 3 * MAX_ELEMENTS:
        return f"more than {MAX_ELEMENTS:,} elements, or elements such as <b> that are never closed"
    words = f"the CSS is too much for {elements:,} elements: "
    selectors = rules + css.count(",")
    if selectors * elements > MAX_CSS_MATCHES:
        return f"{words}it has {selectors:,} selectors"
    # In an SVG, `&#58;` is a colon.
    declared = [_name(one) for one in _DECLARATION_ENDS.split(css) if ":" in one or "&" in css]
    names = {*declared, *_attribute_names(html)} if declared else set()
    if len(declared) * len(names) * elements > MAX_CSS_MERGES:
        return f"{words}it has {len(declared):,} declarations of {len(names):,} properties"
    if len(css) * elements > MAX_CSS_COPIED_CHARS:
        return f"{words}it has {len(css):,} characters"
    return ""


def _css(html: str, position: int) -> str:
    """Return all from the first `<style` on that may stand in one."""
    pieces = []
    while True:
        closing = _END_OF_STYLE.search(html, position)
        end = closing.start() if closing else len(html)
        pieces.append(html[position:end])
        opening = _STYLE.search(html, end)
        if opening is None:
            return "".join(pieces)
        position = opening.end()


def _elements(html: str) -> int:
    """Return how many elements a parser makes at most, copies of unclosed ones included."""
    count = 0
    open_: dict[str, int] = {}
    depth = 0
    for closing, written in _TAG.findall(html):
        name = written.lower()
        is_made = name in _MADE_BY_END_TAGS and not open_.get(name)
        count += depth + (not closing or is_made)
        if not closing:
            open_[name] = open_.get(name, 0) + 1
        elif open_.get(name):
            open_[name] -= 1
        else:
            continue
        if name in _FORMATTING:
            depth += -1 if closing else 1
    return count


def _attribute_names(html: str) -> set[str]:
    """Return the properties of all `style` attributes."""
    return {
        _name(one)
        for attribute in _STYLE_ATTRIBUTE.findall(html)
        for one in _DECLARATION_ENDS.split(attribute)
    }


def _name(declaration: str) -> str:
    return declaration.partition(":")[0].strip()
