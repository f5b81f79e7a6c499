"""Sources put together of pieces, each of which knows who wrote it and where."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from templates_app.engine import place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PartName = Literal["subject", "preheader", "html", "text"]


class Shared(NamedTuple):
    """A published layout or partial."""

    id: str
    name: str
    kind: str
    number: int
    html: str
    text: str
    #: `html` or `mjml`.
    format: str


class Library(Protocol):
    """The layouts and partials a mail may use."""

    def find(self, name: str, kind: str) -> Shared | None:
        """Return the newest published one in the language of the mail."""

    def names(self, kind: str) -> Sequence[str]:
        """Return what there is, for hints."""


class Place(NamedTuple):
    """Where an author finds something; `name` is empty for the mail's own source."""

    name: str
    line: int
    column: int


class Origin(NamedTuple):
    """A source; `name` is empty for the mail's own."""

    name: str
    source: str


class Piece(NamedTuple):
    """Text from a place in a source."""

    text: str
    origin: Origin
    start: int
    #: Written by us for one construct, at whose start it is said to be.
    is_made: bool = False


class Bundle:
    """One source with all that belongs to it."""

    def __init__(self, pieces: list[Piece], used: Mapping[str, int], format_: str) -> None:
        self._pieces = [piece for piece in pieces if piece.text]
        self.source = "".join(piece.text for piece in self._pieces)
        #: Ids of the layouts and partials worked in, with their version numbers.
        self.used = dict(used)
        self.format = format_
        self._starts: list[int] = []
        position = 0
        for piece in self._pieces:
            self._starts.append(position)
            position += len(piece.text)

    def place(self, index: int) -> Place:
        """Return where the author wrote what stands at an index of `source`."""
        if not self._pieces:
            return Place("", 1, 1)
        number = max(bisect_right(self._starts, index) - 1, 0)
        piece = self._pieces[number]
        offset = 0 if piece.is_made else index - self._starts[number]
        return Place(piece.origin.name, *place(piece.origin.source, piece.start + offset))

    def place_of(self, line: int, column: int) -> Place:
        """Return where the author wrote what stands at a line and column of `source`."""
        index = 0
        for _ in range(line - 1):
            index = self.source.find("\n", index) + 1
        return self.place(index + column - 1)


def plain_bundle(source: str) -> Bundle:
    """Return a source that is taken as it is."""
    return Bundle([Piece(source, Origin("", source), 0)], {}, "html")
