"""MJML to HTML, once, with Liquid left in place.

mrml passes unknown tags silently and tells of a fault by a phrase only: tags are checked here
first.
"""

from __future__ import annotations

import re
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import mrml

from templates_app.engine import TemplateSyntaxProblem, did_you_mean, place, scan
from templates_app.engine.limits import MAX_CAROUSEL_IMAGES, MAX_MJML_COPIED_CHARS
from templates_app.rendering.markup import MASK, VOID, Tag, masked, tags, too_deep_at

if TYPE_CHECKING:
    from templates_app.engine import Construct

_KNOWN = frozenset(
    [
        "mjml",
        "mj-head",
        "mj-body",
        "mj-accordion",
        "mj-accordion-element",
        "mj-accordion-text",
        "mj-accordion-title",
        "mj-all",
        "mj-attributes",
        "mj-breakpoint",
        "mj-button",
        "mj-carousel",
        "mj-carousel-image",
        "mj-class",
        "mj-column",
        "mj-divider",
        "mj-font",
        "mj-group",
        "mj-hero",
        "mj-html-attributes",
        "mj-image",
        "mj-navbar",
        "mj-navbar-link",
        "mj-preview",
        "mj-raw",
        "mj-section",
        "mj-selector",
        "mj-social",
        "mj-social-element",
        "mj-spacer",
        "mj-style",
        "mj-table",
        "mj-text",
        "mj-title",
        "mj-wrapper",
        "mj-html-attribute",
    ]
)
#: mrml refuses text in these, without saying where.
_HOLD_NO_TEXT = frozenset(("mjml", "mj-head", "mj-attributes", "mj-html-attributes"))
_BARE = re.compile(r"<(?![a-zA-Z/!\ue000])")
_CAROUSEL_IMAGE = re.compile("<mj-carousel-image", re.IGNORECASE)
# No fonts fetched from strangers' servers.
_OPTIONS = mrml.RenderOptions(fonts={})
_PARSER = mrml.ParserOptions(include_loader=mrml.noop_loader())


class Converted(NamedTuple):
    """HTML with Liquid in it."""

    html: str
    #: Outputs that MJML dropped, as the author wrote them.
    lost: tuple[str, ...]


def to_html(source: str, *, language: str, direction: str) -> Converted:
    """Return the HTML of an MJML source. Raises `TemplateSyntaxProblem`."""
    # Browsers and editors send CRLF, which mrml refuses between the elements of a head.
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    if too_deep_at(source) >= 0:
        raise _problem(source, too_deep_at(source), "elements are nested too deeply")
    constructs = scan(source)
    plain = masked(source, constructs)
    _check_amount(plain)
    root = _check(plain, constructs)
    # What is assigned before the root stays there.
    head = source[: root.start]
    if plain[: root.start].replace(MASK, "").strip():
        raise _problem(plain, 0, "MJML begins with <mjml>")
    source, constructs = source[root.start :], scan(source[root.start :])
    prefix = "lq"
    while re.search(rf"{prefix}\d+z", source):
        prefix += "q"
    tokenized = _with_language(_tokenized(source, constructs, prefix), root, language, direction)
    try:
        html: str = mrml.to_html(tokenized, _PARSER, _OPTIONS).content
    except (OSError, ValueError) as error:
        raise TemplateSyntaxProblem(1, 1, f"this is no MJML: {error}") from error
    liquid = [source[one.start : one.end] for one in constructs]
    try:
        converted = _restored(html, liquid, prefix)
    except _LostTagError as error:
        one = constructs[error.args[0]]
        message = f"MJML cannot keep `{liquid[error.args[0]]}` here, put it in an <mj-raw>"
        raise _problem(plain, root.start + one.start, message) from error
    return Converted(head + converted.html, converted.lost)


def _tokenized(source: str, constructs: list[Construct], prefix: str) -> str:
    pieces: list[str] = []
    position = 0
    for number, one in enumerate(constructs):
        pieces += (source[position : one.start], f"{prefix}{number}z")
        position = one.end
    return "".join((*pieces, source[position:]))


