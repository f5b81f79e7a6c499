"""From what the browser edited back to the source."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

from templates_app.admin.canvas.opening import to_canvas
from templates_app.admin.canvas.pieces import CONTAINERS, Pieces

if TYPE_CHECKING:
    from templates_app.admin.canvas.opening import Canvas
    from templates_app.rendering.markup import Tag

_INDENT = "  "
_KEPT = frozenset(("ms-row", "ms-block"))
#: Browsers write a space that does not break where a person presses the space bar.
_QUOTED_OR_SPACE = re.compile(r"\"[^\"]*\"|'[^']*'|\xa0")


def from_canvas(markup: str, source: str) -> str:
    """Return the source with the body as edited; `source` is what was opened.

    Raises `TemplateSyntaxProblem` for what the editor cannot have made.
    """
    return _Closing(Pieces(markup), to_canvas(source)).source()


class _Closing:
    """One walk through what came back."""

    def __init__(self, pieces: Pieces, canvas: Canvas) -> None:
        self._pieces = pieces
        self._all = pieces.all
        self._canvas = canvas
        self._lines: list[str] = []

    def source(self) -> str:
        """Return the whole."""
        bodies = [
            number
            for number, one in enumerate(self._all)
            if one.tag and one.tag.name == "mj-body" and not one.tag.is_closing
        ]
        if len(bodies) != 1:
            raise self._pieces.problem(0, "the visual editor sent no mail")
        self._element(bodies[0], 1)
        body = "\n".join(self._lines).removeprefix(_INDENT)
        before, after = self._canvas.before, self._canvas.after
        return f"{before}{body}{after}"

    def _element(self, index: int, depth: int) -> int:
        """Write an element; return the index after it."""
        one = self._all[index]
        tag = one.tag
        if tag is None:
            self._line(depth, self._plain(one.start, one.end))
            return index + 1
        last = self._pieces.end_of_element(index)
        if tag.name in _KEPT:
            self._line(depth, self._kept_source(tag))
        elif tag.name in CONTAINERS:
            self._container(index, last, depth)
        elif last == index or not self._inner(index, last).strip():
            self._line(depth, f"{self._opening(tag)} />")
        else:
            content = self._inner(index, last)
            self._line(depth, f"{self._opening(tag)}>{content}</{tag.name}>")
        return last + 1

    def _container(self, index: int, last: int, depth: int) -> None:
        tag = self._all[index].tag
        assert tag is not None  # noqa: S101 - the caller has looked
        opening, closing = f"{self._opening(tag)}>", f"</{tag.name}>"
        if last <= index + 1:
            self._line(depth, opening + closing)
            return
        self._line(depth, opening)
        number = index + 1
        while number < last:
            number = self._element(number, depth + 1)
        self._line(depth, closing)

    def _line(self, depth: int, text: str) -> None:
        self._lines.append(_INDENT * depth + text)

    def _kept_source(self, tag: Tag) -> str:
        given = tag.get("n")
        text = given.value if given else ""
        is_number = text.isascii() and text.isdigit() and len(text) < 7  # noqa: PLR2004 - digits
        if not is_number or int(text) >= len(self._canvas.kept):
            raise self._pieces.problem(tag.start, "the visual editor sent an unknown piece")
        return self._canvas.kept[int(text)].source

    def _opening(self, tag: Tag) -> str:
        parts = [f"<{tag.name}"]
        for one in tag.attributes:
            value = self._plain(one.value_start, one.value_start + len(one.value))
            parts.append(f'{one.name}="{value}"')
        return " ".join(parts)

    def _inner(self, index: int, last: int) -> str:
        return self._plain(self._all[index].end, self._all[last].start)

    def _plain(self, start: int, end: int) -> str:
        """Return a part with its Liquid as its author would write it."""
        out: list[str] = []
        position = start
        for one in self._pieces.liquid_in(start, end):
            liquid = unescape(self._pieces.slice(one.start, one.end))
            spaced = _QUOTED_OR_SPACE.sub(
                lambda found: " " if found[0] == "\xa0" else found[0], liquid
            )
            out += (self._pieces.slice(position, one.start), spaced)
            position = one.end
        out.append(self._pieces.slice(position, end))
        return "".join(out)
