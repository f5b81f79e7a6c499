"""A line on the terminal that counts what takes long."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

#: What is over sooner needs no line.
_PATIENCE_SECONDS = 0.5
_BETWEEN_SECONDS = 0.1
_CLEAR = "\r\x1b[K"


class Terminal(Protocol):
    """Django's wrapper of a stream."""

    def isatty(self) -> bool:
        """Tell whether somebody watches."""

    def write(self, msg: str = "", style_func: None = None, ending: str | None = None) -> None:
        """Write a text."""

    def flush(self) -> None:
        """Show what is written."""


class Progress:
    """Counts on a terminal, and says nothing to a file or a pipe; the line goes when it ends."""

    def __init__(self, terminal: Terminal, words: str) -> None:
        self._terminal = terminal
        self._words = words
        self._is_watched = terminal.isatty()
        #: When the line is written next.
        self.due_at = monotonic() + _PATIENCE_SECONDS
        self._is_shown = False

    def __call__(self, done: int, total: int) -> None:
        """Tell how far it is."""
        now = monotonic()
        if not self._is_watched or now < self.due_at:
            return
        self.due_at = now + _BETWEEN_SECONDS
        self._is_shown = True
        self._terminal.write(f"{_CLEAR}{self._words} {done:,} of {total:,} …", ending="")
        self._terminal.flush()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the line away."""
        if self._is_shown:
            self._terminal.write(_CLEAR, ending="")
            self._terminal.flush()
