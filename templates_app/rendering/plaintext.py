"""The plain-text part of a mail that was given as HTML only.

Converting takes milliseconds, so a template is converted once, as a template: its Liquid is
swapped for tokens, the HTML turned into text, and the Liquid put back. That is used only if every
tag came through in order and every output under the same tags; otherwise each rendered mail is
converted.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from html import unescape
from typing import TYPE_CHECKING

from inscriptis.css_profiles import CSS_PROFILES  # type: ignore[import-untyped]  # ships no types
from inscriptis.html_engine import Inscriptis  # type: ignore[import-untyped]  # ships no types
from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]  # ships no types
from lxml.etree import ParserError  # type: ignore[import-untyped]  # ships no types
from lxml.html import document_fromstring  # type: ignore[import-untyped]  # ships no types

from templates_app.engine import (
    Compiled,
    Construct,
    TemplateSyntaxProblem,
    compile_source,
    scan,
)
from templates_app.engine.limits import MAX_ELEMENTS
from templates_app.rendering.wording import put_into_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lxml.html import HtmlElement

# "strict" is the profile that does not indent what stands in a `div`.
_CONFIG = ParserConfig(css=CSS_PROFILES["strict"], display_links=True, display_anchors=False)

_BLANK_LINES = re.compile(r"\n{3,}")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")

# What a mail program does not show, and a converter drops together with the Liquid inside.
_UNSEEN = re.compile(r"<!--|<(head|style|script|title)\b", re.IGNORECASE)
_END_OF_UNSEEN = {
    name: re.compile(rf"</{name}\s{{0,10}}>", re.IGNORECASE)
    for name in ("head", "style", "script", "title")
} | {"": re.compile("-->")}
_SILENT = frozenset(("comment", "#"))
_TAG_NAME = re.compile(r"\{%-?\s*(\w*)")
# Of use in HTML only; what they are applied to needs no change in text.
_HTML_FILTERS = re.compile(r"(?:\s*\|\s*(?:escape|newline_to_br)\b\s*)+(-?\}\})$")
_STATEFUL = re.compile(r"\{%-?\s*(?:assign|capture|increment|decrement|cycle)\b")
_UNFIT = re.compile(r"\{%-?\s*(?:raw|doc|comment|capture)\b|\|\s*(?:escape\w*|newline_to_br)\b")
_MARKUP_IN_STRING = re.compile(r"""["'][^"']*[<&]""")
_LIQUID_IN_TAG_NAME = re.compile(r"</?\{[{%]")

#: Single mails of one template each bring their content: their text is made once all the same.
_CACHED_TEXTS = 256
_CACHED_CHARS = 50_000
#: Beyond, the text is what stands between the tags: each takes some 50 µs.
_MAX_TAGS = 2 * MAX_ELEMENTS
_MAX_HTML_CHARS = 1_000_000
#: Columns of tables are padded: beyond, they are taken as lines of text.
_MAX_PADDED_CHARS = 20_000_000
_XML_DECLARATION = re.compile(r"\A\s*<\?xml [^>]+\?>")
_ANY_TAG = re.compile(r"<[^<>]*>")

_OPEN, _CLOSE = "\ue000", "\ue001"
_TOKEN = re.compile(f"{_OPEN}(\\d+){_CLOSE}")


def html_to_text(html: str) -> str:
    """Return the text of an HTML document; links read `[words](address)`. Never raises."""
    html = _CONTROLS.sub("", html)
    count = html.count("<")
    if count > _MAX_TAGS or len(html) > _MAX_HTML_CHARS:
        return _plain_text(html)
    if count * len(html) > _MAX_PADDED_CHARS:
        return _flat_text(html)
    tree = _tree(html)
    if tree is None:
        return ""
    put_into_words(tree)
    return tidy(Inscriptis(tree, _CONFIG).get_text())


def _plain_text(html: str) -> str:
    """Return the text of a document too large to be taken apart."""
    seen = _without_unseen(html)
    return tidy(unescape(_ANY_TAG.sub(" ", html if seen is None else seen)))


def tidy(text: str) -> str:
    """Return the text without runs of blank lines and without blank lines around it."""
    text = "\n".join(map(str.rstrip, text.split("\n")))
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return text.strip("\n")


def text_template(html: str) -> Compiled | None:
    """Return a text template that says what the HTML template says, or None if unsure."""
    if len(html) > _CACHED_CHARS:
        return _text_template(html)
    return _cached_text_template(html)


def _text_template(html: str) -> Compiled | None:
    try:
        source = _without_unseen(_without_comments(html))
        found = scan(source) if source is not None else []
    except TemplateSyntaxProblem:
        return None
    if source is None or not _is_fit(source):
        return None
    constructs = [_HTML_FILTERS.sub(r"\1", source[one.start : one.end]) for one in found]
    if any(map(_is_unfit, constructs)):
        return None
    text = _flat_text(_tokenized(source, found), constructs)
    if not _is_faithful(text, constructs) or "{{" in text or "{%" in text:
        return None
    try:
        return compile_source(_restored(text, constructs), html=False)
    except TemplateSyntaxProblem:
        return None


_cached_text_template = lru_cache(maxsize=_CACHED_TEXTS)(_text_template)


def _is_fit(source: str) -> bool:
    if source.count("<") > _MAX_TAGS or _OPEN in source:
        return False
    return not _LIQUID_IN_TAG_NAME.search(source)


def _is_unfit(construct: str) -> bool:
    return bool(_UNFIT.search(construct) or _MARKUP_IN_STRING.search(construct))


def _without_comments(html: str) -> str:
    pieces: list[str] = []
    position = 0
    for one in scan(html):
        if one.name in _SILENT:
            pieces.append(html[position : one.start])
            position = one.end
    return "".join((*pieces, html[position:]))


def _without_unseen(source: str) -> str | None:
    """Drop what is not shown; None if something in there changes what is."""
    pieces: list[str] = []
    position = 0
    endless: set[str] = set()
    for opening in _UNSEEN.finditer(source):
        name = (opening[1] or "").lower()
        if opening.start() < position or name in endless:
            continue
        closing = _END_OF_UNSEEN[name].search(source, opening.end())
        if closing is None:
            endless.add(name)
            continue
        if _STATEFUL.search(source, opening.end(), closing.start()):
            return None
        pieces.append(source[position : opening.start()])
        position = closing.end()
    return "".join((*pieces, source[position:]))


def _tokenized(source: str, constructs: list[Construct]) -> str:
    pieces: list[str] = []
    position = 0
    for number, one in enumerate(constructs):
        pieces += (source[position : one.start], f"{_OPEN}{number}{_CLOSE}")
        position = one.end
    return "".join((*pieces, source[position:]))


def _tree(html: str) -> HtmlElement | None:
    if not html.strip():
        return None
    try:
        return document_fromstring(_CONTROLS.sub("", _XML_DECLARATION.sub("", html)))
    except ParserError:  # nothing but end tags, or the like
        return None


def _flat_text(html: str, constructs: Sequence[str] = ()) -> str:
    """Convert with tables taken as lines of text: a converter moves what stands between cells.

    `constructs` are what the tokens in the source stand for.
    """
    tree = _tree(html)
    if tree is None:
        return ""
    put_into_words(tree, read=partial(_liquid_of, constructs=constructs) if constructs else str)
    for element in tree.iter("table", "thead", "tbody", "tfoot", "tr", "td", "th"):
        if element.tag in {"td", "th"}:
            element.tag = "span"
            element.tail = " " + (element.tail or "")
        else:
            element.tag = "div"
        element.attrib.clear()
    return tidy(Inscriptis(tree, _CONFIG).get_text())


def _liquid_of(text: str, constructs: Sequence[str]) -> str:
    """Return a text with its Liquid, spaces apart."""
    return "".join(_TOKEN.sub(lambda one: constructs[int(one[1])], text).split())


def _is_faithful(text: str, constructs: list[str]) -> bool:
    """Tell whether all tags are there in order, and each output once at most, under its tags."""
    before = _surroundings(range(len(constructs)), constructs)
    numbers = [int(number) for number in _TOKEN.findall(text)]
    after = _surroundings(numbers, constructs)
    tags = [number for number in numbers if constructs[number].startswith("{%")]
    all_tags = [n for n, construct in enumerate(constructs) if construct.startswith("{%")]
    return (
        tags == all_tags
        and len(set(numbers)) == len(numbers)
        and all(before[number] == after[number] for number in numbers)
    )


def _surroundings(numbers: Iterable[int], constructs: list[str]) -> dict[int, tuple[int, ...]]:
    """Map each output to the tags it stands under and the last one that changed a variable."""
    result: dict[int, tuple[int, ...]] = {}
    under: list[int] = []
    last_change = -1
    for number in numbers:
        construct = constructs[number]
        if construct.startswith("{{"):
            result[number] = (last_change, *under)
            continue
        result[number] = ()
        name = _TAG_NAME.match(construct)
        kind = name[1] if name else ""
        if _STATEFUL.match(construct):
            last_change = number
        elif kind.startswith("end"):
            del under[-1:]
        elif kind in {"else", "elsif", "when"}:
            under[-1:] = [number]
        elif kind in {"if", "unless", "for", "case", "ifchanged", "isolate"}:
            under.append(number)
    return result


def _restored(text: str, constructs: list[str]) -> str:
    """Put the Liquid back; a line that holds tags only leaves no line behind."""
    lines = []
    for line in text.split("\n"):
        numbers = [int(number) for number in _TOKEN.findall(line)]
        only_tags = numbers and not _TOKEN.sub("", line).strip()
        only_tags = only_tags and all(constructs[n].startswith("{%") for n in numbers)
        restored = _TOKEN.sub(lambda token: constructs[int(token[1])], line)
        lines.append(restored.strip() if only_tags else restored + "\n")
    return "".join(lines).removesuffix("\n")
