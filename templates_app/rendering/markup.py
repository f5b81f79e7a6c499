"""HTML and MJML as a row of tags, without changing a character of the source.

Parsers repair what they read, and move Liquid about while they do. Here only the places of tags and
attributes are found, in sources whose Liquid is masked, so that finishing can put something in at a
place and leave all else alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from templates_app.engine.limits import MAX_MARKUP_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from templates_app.engine import Construct

#: Stands for each character of Liquid in a masked source.
MASK = "\ue000"
VOID = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
    ]
)
#: Their content is no markup.
_RAW_TEXT = frozenset(("style", "script", "title", "textarea", "mj-style", "mj-title"))
_ANY_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
#: Void, or closed by the next of its kind unless another element stands between.
_NEVER_DEEP = VOID | frozenset(
    ["p", "li", "td", "th", "tr", "tbody", "thead", "tfoot", "dt", "dd", "option"]
)
_OPENING = re.compile(r"<!--|<(/?)([a-zA-Z][^\s/>]*)")
_REST = re.compile(r"""(?:[^"'>]|"[^"]*"|'[^']*')*>""")
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"'=<>`]+))?""")


class Attribute(NamedTuple):
    """One attribute; `value` is without quotes and, as all of it, masked."""

    name: str
    value: str
    start: int
    end: int
    #: Where the value begins, inside its quotes.
    value_start: int


class Tag(NamedTuple):
    """One start or end tag; for raw text such as `style`, `content` is what stands in it."""

    start: int
    end: int
    #: In lower case.
    name: str
    is_closing: bool
    is_empty: bool
    attributes: tuple[Attribute, ...]
    content: str = ""

    def get(self, name: str) -> Attribute | None:
        """Return the attribute of that name."""
        return next((one for one in self.attributes if one.name == name), None)


def masked(source: str, constructs: Sequence[Construct]) -> str:
    """Return the source with every character of Liquid masked; lines stay where they are."""
    pieces = []
    position = 0
    for one in constructs:
        pieces.append(source[position : one.start])
        liquid = source[one.start : one.end]
        pieces.append("\n".join(MASK * len(line) for line in liquid.split("\n")))
        position = one.end
    pieces.append(source[position:])
    return "".join(pieces)


def tags(source: str) -> Iterator[Tag]:
    """Yield the tags of a masked source in order, up to where it stops being markup."""
    position = 0
    last_end = source.rfind(">")
    while (found := _OPENING.search(source, position)) and found.start() < last_end:
        if found[2] is None:
            end = source.find("-->", found.end())
            if end < 0:
                return
            position = end + 3
            continue
        rest = _REST.match(source, found.end())
        if rest is None:
            position = found.end()
            continue
        tag = _tag(source, found, rest)
        position = tag.end
        if tag.name in _RAW_TEXT and not tag.is_closing and not tag.is_empty:
            closing = re.compile(f"</{re.escape(tag.name)}", re.IGNORECASE).search(source, tag.end)
            if closing is None:
                yield tag
                return
            position = closing.start()
            yield Tag(*tag[:-1], source[tag.end : position])
        else:
            yield tag


def too_deep_at(html: str) -> int:
    """Return where elements are nested more than `MAX_MARKUP_DEPTH` deep, -1 if nowhere.

    Parsers written in C and Rust recurse for each level, until the process dies.
    """
    if html.count("<") - html.count("</") <= MAX_MARKUP_DEPTH >= html.count("</"):
        return -1
    depth = 0
    open_: dict[str, int] = {}
    for found in _ANY_TAG.finditer(html):
        name = found[2].lower()
        if name in _NEVER_DEEP:
            continue
        if not found[1]:
            depth += 1
            open_[name] = open_.get(name, 0) + 1
            if depth > MAX_MARKUP_DEPTH:
                return found.start()
        elif open_.get(name):
            depth -= 1
            open_[name] -= 1
    return -1


def constructs_in(constructs: Sequence[Construct], start: int, end: int) -> Sequence[Construct]:
    """Return those of the constructs that begin in a part of the source."""
    first = bisect_left(constructs, start, key=lambda one: one.start)
    last = bisect_left(constructs, end, key=lambda one: one.start)
    return constructs[first:last]


def _tag(source: str, found: re.Match[str], rest: re.Match[str]) -> Tag:
    is_closing = bool(found[1])
    inner_end = rest.end() - 1
    is_empty = source[inner_end - 1] == "/"
    attributes = () if is_closing else tuple(_attributes(source, found.end(), inner_end))
    name = found[2].lower()
    return Tag(found.start(), rest.end(), name, is_closing, is_empty, attributes)


def _attributes(source: str, start: int, end: int) -> Iterator[Attribute]:
    for one in _ATTRIBUTE.finditer(source, start, end):
        quoted = one[2] or ""
        is_quoted = quoted[:1] in {'"', "'"}
        value = quoted[1:-1] if is_quoted else quoted
        value_start = one.start(2) + is_quoted if one[2] else one.end()
        yield Attribute(one[1].lower(), value, one.start(), one.end(), value_start)
