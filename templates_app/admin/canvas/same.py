"""Whether the browser left alone what nobody touched."""

from __future__ import annotations

import re
from html import unescape
from itertools import zip_longest
from typing import TYPE_CHECKING

from templates_app.admin.canvas.pieces import Pieces
from templates_app.rendering.markup import VOID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from templates_app.rendering.markup import Attribute, Tag

_SPACES = re.compile(r"[ \t\r\n\f]+")
_SHOWN_CHARS = 120


def difference(sent: str, returned: str) -> str:
    """Return the first thing sent that did not come back, empty if all did.

    Two ways to write the same are no difference: quotes, entities, order of attributes, spaces in
    `style`. Raises `TemplateSyntaxProblem` for what is no markup.
    """
    for one, other in zip_longest(_tokens(Pieces(sent)), _tokens(Pieces(returned))):
        if one != other:
            return (one or other or "")[:_SHOWN_CHARS]
    return ""


def _tokens(pieces: Pieces) -> Iterator[str]:
    position = 0
    for one in pieces.all:
        if one.liquid is not None:
            continue
        yield from _text(pieces.slice(position, one.start))
        position = one.end
        if one.tag is None:
            yield _SPACES.sub(" ", pieces.slice(one.start, one.end))
        else:
            yield from _tag(pieces, one.tag)
    yield from _text(pieces.slice(position, len(pieces.source)))


def _text(text: str) -> Iterator[str]:
    shown = _SPACES.sub(" ", unescape(text))
    if shown:
        yield shown


def _tag(pieces: Pieces, tag: Tag) -> Iterator[str]:
    if tag.is_closing:
        yield f"</{tag.name}>"
        return
    attributes = sorted(_attribute(pieces, one) for one in tag.attributes)
    yield f"<{' '.join([tag.name, *attributes])}>"
    if tag.is_empty and tag.name not in VOID:
        yield f"</{tag.name}>"


def _attribute(pieces: Pieces, one: Attribute) -> str:
    value = unescape(pieces.slice(one.value_start, one.value_start + len(one.value)))
    if one.name == "style":
        rules = (rule.partition(":") for rule in value.split(";") if rule.strip())
        value = ";".join(f"{name.strip().lower()}:{given.strip()}" for name, _, given in rules)
    elif one.name == "class":
        value = " ".join(value.split())
    return f'{one.name}="{value}"'
