"""What went wrong below HTTP, in a few words."""

from __future__ import annotations

_MAX_DEPTH = 12


def innermost(error: BaseException) -> str:
    """Return the words of the exception that began it all: libraries wrap theirs several times."""
    current = error
    for _ in range(_MAX_DEPTH):
        below = _below(current)
        if below is None:
            break
        current = below
    words = str(current.args[-1]) if current.args else ""
    return f"{type(current).__name__}: {words}".rstrip(": ")


def _below(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    held = (reason, error.__cause__, *error.args, error.__context__)
    return next((one for one in held if isinstance(one, BaseException)), None)
