"""From what an author wrote to a mail that needs nothing but a context.

In this order: layout and partials, MJML, language and hidden first line, CSS. All of it is done
when a version is published (and for previews), none of it when sending.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from templates_app.engine import TemplateSyntaxProblem, compile_source, place
from templates_app.engine.limits import MAX_MARKUP_DEPTH, MAX_SOURCE_CHARS
from templates_app.engine.locales import direction
from templates_app.rendering.bundle import bundle
from templates_app.rendering.document import complete
from templates_app.rendering.inlining import check_css, inline_source
from templates_app.rendering.mail import FinishedMail
from templates_app.rendering.markup import too_deep_at
from templates_app.rendering.mjml import to_html

if TYPE_CHECKING:
    from collections.abc import Mapping

    from templates_app.rendering.pieces import Bundle, Library, PartName

_KEPT_CHARS = 50_000
#: The finished HTML, whether its CSS is inlined later, and notes.
_Html = tuple[str, bool, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class MailSource:
    """What an author wrote, in one language."""

    subject: str = ""
    preheader: str = ""
    html: str = ""
    text: str = ""
    #: `html` or `mjml`.
    format: str = "html"
    #: Language tag of the text, for `lang` and `dir`.
    language: str = "en"
    #: Of a layout or partial, which must not contain itself.
    own_id: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished mail and how it came about."""

    mail: FinishedMail
    #: Ids of the layouts and partials worked in, with their version numbers.
    used: dict[str, int]
    #: What the author should know: (code, message).
    notes: tuple[tuple[str, str], ...]
    #: The sources with layouts and partials, to find places in; by part.
    bundles: dict[PartName, Bundle]


class FinishProblem(TemplateSyntaxProblem):
    """A part of a mail cannot be finished; line and column are those the author sees.

    `origin` names the layout or partial the fault is in, and is empty for the mail's own source.
    """

    def __init__(self, part: PartName, problem: TemplateSyntaxProblem, origin: str = "") -> None:
        where = f"in '{origin}': " if origin and origin not in problem.problem else ""
        super().__init__(problem.line, problem.column, where + problem.problem)
        self.part = part
        self.origin = origin


def finish(source: MailSource, library: Library) -> Finished:
    """Work everything in. Raises `FinishProblem`."""
    bundles = bundled_parts(source, library)
    html, is_inlined_later, notes = _html(source, bundles)
    used = used_in(bundles)
    mail = FinishedMail(
        subject=bundles["subject"].source,
        html=html,
        text=bundles["text"].source,
        locale=source.language,
        inlines_css=is_inlined_later,
        is_piece=bool(source.own_id),
    )
    return Finished(mail, used, notes, bundles)


def bundled_parts(source: MailSource, library: Library) -> dict[PartName, Bundle]:
    """Work layouts and partials into all parts, and compile them. Raises `FinishProblem`.

    That is all there is to do for a layout or partial.
    """
    return {
        "subject": _bundled("subject", source.subject, source, library),
        "preheader": _bundled("preheader", source.preheader, source, library),
        "html": _bundled("html", source.html, source, library),
        "text": _bundled("text", source.text, source, library),
    }


def used_in(bundles: Mapping[PartName, Bundle]) -> dict[str, int]:
    """Return the ids of all layouts and partials worked in, with their version numbers."""
    return {key: number for one in bundles.values() for key, number in one.used.items()}


def _bundled(part: PartName, text: str, source: MailSource, library: Library) -> Bundle:
    format_ = source.format if part == "html" else "html"
    try:
        bundled = bundle(text, part=part, library=library, format_=format_, own_id=source.own_id)
    except TemplateSyntaxProblem as problem:
        raise FinishProblem(part, problem) from problem
    try:
        is_html = part in {"html", "preheader"}
        compile_source(bundled.source, html=is_html, is_piece=bool(source.own_id))
    except TemplateSyntaxProblem as problem:
        raise _placed(part, bundled, problem) from problem
    return bundled


def _html(source: MailSource, bundles: dict[PartName, Bundle]) -> _Html:
    """Return the finished HTML, whether its CSS is inlined later, and notes."""
    bundled = bundles["html"]
    html = bundled.source
    if not html.strip():
        return "", False, ()
    work = _work_in if len(html) > _KEPT_CHARS else _kept
    try:
        preheader = bundles["preheader"].source
        return work(html, bundled.format, source.language, preheader, bool(source.own_id))
    except TemplateSyntaxProblem as problem:
        raise _placed("html", bundled, problem) from problem


def _work_in(
    html: str,
    format_: str,
    language: str,
    preheader: str,
    is_piece: bool,  # noqa: FBT001 - a cache key
) -> _Html:
    """Return what `_html` does, for a source with layouts and partials in it."""
    notes: tuple[tuple[str, str], ...] = ()
    written = direction(language)
    _check_depth(html)
    if format_ == "mjml":
        converted = to_html(html, language=language, direction=written)
        notes = tuple(("mjml_lost", f"MJML drops `{lost}`.") for lost in converted.lost)
        html = converted.html
        _check_length(html, "as HTML")
    else:
        check_css(html)
    html = complete(html, language=language, direction=written, preheader=preheader)
    reason = ""
    if format_ != "mjml":
        html, reason = inline_source(html)
        _check_length(html, "with its CSS inlined")
    compile_source(html, html=True, is_piece=is_piece)
    if reason:
        notes = (("inlined_each", f"CSS is inlined for each mail: {reason}."),)
    return html, bool(reason), notes


# A version is saved, shown and published with the same text within minutes.
_kept = lru_cache(maxsize=64)(_work_in)


def _check_depth(html: str) -> None:
    index = too_deep_at(html)
    if index >= 0:
        message = f"elements are nested more than {MAX_MARKUP_DEPTH} deep"
        raise TemplateSyntaxProblem(*place(html, index), message)


def _check_length(html: str, state: str) -> None:
    if len(html) > MAX_SOURCE_CHARS:
        message = f"{state}, it has {len(html):,} characters, {MAX_SOURCE_CHARS:,} at most"
        raise TemplateSyntaxProblem(1, 1, message)


def _placed(part: PartName, bundled: Bundle, problem: TemplateSyntaxProblem) -> FinishProblem:
    """Tell where the author finds it."""
    place = bundled.place_of(problem.line, problem.column)
    mapped = TemplateSyntaxProblem(place.line, place.column, problem.problem)
    return FinishProblem(part, mapped, place.name)
