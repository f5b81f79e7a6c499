"""Whether a context holds what a template reads from it, told without rendering."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

Names = tuple[str, ...]

#: Stands in a path for "each item of the list".
EACH = "[]"

#: Longer texts and lists may reach a bound of the sandbox.
_SHORT_TEXT = 10_000
_SHORT_LIST = 100


class Need:
    """What is asked of one value, and of what it holds: all paths of a template in one tree.

    Every mail passes here when it is accepted, so a list is walked once for all of its fields.
    """

    __slots__ = ("each", "is_plain", "is_required", "is_unwanted", "members")

    def __init__(self) -> None:
        #: Absent values do if nothing in them is required, too.
        self.is_required = False
        #: It must be a text or a number, of an ordinary length.
        self.is_plain = False
        #: It must be absent.
        self.is_unwanted = False
        self.members: dict[str, Need] = {}
        #: What is asked of each item of a list.
        self.each: Need | None = None

    def add(self, path: Names, *, is_required: bool, is_plain: bool) -> None:
        """Add what is asked of the value that a path leads to."""
        need = self
        for name in path:
            if name == EACH:
                need.each = need.each or Need()
                need = need.each
            else:
                need = need.members.setdefault(name, Need())
            need.is_required |= is_required
        need.is_plain |= is_plain

    def is_met(self, value: object) -> bool:
        """Tell whether a value that is there is all that is asked for."""
        if self.is_unwanted or (self.is_plain and not _is_plain(value)):
            return False
        if self.each is not None:
            if type(value) is not list or len(value) > _SHORT_LIST:
                return False
            if not all(map(self.each.is_met, value)):
                return False
        return not self.members or self._has_members(value)

    def _has_members(self, value: object) -> bool:
        is_object = type(value) is dict or isinstance(value, Mapping)
        for name, need in self.members.items():
            if is_object and name in value:  # type: ignore[operator]  # it is an object
                if not need.is_met(value[name]):  # type: ignore[index]  # as above
                    return False
            elif not need.is_met_without(value, name):
                return False
        return True

    def is_met_without(self, value: object, name: str) -> bool:
        """Tell whether it does that a value holds nothing by the name."""
        if not _has_property(value, name):
            return not self.is_required
        # What stands first or last may be anything.
        is_known = name == "size" or not self.is_plain
        return is_known and not self.members and self.each is None


def needs_of(paths: Collection[Names], plain_paths: Collection[Names], *, unwanted: str) -> Need:
    """Return the tree for paths that are required, and those that are plain if they are there.

    `unwanted` is a name that must be absent, empty if there is none.
    """
    root = Need()
    for path in paths:
        root.add(path, is_required=True, is_plain=False)
    for path in plain_paths:
        root.add(path, is_required=False, is_plain=True)
    if unwanted:
        root.members.setdefault(unwanted, Need()).is_unwanted = True
    return root


def missing_paths(paths: tuple[Names, ...], context: Mapping[str, object]) -> list[Names]:
    """Return those of the paths that the context does not hold."""
    return [path for path in paths if not _holds(context, path, 0)]


def _holds(value: object, path: Names, position: int) -> bool:
    for index in range(position, len(path)):
        name = path[index]
        if name == EACH:
            if type(value) is not list:
                return False
            return all(_holds(item, path, index + 1) for item in value)
        if not isinstance(value, Mapping) or name not in value:
            return index == len(path) - 1 and _has_property(value, name)
        value = value[name]
    return True


def _has_property(value: object, name: str) -> bool:
    """Tell whether liquid finds `size`, `first` or `last` on a value that does not hold it."""
    if name == "size":
        return isinstance(value, (str, list, Mapping))
    return name in {"first", "last"} and isinstance(value, list) and bool(value)


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _SHORT_TEXT
    return value is None or isinstance(value, (int, float))
