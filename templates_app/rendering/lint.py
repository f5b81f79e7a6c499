"""What will not look or work as meant in mail programs, told before it is sent. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

from templates_app.engine import scan
from templates_app.rendering.client_css import CSS_RULES, ELEMENTS
from templates_app.rendering.markup import MASK, Attribute, Tag, masked, tags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from templates_app.rendering.mail import Rendered
    from templates_app.rendering.pieces import Bundle

Severity = Literal["error", "warning", "info"]

#: Gmail shows no more of a mail, and hides the rest behind a link: the unsubscribe link as well.
GMAIL_CLIPS_BYTES = 102 * 1024
_NEARLY = 0.8
_LONG_SUBJECT = 90
#: Of a rendered mail: nobody sees what stands beyond.
_READ_CHARS = 1_000_000
#: Of one code, so that a list stays readable.
_MAX_OF_A_KIND = 20
_SCHEMES = frozenset(("http", "https", "mailto", "tel", "sms", "cid"))
_LINKING = frozenset(("a", "area", "mj-button", "mj-navbar-link", "mj-social-element"))
_IMAGES = frozenset(("img", "mj-image", "mj-carousel-image"))


class Finding(NamedTuple):
    """One remark; `line` is 0 if it is about the whole mail, `name` that of a layout or partial."""

    code: str
    severity: Severity
    message: str
    hint: str
    line: int = 0
    column: int = 0
    name: str = ""


def lint(bundle: Bundle, rendered: Rendered, *, is_marketing: bool = False) -> list[Finding]:
    """Return what to mend, errors first, else in order of the source.

    `bundle` is the HTML source with its layout and partials, `rendered` the mail it made.
    """
    found = [*_whole_mail(rendered), *_placed(bundle, _few(_source(bundle)))]
    if is_marketing and not _can_unsubscribe(bundle, rendered):
        found.append(
            Finding(
                "no_unsubscribe",
                "error",
                "There is no way to unsubscribe.",
                "Link to {{ unsubscribe_url }}.",
            )
        )
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted(found, key=lambda one: (order[one.severity], bool(one.name), one.line))


class _Remark(NamedTuple):
    """A finding before its place is looked up, which takes time."""

    start: int
    code: str
    severity: Severity
    message: str
    hint: str


def _placed(bundle: Bundle, found: Iterator[_Remark]) -> Iterator[Finding]:
    for one in found:
        place = bundle.place(one.start)
        yield Finding(*one[1:], place.line, place.column, place.name)


def _few(found: Iterator[_Remark]) -> Iterator[_Remark]:
    counts: dict[str, int] = {}
    for one in found:
        counts[one.code] = counts.get(one.code, 0) + 1
        if counts[one.code] <= _MAX_OF_A_KIND:
            yield one


def _whole_mail(rendered: Rendered) -> Iterator[Finding]:
    size = len(rendered.html.encode(errors="replace"))
    kilobytes = f"{size / 1024:.0f} KB"
    if size > GMAIL_CLIPS_BYTES:
        hint = "Shorten it: 102 KB are shown, images do not count."
        yield Finding("gmail_clips", "warning", f"Gmail cuts the HTML of {kilobytes}.", hint)
    elif size > _NEARLY * GMAIL_CLIPS_BYTES:
        yield Finding("gmail_clips", "info", f"The HTML has {kilobytes}.", "Gmail cuts at 102 KB.")
    if not rendered.subject.strip():
        yield Finding("no_subject", "error", "The subject is empty.", "Give it a default.")
    elif len(rendered.subject) > _LONG_SUBJECT:
        message = f"The subject has {len(rendered.subject)} characters."
        yield Finding("long_subject", "info", message, "Telephones show about 40.")
    if all(map(_is_address, rendered.text.split())):
        hint = "Give the images an alt text, write words beside them, or a text part."
        yield Finding("no_text", "warning", "The text part has no words.", hint)
    if rendered.html:
        root = next((tag for tag in tags(rendered.html[:_READ_CHARS]) if tag.name == "html"), None)
        language = root.get("lang") if root else None
        if language is None or language.value in {"", "und"}:
            hint = "Screen readers need it to pronounce the mail."
            yield Finding("no_lang", "warning", "The language is not named on <html>.", hint)


def _is_address(word: str) -> bool:
    return word.startswith("[](") or ("://" in word and not word.startswith("["))


def _source(bundle: Bundle) -> Iterator[_Remark]:
    plain = masked(bundle.source, scan(bundle.source))
    for tag in tags(plain):
        if not tag.is_closing:
            yield from _tag(tag)


def _tag(tag: Tag) -> Iterator[_Remark]:
    if tag.name in ELEMENTS and not (tag.name == "link" and _is_no_sheet(tag)):
        message = f"<{tag.name}> does not work in mail."
        yield _Remark(tag.start, "element", "warning", message, ELEMENTS[tag.name])
    if tag.name in _IMAGES:
        yield from _image(tag)
    if tag.name in _LINKING:
        yield from _link(tag)
    style = tag.get("style")
    if style is not None:
        yield from _css(style.value, style.value_start)
    if tag.name in {"style", "mj-style"}:
        yield from _css(tag.content, tag.end)


def _is_no_sheet(tag: Tag) -> bool:
    rel = tag.get("rel")
    return rel is not None and "stylesheet" not in rel.value.lower()


def _image(tag: Tag) -> Iterator[_Remark]:
    if tag.get("alt") is None and not _has_liquid_attributes(tag):
        hint = 'Say what it shows, or alt="" for decoration: many people see no images.'
        yield _Remark(tag.start, "no_alt", "warning", "The image has no alt text.", hint)
    source = tag.get("src")
    if source is None or not source.value.strip():
        if not _has_liquid_attributes(tag):
            yield _Remark(tag.start, "no_src", "error", "The image has no src.", "Name it.")
    elif source.value.strip().lower().startswith("http:"):
        hint = "Use https: many programs block what comes over http."
        yield _Remark(source.start, "http_image", "warning", "The image comes by http.", hint)
    elif source.value.strip().lower().startswith("data:"):
        hint = "Attach it inline and refer to it as cid:…, or host it."
        yield _Remark(source.start, "data_image", "warning", "Gmail shows no data: image.", hint)


def _link(tag: Tag) -> Iterator[_Remark]:
    href = tag.get("href")
    if href is None:
        return
    fault = _link_fault(href)
    if fault is not None:
        severity, message, hint = fault
        yield _Remark(href.start, "link", severity, message, hint)


def _link_fault(href: Attribute) -> tuple[Severity, str, str] | None:
    address = href.value.strip()
    fixed = address.partition(MASK)[0]
    if not address or address == "#":
        return "warning", "The link leads nowhere.", "Give it an address."
    if any(letter.isspace() for letter in fixed):
        return "error", f"The link '{_shown(address)}' holds a space.", "Write %20."
    if address.startswith("#") or (MASK in address and ":" not in fixed):
        return None  # within the mail, or told by a variable
    return _address_fault(address)


def _address_fault(address: str) -> tuple[Severity, str, str] | None:
    shown = _shown(address)
    try:
        parsed = urlsplit(address.replace(MASK, "1"))
        host, _ = parsed.hostname, parsed.port
    except ValueError as error:
        return "error", f"The link '{shown}' is none: {error}.", "Mend the address."
    if parsed.scheme not in _SCHEMES:
        hint = "Begin with https://, mailto: or tel:."
        return "error", f"The link '{shown}' works on no page but its own.", hint
    if parsed.scheme in {"http", "https"} and not host:
        return "error", f"The link '{shown}' names no host.", "Write https://host/…"
    if parsed.scheme == "http":
        return "info", f"The link '{shown}' is not encrypted.", "Use https."
    return None


def _css(css: str, start: int) -> Iterator[_Remark]:
    for rule in CSS_RULES:
        for found in rule.pattern.finditer(css):
            message = f"{rule.programs} ignore `{rule.name}`."
            message = message[:1].upper() + message[1:]
            yield _Remark(start + found.start(), "css", "info", message, rule.hint)


def _can_unsubscribe(bundle: Bundle, rendered: Rendered) -> bool:
    if any("unsubscribe" in one.body for one in scan(bundle.source)):
        return True
    links = (tag.get("href") for tag in tags(rendered.html[:_READ_CHARS]) if tag.name in _LINKING)
    if any(link is not None and "unsubscribe" in link.value.lower() for link in links):
        return True
    return not rendered.html and "unsubscribe" in rendered.text.lower()


def _has_liquid_attributes(tag: Tag) -> bool:
    return any(MASK in one.name for one in tag.attributes)


def _shown(address: str) -> str:
    return address.replace(MASK, "·")[:60]
