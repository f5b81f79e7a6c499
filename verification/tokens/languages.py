"""The languages of pages and mails, and the choice among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Code → the language's own name. English is what the sources are written in.
LANGUAGES = {
    "en": "English",
    "de": "Deutsch",
    "fr": "Français",
    "es": "Español",
    "fa": "فارسی",
    "ar": "العربية",
}
DEFAULT = "en"
RIGHT_TO_LEFT = frozenset({"ar", "fa"})
#: A header with more ranges than these is nobody's.
_MAX_RANGES = 20


def choose_language(wishes: Iterable[str], accept_language: str = "") -> str:
    """Return the first wish that there is, else the best of `Accept-Language`, else English.

    Wishes are language tags such as `pt-BR` (or `de_AT`), or empty; `de-AT` is served by `de`.
    """
    for wish in wishes:
        if (code := _known(wish)) is not None:
            return code
    for wish in _by_quality(accept_language):
        if (code := _known(wish)) is not None:
            return code
    return DEFAULT


def primary_language(tag: str) -> str:
    """Return `pt` for `pt-BR` or `pt_BR`, empty for an empty tag."""
    return tag.strip().replace("_", "-").partition("-")[0].lower()


def _known(tag: str) -> str | None:
    code = primary_language(tag)
    return code if code in LANGUAGES else None


def _by_quality(header: str) -> list[str]:
    """Return the ranges of an `Accept-Language` (RFC 9110 §12.5.4), best first."""
    ranked: list[tuple[float, str]] = []
    for part in header[:1_000].split(",")[:_MAX_RANGES]:
        tag, _, parameter = part.partition(";")
        quality = _quality(parameter)
        if tag.strip() and quality > 0:
            ranked.append((quality, tag))
    return [tag for _, tag in sorted(ranked, key=lambda entry: -entry[0])]


def _quality(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
