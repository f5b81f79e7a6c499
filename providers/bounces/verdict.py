"""From a reply to what it says of the mail and its recipient: a pure decision."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from providers.bounces.classes import BounceClass, BounceVerdict
from providers.bounces.rules import RULES

if TYPE_CHECKING:
    from providers.bounces.table import Rule

#: More of a text is not looked at.
MAX_CHARS = 1_000
#: SMTP replies after which trying again makes sense. Other 4xx are an API's, by HTTP.
_TEMPORARY = frozenset({420, 421, 431, 432, 441, 442, 446, 447, 449, 450, 451, 452, 454, 455})
# An enhanced status code (RFC 3463) somewhere in a reply, and a reply code.
_STATUS = re.compile(r"(?<![\d.])([245])\.([0-7])\.(\d{1,3})(?!\.?\d)")
_CODE = re.compile(r"(?<![\d.#])([45]\d\d)(?=[ -])")
# Addresses hold any word; so may the words of a rule.
_ADDRESS = re.compile(r"[^\s<>@]{1,64}@[^\s<>@,;:()]{1,255}")
_LINES = re.compile(r"\s+")


def classify(code: int, enhanced: str, text: str, *, is_permanent: bool) -> BounceVerdict:
    """Return what a reply says.

    `code` is an SMTP reply code, an API's HTTP status, or 0; `enhanced` such as `5.1.1`, or empty:
    what is not given, or tells nothing, is looked for in `text`. Never raises. Nothing is hard that
    is not permanent, by the caller's word and by the codes.
    """
    text = text[:MAX_CHARS]
    code = code or code_in(text)
    if not enhanced or enhanced.endswith(".0.0"):
        enhanced = status_in(text) or enhanced
    plain = _LINES.sub(" ", _ADDRESS.sub("<>", text)).lower()
    is_final = is_permanent and not _is_temporary(code, enhanced)
    rule = _rule_for(code, enhanced.partition(".")[2], plain)
    if rule is not None:
        return BounceVerdict(rule.bounce_class, is_hard=rule.is_hard and is_final, side=rule.side)
    return BounceVerdict(BounceClass.UNKNOWN if is_final else BounceClass.TRANSIENT, is_hard=False)


# Servers say the same again and again.
@lru_cache(maxsize=1024)
def _rule_for(code: int, status: str, text: str) -> Rule | None:
    return next((rule for rule in RULES if rule.applies(code, status, text)), None)


def status_in(text: str) -> str:
    """Return the first enhanced status code in a reply, such as `5.1.1`; empty if there is none."""
    found = _STATUS.search(text[:MAX_CHARS])
    return ".".join(found.groups()) if found else ""


def code_in(text: str) -> int:
    """Return the first SMTP code of a refusal in a reply, such as 550; 0 if there is none."""
    found = _CODE.search(text[:MAX_CHARS])
    return int(found[1]) if found else 0


def _is_temporary(code: int, enhanced: str) -> bool:
    return code in _TEMPORARY or enhanced.startswith("4.")
