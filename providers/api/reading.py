"""Members of a JSON object by tables: each has a column and a check; every fault has its path."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from uuid import UUID

from mailservice.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    #: Yields what is wrong with a value, as (what to add to its path, message).
    Check = Callable[[object], Iterator[tuple[str, str]]]
    #: Name in the request → (name inside, check).
    Table = Mapping[str, tuple[str, Check]]

#: Faults named in one answer.
MAX_FAULTS = 100
_MAX_NAME_CHARS = 64


class Faults(list[tuple[str, str, str]]):
    """Faults as (path, code, message)."""

    def raise_if_any(self) -> None:
        """Raise `InvalidInputError` with what was found."""
        if self:
            raise InvalidInputError.for_fields(self[:MAX_FAULTS])


def read_members(
    data: object, table: Table, faults: Faults, *, path: str = "", ignored: frozenset[str]
) -> dict[str, Any]:
    """Return the valid members of an object under their inner names; null stays null.

    Members of `ignored` are passed over; they are read elsewhere, or only shown.
    """
    if not isinstance(data, dict):
        faults.append((path, "invalid_type", "This must be an object."))
        return {}
    found: dict[str, Any] = {}
    for name, value in data.items():
        place = f"{path}.{name[:_MAX_NAME_CHARS]}" if path else name[:_MAX_NAME_CHARS]
        if name in ignored:
            continue
        if name not in table:
            faults.append((place, "unknown_field", no_such("field", table.keys() | ignored)))
            continue
        column, check = table[name]
        wrong = list(check(value)) if value is not None else []
        faults += [(place + suffix, "invalid_type", message) for suffix, message in wrong]
        if not wrong:
            found[column] = value
    return found


def no_such(what: str, known: Collection[str]) -> str:
    """Return the words for a name that does not exist, with those that do."""
    return f"There is no such {what}; known are: {', '.join(sorted(known)) or 'none'}."


def is_text(value: object) -> Iterator[tuple[str, str]]:
    """Check for a string that the database can hold."""
    if not isinstance(value, str):
        yield "", "This must be a string."
    elif "\x00" in value:
        yield "", "Not allowed: the NUL character."


def is_flag(value: object) -> Iterator[tuple[str, str]]:
    """Check for true or false."""
    if not isinstance(value, bool):
        yield "", "This must be true or false."


def is_number(value: object) -> Iterator[tuple[str, str]]:
    """Check for a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        yield "", "This must be a whole number."


def is_quantity(value: object) -> Iterator[tuple[str, str]]:
    """Check for a number, whole or not."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        yield "", "This must be a number."


def is_amount(decimals: int) -> Check:
    """Return a check for an amount of money: a string such as "0.80", or a number."""

    def check(value: object) -> Iterator[tuple[str, str]]:
        amount = as_amount(value)
        exponent = amount.as_tuple().exponent if amount is not None else None
        if not isinstance(exponent, int) or exponent < -decimals:
            yield "", f'This must be an amount such as "0.80", with at most {decimals} decimals.'

    return check


def as_amount(value: object) -> Decimal | None:
    """Return the amount that a string or number spells, or None."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def is_object(value: object) -> Iterator[tuple[str, str]]:
    """Check for an object."""
    if not isinstance(value, dict):
        yield "", "This must be an object."


def are_objects(value: object) -> Iterator[tuple[str, str]]:
    """Check for a list of objects."""
    yield from _each(value, is_object)


def are_texts(value: object) -> Iterator[tuple[str, str]]:
    """Check for a list of strings."""
    yield from _each(value, is_text)


def are_ids(value: object) -> Iterator[tuple[str, str]]:
    """Check for a list of ids."""
    yield from _each(value, is_id)


def is_id(value: object) -> Iterator[tuple[str, str]]:
    """Check for an id."""
    if as_id(value) is None:
        yield "", "This must be an id."


def as_id(value: object) -> UUID | None:
    """Return the id that a value spells, or None."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _each(value: object, check: Check) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list):
        yield "", "This must be a list."
        return
    for place, item in enumerate(value):
        for suffix, message in check(item):
            yield f"[{place}]{suffix}", message
