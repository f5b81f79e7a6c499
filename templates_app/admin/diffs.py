"""How two versions differ, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from templates_app.admin.previews import language_name
from templates_app.selectors import diff_versions, language_of_default

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from templates_app.models import Template

_SHOWN_LINES = 3_000
_MAX_DIGITS = 9


class DiffLine(NamedTuple):
    """One line of a difference; a number is None on the side that lacks it."""

    #: `add`, `del`, `same` or `skip`.
    kind: str
    text: str
    old: int | None = None
    new: int | None = None


@dataclass(frozen=True, slots=True)
class ShownDiff:
    """How one part of one language differs."""

    language: str
    part: str
    lines: list[DiffLine]
    added: int
    removed: int


def asked_versions(given: Mapping[str, str], numbers: Sequence[int]) -> tuple[int, int] | None:
    """Return the old and the new version asked for, else the newest two; None if there are none.

    `numbers` are those there are, the newest first.
    """
    if not numbers:
        return None
    asked = []
    for name, usual in (("old", numbers[min(1, len(numbers) - 1)]), ("new", numbers[0])):
        text = given.get(name, "")
        is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
        number = int(text) if is_number else usual
        if number not in numbers:
            return None
        asked.append(number)
    return asked[0], asked[1]


def shown_diffs(template: Template, old: int, new: int) -> list[ShownDiff]:
    """Return what differs between two versions. Raises `NotFoundError`."""
    default = language_of_default(template)
    shown = []
    for locale, part, diff in diff_versions(template_id=template.pk, old=old, new=new):
        lines = list(diff_lines(diff))
        shown.append(
            ShownDiff(
                language_name(locale, default=default),
                part,
                lines[:_SHOWN_LINES],
                added=sum(line.kind == "add" for line in lines),
                removed=sum(line.kind == "del" for line in lines),
            )
        )
    return shown


def diff_lines(diff: str) -> Iterator[DiffLine]:
    """Yield a unified difference line by line, with the numbers of both sides."""
    old = new = 1
    for line in diff.split("\n")[2:-1]:
        sign, text = line[:1], line[1:]
        if line.startswith("@@ "):
            old, new = (_start(word) for word in line.split(" ")[1:3])
            yield DiffLine("skip", line)
        elif sign == "-":
            yield DiffLine("del", text, old=old)
            old += 1
        elif sign == "+":
            yield DiffLine("add", text, new=new)
            new += 1
        else:
            yield DiffLine("same", text, old, new)
            old, new = old + 1, new + 1


def _start(word: str) -> int:
    """Return the first line of a range such as `-3,7`."""
    return int(word[1:].partition(",")[0])
