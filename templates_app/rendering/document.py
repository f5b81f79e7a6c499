"""What every finished HTML document has: language, writing direction, the hidden first line."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from templates_app.engine import scan
from templates_app.rendering.markup import Tag, masked, tags

if TYPE_CHECKING:
    from templates_app.engine import Construct

_HEAD = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
# Padding keeps mail programs from showing the text that follows.
_PREHEADER = (
    '<div style="display:none;max-height:0;overflow:hidden;mso-hide:all" aria-hidden="true">'
    "{}</div>"
)


def complete(source: str, *, language: str, direction: str, preheader: str = "") -> str:
    """Return a whole document: a bare fragment is wrapped, what the author set is kept."""
    found = list(tags(masked(source, scan(source))))
    root = _first(found, "html")
    body = _first(found, "body")
    if root is None and body is None:
        head = f'<!doctype html>\n<html lang="{language}" dir="{direction}"><head>{_HEAD}</head>'
        return f"{head}<body>\n{_hidden(preheader)}{source}\n</body></html>\n"
    if body is not None:
        source = source[: body.end] + _hidden(preheader) + source[body.end :]
    if root is not None:
        source = _with_language(source, root, language, direction)
    return source


def _first(found: list[Tag], name: str) -> Tag | None:
    return next((tag for tag in found if tag.name == name and not tag.is_closing), None)


def _with_language(source: str, root: Tag, language: str, direction: str) -> str:
    # mrml writes values of its own where the author gave none.
    added = "".join(
        f' {name}="{value}"'
        for name, value in (("lang", language), ("dir", direction))
        if root.get(name) is None
    )
    at = root.start + len("<html")
    return source[:at] + added + source[at:]


def _hidden(preheader: str) -> str:
    return _PREHEADER.format(_escaped(preheader.strip())) if preheader.strip() else ""


def _escaped(source: str) -> str:
    """Escape the text of a source around its Liquid, whose values are escaped when filled."""
    constructs: list[Construct] = scan(source)
    pieces: list[str] = []
    position = 0
    for one in constructs:
        pieces += (escape(source[position : one.start]), source[one.start : one.end])
        position = one.end
    return "".join((*pieces, escape(source[position:])))
