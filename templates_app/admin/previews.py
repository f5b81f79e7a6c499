"""What the editor shows of a text: rendered by the engine that sends, told in words and places.

The HTML is kept for some minutes and served from an address of its own, because a frame written
into the page would live under the page's policy. There it can run nothing and ask for nothing but
images.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.core.cache import cache
from django.http import HttpResponse
from redis.exceptions import RedisError

from accounts.admin.sandbox import POLICY
from mailservice.core.errors import DomainError, InvalidInputError
from templates_app.engine import TemplateRenderProblem
from templates_app.engine.locales import babel_locale
from templates_app.rendering.lint import GMAIL_CLIPS_BYTES

if TYPE_CHECKING:
    from templates_app.rendering import Finding
    from templates_app.services import Preview

_KEPT_SECONDS = 900
#: Of one person; a preview is made for every pause in typing. At most 255.
_KEPT_PREVIEWS = 16
_MAX_KEPT_CHARS = 1_000_000
_LABELS = {"html": "HTML", "sample": "Sample data"}
_PLACE = re.compile(
    r"line (?P<line>\d+), column (?P<column>\d+)"
    r"(?:: in '(?P<around>[\w-]+)'| in '(?P<name>[\w-]+)'| in the (?P<part>\w+))?",
    re.IGNORECASE,
)
#: The same as words, which stand beside a message anyway.
_TOLD = re.compile(r"^Line \d+, column \d+: | \(line \d+, column \d+(?: in the \w+)?\)$")
_DARK = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)", re.IGNORECASE)
_HEAD = re.compile(r"(?:<html\b[^>]*>\s*)?<head\b[^>]*>|<html\b[^>]*>", re.IGNORECASE)
_HIDDEN_LINE = re.compile(
    r"""<div style="display:none;[^>]*aria-hidden="true">(.*?)</div>""", re.DOTALL
)
#: What programs do to a mail that brings no dark colours of its own.
_INVERTED = (
    "<style>html{background:#fff;filter:invert(.92) hue-rotate(180deg)}"
    "img,[background],[style*='background-image']{filter:invert(1) hue-rotate(180deg)}</style>"
)
# A click leads nowhere: the frame may open no window.
_BASE = '<base target="_blank">'


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no preview; `line` is 0 if the place is unknown."""

    #: Of the editor: `subject`, `preheader`, `html`, `text`, `sample`.
    field: str
    message: str
    line: int = 0
    column: int = 0
    #: Names that are there instead of a missing one.
    known: tuple[str, ...] = ()
    suggestion: str = ""

    @property
    def label(self) -> str:
        """Return the field as the editor calls it."""
        return _LABELS.get(self.field, self.field.capitalize())


@dataclass(frozen=True, slots=True)
class Look:
    """What the editor shows beside the source."""

    subject: str = ""
    preheader: str = ""
    text: str = ""
    #: Under which the HTML is kept; None if there is none.
    token: UUID | None = None
    size_bytes: int = 0
    has_dark_colours: bool = False
    findings: tuple[Finding, ...] = ()
    missing: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def size_percent(self) -> int:
        """Return how much of what Gmail shows is used, at most 100."""
        return min(100, round(100 * self.size_bytes / GMAIL_CLIPS_BYTES))

    @property
    def worst(self) -> str:
        """Return the gravest severity there is, or an empty text."""
        if self.problems:
            return "error"
        return min((one.severity for one in self.findings), key=_GRAVITY.index, default="")


_GRAVITY = ("error", "warning", "info")


def look_at(preview: Preview, *, user_id: object) -> Look:
    """Return what to show of a rendered text, keeping its HTML for the frame."""
    token: UUID | None = None
    problems: tuple[Problem, ...] = ()
    try:
        token = keep(preview.html, user_id=user_id)
    except _NotKeptError as error:
        problems = (Problem("html", str(error)),)
    hidden = _HIDDEN_LINE.search(preview.html)
    return Look(
        subject=preview.subject,
        preheader=unescape(hidden.group(1)) if hidden else "",
        text=preview.text,
        token=token,
        size_bytes=len(preview.html.encode(errors="replace")),
        has_dark_colours=has_dark_colours(preview.html),
        findings=preview.warnings,
        missing=preview.missing,
        variables=preview.variables,
        problems=problems,
    )


def look_at_error(error: DomainError) -> Look:
    """Return what to show if there is no preview."""
    return Look(problems=tuple(problems_of(error)))


def problems_of(error: DomainError) -> list[Problem]:
    """Return each fault with the place an author finds it at."""
    if not isinstance(error, InvalidInputError):
        return [Problem("html", error.message)]
    cause = error.__cause__
    missing = cause.missing if isinstance(cause, TemplateRenderProblem) else None
    return [
        _problem(path, str(fault["message"]), missing)
        for path, faults in error.details.items()
        for fault in faults
    ]


def _problem(path: str, message: str, missing: Any) -> Problem:
    place = _PLACE.search(message)
    field = "sample" if path.partition(".")[0] == "context" else path
    if place is None:
        shown = f"{path.removeprefix('context.')}: {message}" if path != field else message
        return Problem(field, shown)
    if place["part"]:
        field = place["part"]
    elsewhere = bool(place["name"] or place["around"])
    if path == "context" and elsewhere:
        field = "html"
    known, suggestion = (missing.known, missing.suggestion) if missing else ((), "")
    # A place in a layout or partial is none in the text being edited.
    line, column = (0, 0) if elsewhere else (int(place["line"]), int(place["column"]))
    shown = message if elsewhere else _TOLD.sub("", message)
    shown = shown[:1].upper() + shown[1:]
    return Problem(field, shown, line, column, tuple(known), suggestion)


# --- the frame ------------------------------------------------------------------------------------


class _NotKeptError(Exception):
    """The HTML cannot be shown; says why."""


def keep(html: str, *, user_id: object) -> UUID | None:
    """Keep HTML for its author alone; return under which token, None for none."""
    if not html:
        return None
    if len(html) > _MAX_KEPT_CHARS:
        raise _NotKeptError("The HTML is too large to be shown; no mail program would show it.")
    try:
        place = _next_place(user_id)
        token = UUID(int=uuid4().int & ~0xFF | place)
        cache.set(_key(user_id, place), (token.hex, html), _KEPT_SECONDS)
    except (RedisError, OSError) as error:
        raise _NotKeptError("The cache does not answer, so no HTML can be shown.") from error
    return token


def kept(token: UUID, *, user_id: object) -> str | None:
    """Return what was kept, None if it is gone or somebody else's."""
    try:
        found = cache.get(_key(user_id, token.int & 0xFF))
    except (RedisError, OSError):
        return None
    name, html = found or ("", "")
    return str(html) if name == token.hex else None


