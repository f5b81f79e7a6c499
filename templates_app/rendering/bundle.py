"""Layouts and partials worked into one source, so that sending needs no other template.

A mail begins with `{% layout "name" %}` to stand inside a layout. What it puts between
`{% block title %}` and `{% endblock %}` takes the place of the layout's block of that name
(`{{ block.super }}` is what stood there), the rest stands where the layout says `{{ content }}`.
These are the words of LiquidJS and Eleventy; `{{ content }}` is what Shopify calls
`content_for_layout`. A partial is `{% render "name", item: line %}`, also `… with line as item` and
`… for lines as item`, with a scope of its own, as everywhere in Liquid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from templates_app.engine import Construct, TemplateSyntaxProblem, did_you_mean, place, scan
from templates_app.engine.limits import MAX_PARTIAL_DEPTH, MAX_PARTIALS, MAX_SOURCE_CHARS
from templates_app.rendering.markup import MASK, constructs_in, masked
from templates_app.rendering.pieces import Bundle, Origin, Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from templates_app.rendering.pieces import Library, PartName, Shared

_RENDER = re.compile(
    r"""(["'])(?P<name>[\w-]+)\1\s*"""
    r"""(?:(?P<how>with|for)\s+(?P<value>[^\s,]+)(?:\s+as\s+(?P<alias>\w+))?)?"""
    r"""\s*,?\s*(?P<arguments>.*)""",
    re.DOTALL,
)
_LAYOUT = re.compile(r"""(["'])(?P<name>[\w-]+)\1""")
_BLOCK_NAME = re.compile(r"\w[\w-]*")
_SILENT = ("assign", "comment", "doc", "#")


def bundle(
    source: str, *, part: PartName, library: Library, format_: str = "html", own_id: str = ""
) -> Bundle:
    """Work layouts and partials into a source. Raises `TemplateSyntaxProblem`.

    `own_id` is that of the layout or partial whose source it is, which must not contain itself.
    """
    bundler = _Bundler(part, library, format_, own_id)
    pieces = bundler.document(Origin("", source))
    return Bundle(pieces, bundler.used, bundler.format)


@dataclass(slots=True)
class _Holes:
    """What goes into a layout; a block is made from what stands in the layout's."""

    blocks: dict[str, Callable[[list[Piece]], list[Piece]]]
    content: list[Piece]
    is_content_used: bool = False


class _Bundler:
    def __init__(self, part: PartName, library: Library, format_: str, own_id: str) -> None:
        self.part = part
        self.library = library
        self.format = format_
        self.used: dict[str, int] = {}
        self._chars = 0
        self._count = 0
        self._chain = [(own_id, "it")] if own_id else []
        self._partials: dict[str, list[Piece]] = {}
        self._seen_blocks: dict[str, None] = {}

    # --- documents --------------------------------------------------------------------------------

    def document(self, origin: Origin, holes: _Holes | None = None) -> list[Piece]:
        """Return a mail or layout with all that stands around and in it."""
        constructs = _scan(origin)
        first = next((one for one in constructs if one.name not in {"comment", "doc", "#"}), None)
        if first is None or first.name != "layout":
            return self._expand(origin, constructs, (0, len(origin.source)), holes)
        if origin.source[: first.start].strip() and constructs[0] is first:
            raise _problem(origin, first.start, "`layout` stands before anything else")
        layout = self._layout(origin, first)
        own = self._holes(origin, constructs, first, holes)
        self._enter(origin, first, layout)
        self._seen_blocks = {}
        outer = Origin(layout.name, self._text_of(layout, origin, first))
        pieces = self.document(outer, own)
        for name in own.blocks:
            if name not in self._seen_blocks:
                hint = did_you_mean(name, self._seen_blocks)
                message = f"the layout '{layout.name}' has no block '{name}'{hint}"
                raise _problem(origin, first.start, message)
        self._chain.pop()
        return self._with_rest(origin, first, own, pieces)

    def _with_rest(
        self, origin: Origin, layout: Construct, own: _Holes, pieces: list[Piece]
    ) -> list[Piece]:
        """Keep assignments that stand outside of blocks; refuse text that has no place."""
        if own.is_content_used:
            return pieces
        rest = "".join(piece.text for piece in own.content)
        constructs = scan(rest)
        if masked(rest, constructs).replace(MASK, "").strip() or any(
            one.name not in _SILENT for one in constructs
        ):
            raise _problem(
                origin,
                layout.start,
                "the layout has no {{ content }}: write everything inside its blocks",
            )
        return [*own.content, *pieces]

    def _layout(self, origin: Origin, tag: Construct) -> Shared:
        named = _LAYOUT.fullmatch(tag.body)
        if named is None:
            raise _problem(origin, tag.start, 'write {% layout "name" %}')
        layout = self._find(origin, tag, named["name"], "layout")
        if self.part == "html":
            if self.format == "mjml" and layout.format != "mjml":
                message = f"an MJML mail needs an MJML layout, '{layout.name}' is HTML"
                raise _problem(origin, tag.start, message)
            self.format = layout.format
        return layout

    def _holes(
        self,
        origin: Origin,
        constructs: list[Construct],
        layout: Construct,
        holes: _Holes | None,
    ) -> _Holes:
        """Split a source into its blocks and the rest."""
        blocks: dict[str, Callable[[list[Piece]], list[Piece]]] = dict(
            holes.blocks if holes else {}
        )
        content: list[Piece] = []
        position = layout.end
        index = constructs.index(layout) + 1
        while index < len(constructs):
            one = constructs[index]
            if one.name == "block":
                last = _end_of_block(origin, constructs, index)
                content += self._expand(
                    origin, _between(constructs, position, one.start), (position, one.start), holes
                )
                name = _block_name(origin, one)
                fill = self._fill(origin, constructs, (one.end, constructs[last].start), holes)
                blocks[name] = _overriding(blocks.get(name), fill)
                position = constructs[last].end
                index = last
            index += 1
        end = len(origin.source)
        content += self._expand(origin, _between(constructs, position, end), (position, end), holes)
        return _Holes(blocks, _trimmed(content))

    def _fill(
        self,
        origin: Origin,
        constructs: list[Construct],
        span: tuple[int, int],
        holes: _Holes | None,
    ) -> Callable[[list[Piece]], list[Piece]]:
        inner = _between(constructs, *span)

        def fill(above: list[Piece]) -> list[Piece]:
            return self._expand(origin, inner, span, holes, above)

        return fill

    # --- what stands in them ----------------------------------------------------------------------

    def _expand(
        self,
        origin: Origin,
        constructs: Sequence[Construct],
        span: tuple[int, int],
        holes: _Holes | None = None,
        above: list[Piece] | None = None,
    ) -> list[Piece]:
        """Return a part of a source with blocks, content and partials put in."""
        pieces: list[Piece] = []
        position = span[0]
        index = 0
        while index < len(constructs):
            one = constructs[index]
            made: list[Piece] | None = None
            end = one.end
            if one.name == "block":
                last = _end_of_block(origin, constructs, index)
                made = self._block(origin, constructs, (index, last), holes)
                end, index = constructs[last].end, last
            else:
                made = self._replacement(origin, one, holes, above)
            if made is not None:
                pieces += (self._own(origin, position, one.start), *made)
                position = end
            index += 1
        pieces.append(self._own(origin, position, span[1]))
        return pieces

    def _replacement(
        self, origin: Origin, one: Construct, holes: _Holes | None, above: list[Piece] | None
    ) -> list[Piece] | None:
        """Return what stands in for a construct, None if it stays."""
        if one.name == "render":
            return self._render(origin, one)
        if one.name == "layout":
            raise _problem(origin, one.start, "`layout` stands once, before anything else")
        if one.name == "endblock":
            raise _problem(origin, one.start, "`endblock` without `block`")
        if one.is_output and one.body == "content" and holes is not None:
            holes.is_content_used = True
            return self._counted(holes.content)
        if one.is_output and one.body == "block.super" and above is not None:
            return self._counted(above)
        return None

    def _block(
        self,
        origin: Origin,
        constructs: Sequence[Construct],
        ends: tuple[int, int],
        holes: _Holes | None,
    ) -> list[Piece]:
        first, last = constructs[ends[0]], constructs[ends[1]]
        name = _block_name(origin, first)
        self._seen_blocks[name] = None
        inner = self._expand(
            origin, constructs[ends[0] + 1 : ends[1]], (first.end, last.start), holes
        )
        fill = holes.blocks.get(name) if holes else None
        return inner if fill is None else fill(inner)

    def _render(self, origin: Origin, tag: Construct) -> list[Piece]:
        asked = _RENDER.fullmatch(tag.body)
        if asked is None:
            raise _problem(
                origin, tag.start, 'write {% render "name" %} or {% render "name", x: y %}'
            )
        partial = self._find(origin, tag, asked["name"], "partial")
        if partial.format == "mjml" and (self.part != "html" or self.format != "mjml"):
            message = f"the partial '{partial.name}' is MJML, which fits into MJML only"
            raise _problem(origin, tag.start, message)
        before, after = _isolation(asked, origin.source[tag.start : tag.end])
        return [
            Piece(before, origin, tag.start, is_made=True),
            *self._partial(origin, tag, partial),
            Piece(after, origin, tag.start, is_made=True),
        ]

    def _partial(self, origin: Origin, tag: Construct, partial: Shared) -> list[Piece]:
        if partial.name in self._partials:
            return self._counted(self._partials[partial.name])
        self._enter(origin, tag, partial)
        inner = Origin(partial.name, self._text_of(partial, origin, tag))
        pieces = self._expand(inner, _scan(inner), (0, len(inner.source)))
        self._chain.pop()
        self._partials[partial.name] = pieces
        return pieces

    # --- bounds -----------------------------------------------------------------------------------

    def _find(self, origin: Origin, tag: Construct, name: str, kind: str) -> Shared:
        self._count += 1
        if self._count > MAX_PARTIALS:
            raise _problem(origin, tag.start, f"more than {MAX_PARTIALS} layouts and partials")
        found = self.library.find(name, kind)
        if found is None:
            hint = did_you_mean(name, self.library.names(kind))
            message = f"there is no published {kind} '{name}'{hint}"
            raise _problem(origin, tag.start, message)
        self.used[found.id] = found.number
        return found

    def _enter(self, origin: Origin, tag: Construct, shared: Shared) -> None:
        ids = [one for one, _ in self._chain]
        if shared.id in ids:
            names = [name for _, name in self._chain[ids.index(shared.id) :]]
            way = " → ".join((*names, shared.name))
            raise _problem(origin, tag.start, f"'{shared.name}' would contain itself: {way}")
        if len(self._chain) >= MAX_PARTIAL_DEPTH:
            message = f"more than {MAX_PARTIAL_DEPTH} layouts and partials inside one another"
            raise _problem(origin, tag.start, message)
        self._chain.append((shared.id, shared.name))

    def _text_of(self, shared: Shared, origin: Origin, tag: Construct) -> str:
        if self.part == "html":
            return shared.html
        if not shared.text.strip():
            message = f"the {shared.kind} '{shared.name}' has no text, write one to use it here"
            raise _problem(origin, tag.start, message)
        return shared.text.strip() if self.part == "subject" else shared.text

    def _own(self, origin: Origin, start: int, end: int) -> Piece:
        self._count_chars(end - start)
        return Piece(origin.source[start:end], origin, start)

    def _counted(self, pieces: list[Piece]) -> list[Piece]:
        self._count_chars(sum(len(piece.text) for piece in pieces) + len(pieces))
        return pieces

    def _count_chars(self, chars: int) -> None:
        self._chars += chars
        if self._chars > 2 * MAX_SOURCE_CHARS:
            raise TemplateSyntaxProblem(
                1, 1, f"with its partials a template has at most {MAX_SOURCE_CHARS:,} characters"
            )


def _overriding(
    inner: Callable[[list[Piece]], list[Piece]] | None,
    outer: Callable[[list[Piece]], list[Piece]],
) -> Callable[[list[Piece]], list[Piece]]:
    """Let the block of the mail see, as what stood there, the block of the layout between."""
    if inner is None:
        return outer
    return lambda above: inner(outer(above))


def _scan(origin: Origin) -> list[Construct]:
    try:
        return scan(origin.source)
    except TemplateSyntaxProblem as problem:
        if not origin.name:
            raise
        message = f"in '{origin.name}': {problem.problem}"
        raise TemplateSyntaxProblem(problem.line, problem.column, message) from problem


def _problem(origin: Origin, index: int, message: str) -> TemplateSyntaxProblem:
    where = f"in '{origin.name}': " if origin.name else ""
    return TemplateSyntaxProblem(*place(origin.source, index), where + message)


def _between(constructs: Sequence[Construct], start: int, end: int) -> list[Construct]:
    return list(constructs_in(constructs, start, end))


def _block_name(origin: Origin, tag: Construct) -> str:
    name = tag.body.strip("\"'")
    if not _BLOCK_NAME.fullmatch(name):
        raise _problem(origin, tag.start, "write {% block name %}")
    return name


def _end_of_block(origin: Origin, constructs: Sequence[Construct], index: int) -> int:
    depth = 0
    for number in range(index, len(constructs)):
        depth += {"block": 1, "endblock": -1}.get(constructs[number].name, 0)
        if not depth:
            return number
    raise _problem(origin, constructs[index].start, "`block` is never closed by `endblock`")


def _isolation(asked: re.Match[str], tag: str) -> tuple[str, str]:
    """Return what stands before and after a partial where it was rendered."""
    opening = "{%-" if tag.startswith("{%-") else "{%"
    closing = "-%}" if tag.endswith("-%}") else "%}"
    arguments = asked["arguments"]
    if not asked["how"]:
        return f"{opening} isolate {arguments} %}}", f"{{% endisolate {closing}"
    name = asked["alias"] or asked["name"].replace("-", "_")
    arguments = f", {arguments}" if arguments else ""
    if asked["how"] == "with":
        value = asked["value"]
        return f"{opening} isolate {name}: {value}{arguments} %}}", f"{{% endisolate {closing}"
    loop = f"{opening} for {name} in {asked['value']} %}}"
    return (
        f"{loop}{{% isolate {name}: {name}, forloop: forloop{arguments} %}}",
        f"{{% endisolate %}}{{% endfor {closing}",
    )


def _trimmed(pieces: list[Piece]) -> list[Piece]:
    """Drop the white space around a content."""
    result = [piece for piece in pieces if piece.text]
    while result and not result[0].is_made and not result[0].text.strip():
        del result[0]
    while result and not result[-1].is_made and not result[-1].text.strip():
        del result[-1]
    if result and not result[0].is_made:
        first = result[0]
        text = first.text.lstrip()
        result[0] = Piece(text, first.origin, first.start + len(first.text) - len(text))
    if result and not result[-1].is_made:
        last = result[-1]
        result[-1] = Piece(last.text.rstrip(), last.origin, last.start)
    return result
