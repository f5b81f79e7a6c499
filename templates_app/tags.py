"""Language tags in their one spelling. Pure."""

from __future__ import annotations

from itertools import takewhile

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


def _subtag(part: str) -> str:
    if len(part) == _REGION_CHARS:
        return part.upper()
    return part.title() if len(part) == _SCRIPT_CHARS and part.isalpha() else part