def _next_place(user_id: object) -> int:
    """Return where the next preview goes: in the place of the oldest, so that they stay few."""
    key = f"template-previews:{user_id}"
    cache.add(key, 0, _KEPT_SECONDS)
    try:
        return int(cache.incr(key)) % _KEPT_PREVIEWS
    except ValueError:  # it expired between the two
        return 0


def _key(user_id: object, place: int) -> str:
    return f"template-preview:{user_id}:{place}"


def framed(html: str, *, is_dark: bool = False) -> HttpResponse:
    """Return a mail as a page for a sandboxed frame, in the colours asked for."""
    response = HttpResponse(in_colours(html, is_dark=is_dark))
    response["Content-Security-Policy"] = POLICY
    response["X-Frame-Options"] = "SAMEORIGIN"
    response["X-Content-Type-Options"] = "nosniff"
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store, private"
    return response


def in_colours(html: str, *, is_dark: bool) -> str:
    """Return a mail as a program in dark or light mode shows it, whatever mode the browser is in.

    Rules for dark mode apply or not; without any, colours are inverted as some programs do.
    """
    added = _BASE + (_INVERTED if is_dark and not has_dark_colours(html) else "")
    html = _decided(html, "dark" if is_dark else "light")
    head = _HEAD.search(html)
    at = head.end() if head else 0
    return html[:at] + added + html[at:]


def light_rules(css: str) -> str:
    """Return CSS with its rules for dark mode switched off, whatever mode the browser is in."""
    return _decided(css, "light")


def _decided(source: str, wanted: str) -> str:
    return _DARK.sub(
        lambda found: "(min-width:0)" if found.group(1).lower() == wanted else "(max-width:0)",
        source,
    )


def has_dark_colours(html: str) -> bool:
    """Tell whether a mail has rules for dark mode."""
    return any(found.group(1).lower() == "dark" for found in _DARK.finditer(html))


# --- words ----------------------------------------------------------------------------------------


def language_name(tag: str, *, default: str) -> str:
    """Return what people call a language: “German”; the default says so."""
    name = str(babel_locale(tag or default).get_display_name("en") or tag)
    return name if tag else f"{name} (default)"
