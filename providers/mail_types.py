"""Which email types there are: told by the app that keeps them, which lies above this one."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Each returns names of email types. Apps above this one append theirs when they are ready.
sources: list[Callable[[], Iterable[str]]] = []
#: Of a name: to compare long ones takes long.
_MAX_CHARS = 40


def fault_of_type(name: str) -> str:
    """Return a sentence if there is no email type of this name, with what was probably meant.

    A rule for it would never count, and nobody would notice.
    """
    known = {each for source in sources for each in source()}
    if name in known:
        return ""
    shown = name[:_MAX_CHARS]
    likely = get_close_matches(shown, sorted(known), n=1)
    hint = f" Did you mean “{likely[0]}”?" if likely else " Create it first."
    return f"There is no email type “{shown}”.{hint}"
