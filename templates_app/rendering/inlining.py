"""CSS rules written into the elements, once where that can be done before filling.

A parser would move the Liquid of a source about, so css-inline works on a copy without it, in which
every element has a number. What it finds for an element is put into the source, of which nothing
else changes. That is right as long as filling cannot change which rule meets which element; where
it can, each filled mail is inlined.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import css_inline

from templates_app.engine import TemplateSyntaxProblem, place, scan
from templates_app.rendering.css_bounds import css_excess
from templates_app.rendering.markup import MASK, VOID, Tag, constructs_in, masked, tags, too_deep_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from templates_app.engine import Construct

_INLINER = css_inline.CSSInliner(keep_style_tags=True, load_remote_stylesheets=False)
_TOKEN = re.compile(r"lq(\d+)z")
_START_TAG = re.compile(r"""<[a-zA-Z](?:[^"'>]|"[^"]*"|'[^']*')*>""")
_NUMBER = re.compile(r'\sdata-lq="(\d+)"')
_STYLE = re.compile(r'\sstyle="([^"]*)"')
_RULES = re.compile(r"\{[^{}]*\}")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
#: Selectors whose elements depend on what stands beside them.
_POSITIONAL = re.compile(r":(?:nth|first|last|only|empty)|[+~]")
#: A mail beyond is shown by no program whole.
_MAX_FILLED_CHARS = 1_000_000
_BRANCHING = frozenset(("if", "unless", "case", "for", "capture", "ifchanged"))
_MIDDLE = frozenset(("else", "elsif", "when"))


class Inlined(NamedTuple):
    """A source whose rules are in its elements, or that has to be inlined once filled."""

    html: str
    #: Why each filled mail needs inlining; empty if it does not.
    reason: str = ""


class _Impossible(Exception):  # noqa: N818 - never leaves this module
    """Inlining before filling would be wrong."""


def check_css(source: str) -> None:
    """Raise `TemplateSyntaxProblem` for a source whose CSS `inline_source` would take long for."""
    if excess := css_excess(masked(source, scan(source))):
        raise TemplateSyntaxProblem(*place(source, excess.start), excess.message)


def inline_source(source: str) -> Inlined:
    """Inline the rules of an HTML source with Liquid in it."""
    if "<style" not in source.lower():
        return Inlined(source)
    if too_deep_at(source) >= 0:
        return Inlined(source, "elements are nested too deeply")
    constructs = scan(source)
    plain = masked(source, constructs)
    try:
        return Inlined(_inlined(source, plain, constructs))
    except _Impossible as impossible:
        return Inlined(source, str(impossible))


def inline_filled(html: str) -> str:
    """Inline the rules of an HTML document; one it cannot read, or safely, stays as it is."""
    if len(html) > _MAX_FILLED_CHARS or "<style" not in html.lower():
        return html
    if too_deep_at(html) >= 0 or css_excess(html):
        return html
    try:
        return _INLINER.inline(html)
    except css_inline.InlineError:
        return html


def _inlined(source: str, plain: str, constructs: list[Construct]) -> str:
    found = list(tags(plain))
    css = "\n".join(tag.content for tag in found if tag.name == "style")
    _check_structure(plain, found, constructs)
    has_tags = any(one.name in _BRANCHING for one in constructs)
    selectors = _RULES.sub("", _COMMENT.sub("", css))
    if has_tags and _POSITIONAL.search(selectors):
        raise _Impossible("a rule depends on what stands beside an element, among {% … %} tags")
    if "[" in selectors and constructs:
        raise _Impossible("a rule asks for an attribute")
    marked = _marked(source, plain, found, constructs)
    try:
        styles = _styles(_INLINER.inline(marked))
    except css_inline.InlineError as error:
        raise _Impossible(f"the CSS cannot be read: {error}") from error
    return _patched(source, found, constructs, styles)


# --- may it be done before filling? ---------------------------------------------------------------


def _check_structure(plain: str, found: list[Tag], constructs: list[Construct]) -> None:
    if f"<{MASK}" in plain or f"</{MASK}" in plain:
        raise _Impossible("Liquid makes a tag name")
    for tag in found:
        inside = constructs_in(constructs, tag.start, tag.end)
        if inside:
            _check_tag(tag, inside)
        if tag.name == "style":
            _check_css(tag, constructs_in(constructs, tag.end, tag.end + len(tag.content)))
    _check_branches(found, constructs)


def _check_tag(tag: Tag, inside: Sequence[Construct]) -> None:
    for one in inside:
        place = next((a for a in tag.attributes if a.start <= one.start < a.end), None)
        if place is None or MASK in place.name:
            raise _Impossible(f"Liquid makes attributes of <{tag.name}>")
        if place.name in {"class", "id"}:
            raise _Impossible(f"Liquid makes the {place.name} of <{tag.name}>")
        if place.name == "style" and not _is_css_value(one, place.value, place.value_start):
            raise _Impossible(f"Liquid makes the style of <{tag.name}>")


def _check_css(style: Tag, inside: Sequence[Construct]) -> None:
    for one in inside:
        if not _is_css_value(one, style.content, style.end, depth=1):
            raise _Impossible("Liquid makes rules in <style>")


def _is_css_value(one: Construct, css: str, css_start: int, *, depth: int = 0) -> bool:
    """Tell whether a construct is (part of) the value of a declaration."""
    before = css[: one.start - css_start]
    if not one.is_output or before.count("{") - before.count("}") < depth:
        return False
    last = max(before.rfind(mark) for mark in ":;{}")
    return last >= 0 and before[last] == ":"


def _check_branches(found: list[Tag], constructs: list[Construct]) -> None:
    """Each branch must close what it opens, or an element's ancestors depend on the context."""
    steps: list[Tag | Construct] = [
        tag for tag in found if tag.name not in VOID and not tag.is_empty
    ]
    steps += [one for one in constructs if one.name]
    depths = [0]
    for step in sorted(steps, key=lambda one: one.start):
        if isinstance(step, Tag):
            depths[-1] += -1 if step.is_closing else 1
            is_even = len(depths) == 1 or depths[-1] >= 0
        else:
            is_even = _step(step.name, depths)
        if not is_even:
            raise _Impossible("a branch opens a tag that it does not close, or the reverse")


def _step(name: str, depths: list[int]) -> bool:
    """Enter or leave a branch; False if it leaves tags open."""
    if name in _BRANCHING:
        depths.append(0)
        return True
    if name in _MIDDLE:
        return not depths[-1]
    if name.removeprefix("end") in _BRANCHING and len(depths) > 1:
        return not depths.pop()
    return True


# --- do it ----------------------------------------------------------------------------------------


def _marked(source: str, plain: str, found: list[Tag], constructs: list[Construct]) -> str:
    """Return the document with a number on each element, tokens for Liquid in CSS, none in text."""
    numbers = {one.start: number for number, one in enumerate(constructs)}

    def tokenized(start: int, end: int) -> str:
        pieces: list[str] = []
        for one in constructs_in(constructs, start, end):
            pieces += (source[start : one.start], f"lq{numbers[one.start]}z")
            start = one.end
        return "".join((*pieces, source[start:end]))

    pieces: list[str] = []
    position = 0
    for number, tag in enumerate(found):
        pieces.append(plain[position : tag.start].replace(MASK, ""))
        text = tokenized(tag.start, tag.end)
        if not tag.is_closing:
            head = len(tag.name) + 1
            text = f'{text[:head]} data-lq="{number}"{text[head:]}'
        position = tag.end
        if tag.name == "style" and not tag.is_closing:
            position += len(tag.content)
            text += tokenized(tag.end, position)
        pieces.append(text)
    pieces.append(plain[position:].replace(MASK, ""))
    return "".join(pieces)


def _styles(html: str) -> dict[int, str]:
    """Map element numbers to their style attributes, as they stand in the HTML."""
    styles: dict[int, str] = {}
    for tag in _START_TAG.findall(html):
        number = _NUMBER.search(tag)
        style = _STYLE.search(tag)
        if number and style:
            styles.setdefault(int(number[1]), style[1])
    return styles


def _patched(
    source: str, found: list[Tag], constructs: list[Construct], styles: dict[int, str]
) -> str:
    pieces: list[str] = []
    position = 0
    for number, tag in enumerate(found):
        style = styles.get(number)
        if style is None or tag.is_closing:
            continue
        present = tag.get("style")
        if present is not None and constructs_in(constructs, present.start, present.end):
            _check_kept(style, constructs, present.start, present.end)
        style = _TOKEN.sub(lambda token: _liquid(source, constructs, token), style)
        if present is not None:
            pieces += (source[position : present.start], f'style="{style}"')
            position = present.end
        else:
            head = tag.start + len(tag.name) + 1
            pieces += (source[position:head], f' style="{style}"')
            position = head
    pieces.append(source[position:])
    return "".join(pieces)


def _check_kept(style: str, constructs: list[Construct], start: int, end: int) -> None:
    kept = {int(number) for number in _TOKEN.findall(style)}
    for number, one in enumerate(constructs):
        if start <= one.start < end and number not in kept:
            raise _Impossible("Liquid in a style attribute is lost when rules are inlined")


def _liquid(source: str, constructs: list[Construct], token: re.Match[str]) -> str:
    one = constructs[int(token[1])]
    return source[one.start : one.end]
