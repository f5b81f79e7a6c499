"""Collects what is wrong with a request, so that its author learns everything at once."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from mailservice.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Faults beyond these are not listed: an answer stays readable whatever was sent.
MAX_FAULTS = 100
_MAX_UNKNOWN = 10
_MAX_NAME_CHARS = 64


class Faults:
    """The faults found so far, each a field path, a code and a message.

    `names` maps canonical field names to the other names the caller used, so that paths speak the
    caller's language.
    """

    __slots__ = ("_found", "names")

    def __init__(self) -> None:
        self._found: list[tuple[str, str, str]] = []
        self.names: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, field: str, code: str, message: str) -> None:
        """Record a fault."""
        if len(self._found) < MAX_FAULTS:
            self._found.append((field, code, message))

    def error(self) -> InvalidInputError | None:
        """Return the error over all faults, None if there are none."""
        if not self._found:
            return None
        return InvalidInputError.for_fields(
            [(self._as_given(field), code, message) for field, code, message in self._found]
        )

    def raise_if_any(self) -> None:
        """Raise `InvalidInputError` if a fault was found."""
        error = self.error()
        if error is not None:
            raise error

    def add_unknown(self, prefix: str, given: Iterable[str], known: Iterable[str]) -> None:
        """Record each of the `given` names that is not `known`, with the likeliest meaning."""
        known = sorted(known)
        unknown = sorted(str(name) for name in given if name not in known)
        for name in unknown[:_MAX_UNKNOWN]:
            likely = get_close_matches(name[:_MAX_NAME_CHARS], known, n=1)
            hint = f' Did you mean "{likely[0]}"?' if likely else ""
            self.add(prefix + clip(name), "unknown_field", f"There is no such field.{hint}")

    def _as_given(self, path: str) -> str:
        for canonical, given in self.names.items():
            if path.startswith(canonical) and path[len(canonical) :][:1] in {"", "[", "."}:
                return given + path[len(canonical) :]
        return path


def clip(name: str) -> str:
    """Return a caller's name for use in a path, cut to a readable length."""
    return name if len(name) <= _MAX_NAME_CHARS else name[:_MAX_NAME_CHARS] + "…"
