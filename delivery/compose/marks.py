"""Marks of tracking in an HTML part: links that lead through us, and a pixel.

The HTML is read as browsers do (HTML standard, 13.2.5), so that nothing is touched that only looks
like a link: what stands in comments, in scripts, in styles or in other tags' attributes. One
regular expression walks from link to link and takes no longer than the text is, whatever it says.
"""

from __future__ import annotations

import html as entities
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from delivery.links.tracks import MAX_URL_BYTES, click_head, click_token, open_token

if TYPE_CHECKING:
    from uuid import UUID

    from delivery.links import KeyRing

#: Paths below the public address that are never tracked: pixels, links, unsubscribe pages, proofs.
OWN_PATHS = ("/c/", "/o/", "/u/", "/verify/")

# A name, then a value in quotes of either kind or bare.
_ATTRIBUTE = r"""[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|(?!["'])[^\s>]*+)|(?!\s*+=))"""
_REST = rf"(?:[\s/]++|{_ATTRIBUTE})*+>"
# The end of a tag: as nearly all are written, else exactly.
_TAIL = rf"""(?:\ [a-z]++="[^"]*+"(?=[\ >]))*+(?:>|{_REST})"""
_NAME = r"[^\s/>]*+"
_RAW_NAMES = ("script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes")
# Elements whose content is text, whatever it looks like.
_RAW = "|".join(
    rf"{name}(?=[\s/>]){_REST}(?:[^<]++|<(?!/{name}[\s/>]))*+</{name}" for name in _RAW_NAMES
)
_SPECIAL = "|".join(("a", "area", *_RAW_NAMES))
# Always matches: up to a link, to the end of the body, or to where nothing more can be read.
_NEXT = re.compile(
    rf"""(?:[^<]*+<(?:
        /(?:(?!body[\s/>])[a-z]{_NAME}(?:>|{_REST})|(?![a-z])[^>]*+>)
      | (?=[b-hj-mo-ru-wyz]){_NAME}{_TAIL}
      | (?=[a-z])(?!(?:{_SPECIAL})[\s/>]){_NAME}{_TAIL}
      | (?![a-z/!?])
      | !--(?:-?>|(?:[^-]++|-(?!-!?>))*+--!?>)
      | (?:{_RAW})
      | [!?](?!--)[^>]*+>
    ))*+
    [^<]*+(?:<a(?:rea)?(?P<link>(?=[\s/>]){_TAIL})|<(?P<body>/body)(?=[\s/>])|(?P<end>))
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_PAIR = re.compile(
    r"""([^\s/>][^\s/>=]*+)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|(?!["'])[^\s>]*+))?""", re.ASCII
)
_WEB = re.compile(r"https?://[^/?#\\]", re.ASCII | re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: Further links of a mail are left as they are: nobody writes so many, and each makes it larger.
MAX_LINKS = 1_000
_OFF = frozenset({"off", "no", "false", "0"})
_CACHED_LINKS = 4_096
#: Longer tags are read anew each time, to bound what is kept.
_MAX_CACHED_CHARS = 1_000


_PIXEL_END = (
    '.gif" width="1" height="1" alt="" style="display:block;width:1px;height:1px;border:0">'
)


class Link(NamedTuple):
    """A link that can be tracked."""

    #: Where the address stands in the HTML, without quotes.
    start: int
    end: int
    url: str


class Places(NamedTuple):
    """Where an HTML can be marked."""

    links: tuple[Link, ...]
    #: Where a pixel goes: before the end of the body.
    pixel_at: int


@dataclass(frozen=True, slots=True)
class Marks:
    """What is marked in one mail, and how; the same marks always give the same characters."""

    #: The public address of the service, without a final slash.
    base: str
    ring: KeyRing
    message_id: UUID
    #: See `delivery.links.tracks.recipient_mark`.
    recipient: bytes
    opens: bool = False
    clicks: bool = False
    #: Addresses that are left as they are.
    spared: frozenset[str] = frozenset()


def places_in(html: str) -> Places:
    """Return where the links of an HTML stand, and where its body ends."""
    links: list[Link] = []
    position, body, last = 0, -1, 0
    while True:
        # It matches an empty end if nothing else.
        found = _NEXT.match(html, position)
        assert found is not None  # noqa: S101 - see above
        position = found.end()
        kind = found.lastgroup
        if kind == "link":
            start = found.start("link")
            target = _target_of(found["link"]) if len(links) < MAX_LINKS else None
            if target is not None:
                links.append(Link(start + target.start, start + target.end, target.url))
                last = position
        elif kind == "body":
            body = found.start("body") - 1
        else:
            return Places(tuple(links), body if body >= last else position)


def marked_pieces(html: str, places: Places, marks: Marks) -> list[str]:
    """Return the HTML with its marks in pieces: every second one is a token, none is the last."""
    base = entities.escape(marks.base)
    pieces: list[str] = []
    position = 0
    if marks.clicks:
        lead = f"{base}/c/"
        tracked = _tracked(places.links, marks)
        urls = dict.fromkeys(link.url for link in tracked)
        head = click_head(marks.message_id, marks.recipient, len(urls))
        tokens = {url: click_token(marks.ring, head, url.encode()) for url in urls}
        for start, end, url in tracked:
            pieces += (html[position:start] + lead, tokens[url])
            position = end
    if marks.opens:
        token = open_token(marks.ring, marks.message_id, marks.recipient)
        pieces += (f'{html[position : places.pixel_at]}<img src="{base}/o/', token)
        return [*pieces, _PIXEL_END + html[places.pixel_at :]]
    return [*pieces, html[position:]]


def _tracked(links: tuple[Link, ...], marks: Marks) -> list[Link]:
    own = tuple(marks.base + path for path in OWN_PATHS)
    spared = marks.spared
    return [link for link in links if link.url not in spared and not link.url.startswith(own)]


def _target_of(attributes: str) -> Link | None:
    if len(attributes) > _MAX_CACHED_CHARS:
        return _read_target(attributes)
    return _cached_target(attributes)


@lru_cache(maxsize=_CACHED_LINKS)
def _cached_target(attributes: str) -> Link | None:
    return _read_target(attributes)


def _read_target(attributes: str) -> Link | None:
    """Return where a tag leads, None if that is not to be tracked; places count from its name."""
    found: Link | None = None
    seen = False
    for pair in _PAIR.finditer(attributes):
        name, value = pair[1].lower(), pair[2] or ""
        is_quoted = value[:1] in {'"', "'"}
        if name == "data-track" and value.strip("\"'").lower() in _OFF:
            return None
        # Of several the first counts.
        if name == "href" and not seen:
            seen = True
            start, end = pair.start(2) + is_quoted, pair.end(2) - is_quoted
            url = _tracked_url(attributes[start:end])
            found = Link(start, end, url) if url else None
    return found


def _tracked_url(value: str) -> str:
    """Return the address that an attribute means, empty if it is not one of the web."""
    try:
        url = entities.unescape(value).strip("\t\n\f\r ")
        # Browsers pass over these anywhere in an address.
        url = url.replace("\n", "").replace("\r", "").replace("\t", "")
        size = len(url.encode())
    except ValueError:  # half a surrogate pair, or the number of a character without end
        return ""
    if size > MAX_URL_BYTES or not _WEB.match(url) or _CONTROL.search(url):
        return ""
    return url
