"""What a rule is: when it applies, and what it says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.bounces.classes import Side

if TYPE_CHECKING:
    from providers.bounces.classes import BounceClass


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table: it applies if all that it names is there."""

    bounce_class: BounceClass
    side: Side
    #: For a permanent refusal: the address is dead.
    is_hard: bool = False
    #: Of the reply's text in lower case, without addresses.
    words: re.Pattern[str] | None = None
    #: Of all of the enhanced code but its class, such as `1.1`.
    status: re.Pattern[str] | None = None
    #: SMTP reply codes; 0 stands for none. Empty: any.
    codes: frozenset[int] = frozenset()

    def applies(self, code: int, status: str, text: str) -> bool:
        """Tell whether a reply is meant; `status` is the enhanced code but its class."""
        if self.codes and code not in self.codes:
            return False
        if self.status is not None and not self.status.fullmatch(status):
            return False
        return self.words is None or self.words.search(text) is not None


def recipient(
    bounce_class: BounceClass, words: str = "", *, status: str = "", codes: tuple[int, ...] = ()
) -> Rule:
    """Return a rule about the recipient's side that leaves the address alive."""
    return _rule(bounce_class, Side.RECIPIENT, words, status, codes)


def dead(
    bounce_class: BounceClass, words: str = "", *, status: str = "", codes: tuple[int, ...] = ()
) -> Rule:
    """Return a rule by which the address is dead, if the refusal is permanent."""
    return _rule(bounce_class, Side.RECIPIENT, words, status, codes, is_hard=True)


def sender(
    bounce_class: BounceClass, words: str = "", *, status: str = "", codes: tuple[int, ...] = ()
) -> Rule:
    """Return a rule about our side."""
    return _rule(bounce_class, Side.SENDER, words, status, codes)


def _rule(
    bounce_class: BounceClass,
    side: Side,
    words: str,
    status: str,
    codes: tuple[int, ...],
    *,
    is_hard: bool = False,
) -> Rule:
    return Rule(
        bounce_class,
        side,
        is_hard,
        re.compile(words) if words else None,
        re.compile(status) if status else None,
        frozenset(codes),
    )
