"""Languages: fallback, writing direction, and what a template may know of its own."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from babel import Locale, UnknownLocaleError

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT = "en"
_CACHED_LOCALES = 512
#: Of scripts; babel knows it of languages only.
_RTL_SCRIPTS = {"arab", "hebr", "thaa", "syrc", "nkoo", "adlm"}
#: The digit 0 of each numbering system that is a language's own (CLDR); babel writes 0 to 9.
_ZEROS = {
    "adlm": 0x1E950,
    "arab": 0x660,
    "arabext": 0x6F0,
    "beng": 0x9E6,
    "cakm": 0x11136,
    "deva": 0x966,
    "hmnp": 0x1E140,
    "mtei": 0xABF0,
    "mymr": 0x1040,
    "nkoo": 0x7C0,
    "olck": 0x1C50,
    "tibt": 0xF20,
}
#: What every template may ask: `{{ mail.locale }}`, `{{ mail.direction }}`.
MAIL_FACTS = "mail"
FACT_NAMES = ("locale", "language", "direction")
#: What every mail to one recipient may ask: the links to unsubscribe, and to choose what to get.
PERSONAL_LINKS = ("unsubscribe_url", "preferences_url")


def fallbacks(tag: str) -> list[str]:
    """Return a locale and what stands in for it, best first: `pt-br`, `pt`, and the default."""
    parts = tag.lower().replace("_", "-").split("-") if tag else []
    return ["-".join(parts[:length]) for length in range(len(parts), 0, -1)] + [""]


def language_of(tag: str) -> str:
    """Return the language subtag of a locale, in lower case."""
    return tag.replace("_", "-").partition("-")[0].lower()


def formatting_locale(*, text: str, asked: str) -> str:
    """Return how dates and numbers are written: as asked if the text is in that language.

    An English text keeps English dates for a French reader, and gets British ones for `en-GB`.
    """
    return asked if asked and language_of(asked) == language_of(text) else text


@lru_cache(maxsize=_CACHED_LOCALES)
def babel_locale(tag: str) -> Locale:
    """Return the nearest locale there is data for, English if there is none."""
    for candidate in fallbacks(tag):
        try:
            return Locale.parse(candidate or _DEFAULT, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale.parse(_DEFAULT)


@lru_cache(maxsize=_CACHED_LOCALES)
def own_digits(tag: str) -> dict[int, int]:
    """Return a table for `str.translate` to the digits of a language, empty if they are 0 to 9."""
    zero = _ZEROS.get(babel_locale(tag).default_numbering_system)
    return {} if zero is None else {ord("0") + digit: zero + digit for digit in range(10)}


@lru_cache(maxsize=_CACHED_LOCALES)
def direction(tag: str) -> str:
    """Return `rtl` for languages written from right to left, else `ltr`."""
    subtags = tag.lower().replace("_", "-").split("-")
    scripts = [part for part in subtags[1:] if len(part) == len("arab") and part.isalpha()]
    if scripts:
        return "rtl" if scripts[0] in _RTL_SCRIPTS else "ltr"
    known = babel_locale(tag)
    is_rtl = known.language == subtags[0] and known.text_direction == "rtl"
    return "rtl" if is_rtl else "ltr"


@lru_cache(maxsize=_CACHED_LOCALES)
def mail_facts(tag: str) -> Mapping[str, object]:
    """Return what a template may know of the mail it becomes; a context may hide it."""
    facts = dict(zip(FACT_NAMES, (tag, language_of(tag), direction(tag)), strict=True))
    return {MAIL_FACTS: facts}
