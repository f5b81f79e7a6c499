"""From the source to what the browser edits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from templates_app.admin.canvas.pieces import CONTAINERS, LEAVES, Piece, Pieces
from templates_app.rendering import mjml

if TYPE_CHECKING:
    from templates_app.engine import Construct
    from templates_app.rendering.markup import Tag

#: The browser moves Liquid out of them, or reads spaces in another way.
_NOT_SHOWN = frozenset(
    [
        "table",
        "pre",
        "style",
        "script",
        "textarea",
        "title",
        "select",
        "svg",
        "math",
        "iframe",
        "object",
        "form",
        "button",
        "base",
        "meta",
        "link",
        "template",
        "noscript",
    ]
)
_NAMES = {
    "mj-raw": "Raw HTML",
    "mj-table": "Table",
    "mj-accordion": "Accordion",
    "mj-carousel": "Carousel",
    "mj-social": "Social links",
    "mj-navbar": "Navigation",
    "mj-text": "Text with a table or code",
}
_WORDS = {
    "for": "For each {}",
    "if": "Only if {}",
    "unless": "Unless {}",
    "case": "Depending on {}",
    "tablerow": "Rows: {}",
    "render": "Partial {}",
    "block": "Block {}",
}
_TAG_OF_LIQUID = re.compile(r"\{%.*?%\}", re.DOTALL)
_LAYOUT = re.compile(r"\{%-?\s*layout\b")


@dataclass(frozen=True, slots=True)
class Kept:
    """A piece that the visual editor shows, moves and drops, but never changes."""

    source: str
    #: What it is, in words; empty for what no reader sees.
    label: str = ""
    #: MJML without the tags of Liquid, to be drawn in its place.
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Canvas:
    """What the browser edits."""

    #: `<mjml><mj-body>…`; Liquid is escaped, kept pieces are `<ms-row n="0">` or `<ms-block>`.
    markup: str
    kept: tuple[Kept, ...]
    #: Of the source, with the tags of head and root: what the browser does not see.
    before: str
    after: str
    #: The head's `<mj-attributes>` and the rules of its `<mj-style>`, to draw by.
    attributes: str
    css: str


def to_canvas(source: str) -> Canvas:
    """Return what the browser edits of an MJML source.

    Raises `TemplateSyntaxProblem` for what is no MJML, or cannot be shown without loss.
    """
    pieces = Pieces(source)
    layout = _LAYOUT.search(source)
    if layout and "<mjml" not in source.lower():
        words = "it stands in a layout, which brings head and body; only whole mails can be shown"
        raise pieces.problem(layout.start(), words)
    mjml.to_html(source, language="", direction="")
    return _Opening(pieces).canvas()


class _Opening:
    """One walk through a body."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._all = pieces.all
        self._ends = {one.name for one in pieces.liquid if one.name.startswith("end")}
        self._out: list[str] = []
        self._kept: list[Kept] = []

    def canvas(self) -> Canvas:
        """Return the whole."""
        pieces = self._pieces
        index = next((n for n, one in enumerate(self._all) if _opens(one, "mj-body")), -1)
        if index < 0:
            raise pieces.problem(0, "there is no <mj-body> to be shown")
        body = self._all[index].tag
        assert body is not None  # noqa: S101 - found by its tag
        if not pieces.is_plain(body):
            raise pieces.problem(body.start, "Liquid stands between the attributes of <mj-body>")
        last = pieces.end_of_element(index)
        head = self._all[:index]
        self._element(index)
        return Canvas(
            markup=f"<mjml>{''.join(self._out)}</mjml>",
            kept=tuple(self._kept),
            before=pieces.source[: body.start],
            after=pieces.source[self._all[last].end :],
            attributes=self._attributes(head),
            css="\n".join(
                pieces.slice(one.tag.end, one.tag.end + len(one.tag.content))
                for one in head
                if one.tag and _opens(one, "mj-style")
            ),
        )

    def _attributes(self, head: list[Piece]) -> str:
        """Return the `<mj-attributes>` of a head, Liquid escaped."""
        found = []
        for number, one in enumerate(head):
            if _opens(one, "mj-attributes"):
                end = self._all[self._pieces.end_of_element(number)].end
                found.append(self._escaped(one.start, end))
        return "".join(found)

    # --- the walk ---------------------------------------------------------------------------------

    def _element(self, index: int) -> int:
        """Write an element that holds elements; return the index after it."""
        pieces, tag = self._pieces, self._all[index].tag
        assert tag is not None  # noqa: S101 - the caller has looked
        self._out.append(self._opening(tag))
        last = pieces.end_of_element(index)
        number, position = index + 1, tag.end
        while number < last:
            self._require_gap(position, self._all[number].start, tag)
            number = self._child(number, tag.name)
            position = self._all[number - 1].end
        if last > index:
            self._require_gap(position, self._all[last].start, tag)
        self._out.append(f"</{tag.name}>")
        return last + 1

    def _require_gap(self, start: int, end: int, tag: Tag) -> None:
        if not self._pieces.gap(start, end):
            raise self._pieces.problem(start, f"text stands directly in <{tag.name}>")

    def _child(self, index: int, parent: str) -> int:
        """Write what begins at an index; return the index after it."""
        one = self._all[index]
        if one.liquid is not None:
            return self._keep(index, self._end_of_block(index, one.liquid), parent)
        if one.tag is None:
            return self._keep(index, index, parent)
        last = self._pieces.end_of_element(index)
        is_plain = self._pieces.is_plain(one.tag)
        if is_plain and one.tag.name in {"mj-social", "mj-navbar"}:
            return self._all_or_nothing(index, last, parent)
        if is_plain and one.tag.name in CONTAINERS:
            return self._element(index)
        if is_plain and one.tag.name in LEAVES and self._is_shown(index, last):
            self._out.append(self._opening(one.tag))
            if last > index:
                self._out.append(self._escaped(one.end, self._all[last].start))
            self._out.append(f"</{one.tag.name}>")
            return last + 1
        return self._keep(index, last, parent)

    def _all_or_nothing(self, index: int, last: int, parent: str) -> int:
        """Write a row of links; one with loops or the like among them is kept as a whole."""
        is_simple = all(
            one.tag is not None for one in self._all[index : last + 1]
        ) and all(self._is_shown(n, n) for n in range(index, last + 1))  # fmt: skip
        return self._element(index) if is_simple else self._keep(index, last, parent)

    def _is_shown(self, index: int, last: int) -> bool:
        """Tell whether the browser leaves an element's content as it is."""
        return all(
            one.tag is None or (one.tag.name not in _NOT_SHOWN and self._pieces.is_plain(one.tag))
            for one in self._all[index : last + 1]
        )

    def _end_of_block(self, index: int, opening: Construct) -> int:
        """Return the index of the tag that ends a block, the same index for what is no block."""
        ending = f"end{opening.name}"
        if opening.is_output or ending not in self._ends:
            return index
        depth = 0
        open_tags: list[str] = []
        for number in range(index, len(self._all)):
            one = self._all[number]
            if one.tag is not None and not _step(one.tag, open_tags):
                break
            if one.liquid is not None:
                depth += (one.liquid.name == opening.name) - (one.liquid.name == ending)
            if depth == 0 and not open_tags:
                return number
        shown = self._pieces.slice(opening.start, opening.end)
        words = f"`{shown}` begins inside of an element and ends outside of it, or the other way"
        raise self._pieces.problem(opening.start, words)

    def _keep(self, index: int, last: int, parent: str) -> int:
        first = self._all[index]
        start, end = first.start, self._all[last].end
        label = _label(first)
        shown = _TAG_OF_LIQUID.sub("", self._escaped(start, end)) if label else ""
        kind = "ms-row" if parent in {"mj-column", "mj-hero"} else "ms-block"
        self._out.append(f'<{kind} n="{len(self._kept)}"></{kind}>')
        self._kept.append(Kept(self._pieces.slice(start, end), label, shown))
        return last + 1

    # --- writing ----------------------------------------------------------------------------------

    def _opening(self, tag: Tag) -> str:
        parts = [f"<{tag.name}"]
        for one in tag.attributes:
            value = self._escaped(one.value_start, one.value_start + len(one.value))
            parts.append(f'{one.name}="{value.replace(chr(34), "&quot;")}"')
        return f"{' '.join(parts)}>"

    def _escaped(self, start: int, end: int) -> str:
        """Return a part with its Liquid as characters, not as markup."""
        out, position = [], start
        for one in self._pieces.liquid_in(start, end):
            out.append(self._pieces.slice(position, one.start))
            out.append(escape(self._pieces.slice(one.start, one.end)))
            position = one.end
        out.append(self._pieces.slice(position, end))
        return "".join(out)


def _opens(one: Piece, name: str) -> bool:
    return one.tag is not None and one.tag.name == name and not one.tag.is_closing


def _step(tag: Tag, open_tags: list[str]) -> bool:
    """Open or close a tag of MJML; False if that closes one which is not open."""
    if not tag.name.startswith("mj") or tag.is_empty:
        return True
    if not tag.is_closing:
        open_tags.append(tag.name)
        return True
    return bool(open_tags) and open_tags.pop() == tag.name


def _label(first: Piece) -> str:
    """Say what a kept piece is; nothing for what no reader sees."""
    if first.tag is not None:
        return _NAMES.get(first.tag.name, f"<{first.tag.name}>")
    if first.liquid is None:
        return ""
    if first.liquid.is_output:
        return f"{{{{ {first.liquid.body} }}}}"
    return _WORDS.get(first.liquid.name, "").format(first.liquid.body)
