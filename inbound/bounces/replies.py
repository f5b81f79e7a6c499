"""Replies of mail servers found in running text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inbound.bounces.mime import one_line

_MAX_CHARS = 500
#: Text is searched so far.
_SEARCHED_CHARS = 20_000

_BOTH = re.compile(r"(?<![\d.])([245]\d\d)[ -]{1,3}#?([245]\.\d{1,3}\.\d{1,3})\b")
_CODE = re.compile(r"(?<![\d.:/@-])([45][0-5]\d)[ -](?=[^\d\s])")
_ENHANCED = re.compile(r"(?<![\d.])#?([245]\.[0-7]\.\d{1,3})(?![\d.])")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply; 0 and empty where there is nothing."""

    code: int = 0
    enhanced: str = ""
    text: str = ""


def reply_in(text: str) -> Reply:
    """Return the first reply in a text, the most telling form first."""
    text = text[:_SEARCHED_CHARS]
    both = _BOTH.search(text)
    if both:
        return Reply(int(both[1]), both[2], _from(text, both.start()))
    code, enhanced = _CODE.search(text), _ENHANCED.search(text)
    start = min((found.start() for found in (code, enhanced) if found), default=-1)
    if start < 0:
        return Reply(text=one_line(text, _MAX_CHARS))
    return Reply(int(code[1]) if code else 0, enhanced[1] if enhanced else "", _from(text, start))


def _from(text: str, start: int) -> str:
    """Return the paragraph from a place on."""
    end = text.find("\n\n", start)
    return one_line(text[start : end if end >= 0 else None], _MAX_CHARS)
