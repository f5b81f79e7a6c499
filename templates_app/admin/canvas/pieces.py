"""A source as a row of pieces: tags, Liquid and comments, with what stands between them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from templates_app.engine import TemplateSyntaxProblem, place, scan
from templates_app.rendering.markup import MASK, VOID, Tag, constructs_in, masked, tags, too_deep_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from templates_app.engine import Construct

#: Elements that hold elements, and nothing else.
CONTAINERS = frozenset(
    [
        "mj-body",
        "mj-wrapper",
        "mj-section",
        "mj-group",
        "mj-column",
        "mj-hero",
        "mj-social",
        "mj-navbar",
    ]
)
#: Elements that hold text, and those that hold nothing.
LEAVES = frozenset(
    [
        "mj-text",
        "mj-button",
        "mj-social-element",
        "mj-navbar-link",
        "mj-image",
        "mj-divider",
        "mj-spacer",
    ]
)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


class Piece(NamedTuple):
    """A tag, a construct of Liquid, or, if it is neither, a comment."""

    start: int
    #: Exclusive.
    end: int
    tag: Tag | None = None
    liquid: Construct | None = None

    def is_end_of(self, name: str) -> bool:
        """Tell whether it is the end tag of that name."""
        return self.tag is not None and self.tag.is_closing and self.tag.name == name


class Pieces:
    """A source in pieces. Raises `TemplateSyntaxProblem` if its Liquid cannot be told apart."""

    def __init__(self, source: str) -> None:
        deep = too_deep_at(source)
        if deep >= 0:
            raise problem(source, deep, "elements are nested too deeply")
        self.source = source
        self.liquid = scan(source)
        self.plain = masked(source, self.liquid)
        self.all = self._in_order()

    def _in_order(self) -> list[Piece]:
        """Return the pieces; what stands inside another one, such as in an attribute, is none."""
        found = [Piece(one.start, one.end, tag=one) for one in tags(self.plain)]
        found += [Piece(one.start, one.end, liquid=one) for one in self.liquid]
        found += [Piece(*one.span()) for one in _COMMENT.finditer(self.plain)]
        found.sort(key=lambda one: (one.start, -one.end))
        outer: list[Piece] = []
        for one in found:
            if not outer or one.start >= outer[-1].end:
                outer.append(one)
        return outer

    def slice(self, start: int, end: int) -> str:
        """Return a part as it was written."""
        return self.source[start:end]

    def liquid_in(self, start: int, end: int) -> Sequence[Construct]:
        """Return the Liquid that begins in a part."""
        return constructs_in(self.liquid, start, end)

    def end_of_element(self, index: int) -> int:
        """Return the index of the end tag of the element that begins at an index, or the same."""
        tag = self.all[index].tag
        if tag is None or tag.is_empty or tag.name in VOID:
            return index
        depth = 0
        for number in range(index, len(self.all)):
            other = self.all[number].tag
            if other is None or other.name != tag.name or other.is_empty:
                continue
            depth += -1 if other.is_closing else 1
            if depth == 0:
                return number
        raise self.problem(tag.start, f"<{tag.name}> is never closed")

    def is_plain(self, tag: Tag) -> bool:
        """Tell whether Liquid stands in no part of a tag but the values of its attributes."""
        here = self.plain.count(MASK, tag.start, tag.end)
        return here == sum(one.value.count(MASK) for one in tag.attributes)

    def gap(self, start: int, end: int) -> bool:
        """Tell whether nothing but spaces stands in a part."""
        return not self.plain[start:end].strip()

    def problem(self, index: int, message: str) -> TemplateSyntaxProblem:
        """Return an error with the place of a position."""
        return problem(self.source, index, message)


def problem(source: str, index: int, message: str) -> TemplateSyntaxProblem:
    """Return an error with the place of a position in a source."""
    return TemplateSyntaxProblem(*place(source, index), message)
