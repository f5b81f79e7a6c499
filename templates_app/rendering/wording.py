"""Images and links as words: what the tree of an HTML document says where only text is shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lxml.html import HtmlElement  # type: ignore[import-untyped]  # ships no types

_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
#: Said by words alone: what else leads there is of no use to a reader.
_SPOKEN_SCHEMES = re.compile(r"(?:mailto|tel):", re.IGNORECASE)
_SILENT = frozenset(("style", "script"))
#: What stands beside any other element inside a link is a word of its own.
_LETTERING = ("b", "big", "code", "em", "font", "i", "mark", "s", "small", "strong", "sub", "sup")
_INLINE = frozenset(("a", "abbr", "span", "u", *_LETTERING))


def put_into_words(tree: HtmlElement, *, read: Callable[[str], str] = str) -> None:
    """Put the alt text in the place of each image, and the words of each link on one line.

    A link whose words are its address, or that has none, becomes the address. Changes the tree.
    `read` tells what a text of the tree stands for, to compare it.
    """
    for image in list(tree.iter("img")):
        _name(image)
    for link in list(tree.iter("a")):
        address = link.get("href", "").strip()
        if address:
            _say(link, address, read)


def _name(image: HtmlElement) -> None:
    following = image.getnext()
    alt = "" if _is_hidden(image) else " ".join(image.get("alt", "").split())
    image.tag = "span"
    image.attrib.clear()
    image.text = alt
    if alt and not image.tail and following is not None and following.tag == "img":
        image.tail = " "


def _say(link: HtmlElement, address: str, read: Callable[[str], str]) -> None:
    pieces: list[str] = []
    _collect(link, pieces)
    words = " ".join("".join(pieces).split())
    spoken = _SPOKEN_SCHEMES.sub("", address, count=1)
    is_within = address.startswith("#")
    known = {read(one).removesuffix("/") for one in (address, spoken)}
    del link[:]
    link.text = words or ("" if is_within else spoken)
    if is_within or not words or read(words).removesuffix("/") in known:
        del link.attrib["href"]
    else:
        link.set("href", address)


def _collect(element: HtmlElement, pieces: list[str]) -> None:
    """Add the text inside an element."""
    around = "" if element.tag in _INLINE else " "
    pieces += (around, element.text or "")
    for child in element:
        if isinstance(child.tag, str) and child.tag not in _SILENT and not _is_hidden(child):
            _collect(child, pieces)
        pieces.append(child.tail or "")
    pieces.append(around)


def _is_hidden(element: HtmlElement) -> bool:
    return _HIDDEN.search(element.get("style", "")) is not None
