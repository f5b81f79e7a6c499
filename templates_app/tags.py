"""Language tags: their one spelling, and which text stands for the default. Pure."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from templates_app.engine.locales import fallbacks

if TYPE_CHECKING:
    from collections.abc import Collection

_SCRIPT_CHARS, _REGION_CHARS = 4, 2


def one_spelling(tag: str) -> str:
    """Return a tag as it is written in general: `pt-BR` for `PT_br`, `zh-Hant` for `zh-hant`.

    RFC 5646 §2.1.1; what is no tag comes back as it is, apart from case and hyphens.
    """
    parts = tag.strip().replace("_", "-").lower().split("-")
    # What follows a single character is private or an extension, and all in lower case.
    known = len(list(takewhile(lambda part: len(part) > 1, parts)))
    return "-".join(
        [parts[0], *map(_subtag, parts[1:known]), *parts[max(known, 1) :]],
    )


def best_tag(tags: Collection[str], locale: str, *, language: str) -> str | None:
    """Return which of some tags in lower case a reader of this locale gets; None of none.

    `pt-BR` gets `pt-br`, else `pt`, else what stands for the default of a template in `language`.
    """
    for tag in fallbacks(locale):
        if tag in tags:
            return tag
    found = stand_in(tags, language)
    # A draft may lack its default for now.
    return next(iter(tags), None) if found is None else found


def stand_in(tags: Collection[str], language: str) -> str | None:
    """Return which of some tags in lower case serves readers whose language is not among them.

    It is the default text, else the text of `language`, in which the default would be.
    """
    if "" in tags:
        return ""
    return next((tag for tag in fallbacks(language) if tag in tags), None)


def _subtag(part: str) -> str:
    if len(part) == _REGION_CHARS:
        return part.upper()
    return part.title() if len(part) == _SCRIPT_CHARS and part.isalpha() else part