def _check_amount(plain: str) -> None:
    """Refuse what MJML would make many times as long."""
    images = islice(_CAROUSEL_IMAGE.finditer(plain), MAX_CAROUSEL_IMAGES, None)
    if beyond := next(images, None):
        message = f"carousels hold more than {MAX_CAROUSEL_IMAGES} images"
        raise _problem(plain, beyond.start(), message)
    lower = plain.lower()
    first, last = lower.find("<mj-attributes"), lower.rfind("</mj-attributes")
    shared = max(last - first, 0) if first >= 0 else 0
    longest = max((tag.end - tag.start for tag in tags(plain)), default=0)
    count = plain.count("<")
    if count * (shared + longest) > MAX_MJML_COPIED_CHARS:
        message = f"its attributes are too long for {count:,} tags"
        raise _problem(plain, max(first, 0), message)


def _check(plain: str, constructs: list[Construct]) -> Tag:
    """Refuse unknown and unbalanced tags, and Liquid where MJML holds no text; return the root."""
    pending = deque(constructs)
    last_end = 0
    if bare := _BARE.search(plain):
        raise _problem(plain, bare.start(), "write &lt; for a bare '<'")
    stack: list[Tag] = []
    root: Tag | None = None
    for tag in tags(plain):
        _check_name(plain, tag)
        root = root or tag
        while pending and pending[0].start < tag.start:
            one = pending.popleft()
            if one.start >= last_end:
                _check_place(plain, one, stack)
        last_end = tag.end
        _step(plain, tag, stack)
    stack = [tag for tag in stack if tag.name in _KNOWN]
    if stack:
        raise _problem(plain, stack[-1].start, f"<{stack[-1].name}> is never closed")
    if root is None or root.name != "mjml":
        raise _problem(plain, 0, "MJML begins with <mjml>")
    return root


def _check_name(plain: str, tag: Tag) -> None:
    if tag.name.startswith("mj") and tag.name not in _KNOWN:
        hint = did_you_mean(tag.name, sorted(_KNOWN))
        raise _problem(plain, tag.start, f"there is no tag <{tag.name}>{hint}")


def _check_place(plain: str, one: Construct, stack: list[Tag]) -> None:
    if stack and stack[-1].name in _HOLD_NO_TEXT:
        message = f"no Liquid stands directly in <{stack[-1].name}>"
        raise _problem(plain, one.start, message)


def _step(plain: str, tag: Tag, stack: list[Tag]) -> None:
    """Open or close one tag."""
    if not tag.is_closing:
        if not tag.is_empty and tag.name not in VOID:
            stack.append(tag)
        return
    if tag.name not in _KNOWN:
        return
    while stack and stack[-1].name not in _KNOWN:
        stack.pop()
    if not stack or stack[-1].name != tag.name:
        expected = f", expected </{stack[-1].name}>" if stack else ""
        raise _problem(plain, tag.start, f"unexpected </{tag.name}>{expected}")
    stack.pop()


def _with_language(tokenized: str, root: Tag, language: str, direction: str) -> str:
    """Name the language on the root, unless the author did."""
    given = {one.name for one in root.attributes}
    added = "".join(
        f' {name}="{value}"'
        for name, value in (("lang", language), ("dir", direction))
        if name not in given and value
    )
    return tokenized.replace("<mjml", f"<mjml{added}", 1)


def _restored(html: str, liquid: list[str], prefix: str) -> Converted:
    """Put the Liquid back. Raises `_LostTagError`."""
    token = re.compile(rf"{prefix}(\d+)z")
    order = [int(number) for number in token.findall(html)]
    expected = [number for number, text in enumerate(liquid) if text.startswith("{%")]
    came = [number for number in order if liquid[number].startswith("{%")]
    if came != expected:
        raise _LostTagError(next((n for n in expected if n not in came), (came or expected)[0]))
    lost = sorted(set(range(len(liquid))) - set(order))
    filled = token.sub(lambda found: liquid[int(found[1])], html)
    return Converted(filled, tuple(liquid[number] for number in lost))


class _LostTagError(Exception):
    """MJML dropped, doubled or moved a tag; its number is the argument."""


def _problem(plain: str, index: int, message: str) -> TemplateSyntaxProblem:
    return TemplateSyntaxProblem(*place(plain, index), message)
