"""Readers of addresses: single ones, lists, and the envelope of a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailservice.core.addresses import Address, AddressError, normalized, parse_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from delivery.intake.faults import Faults

MAX_REPLY_TO = 25

_Envelope = tuple[tuple[Address, ...], tuple[Address, ...], tuple[Address, ...]]


def read_address(value: object, path: str, faults: Faults) -> Address | None:
    """Return one address, None if not given or at fault."""
    if value is None:
        return None
    try:
        return parse_address(value)
    except AddressError as error:
        field = f"{path}.{error.field}" if error.field else path
        faults.add(field, error.code, error.message)
        return None


def read_addresses(value: object, path: str, faults: Faults, *, limit: int) -> list[Address]:
    """Return the addresses of a string, an object or a list of either."""
    if value is None:
        return []
    if not isinstance(value, list):
        address = read_address(value, path, faults)
        return [address] if address else []
    if len(value) > limit:
        faults.add(path, "too_many", f"At most {limit} addresses are allowed, {len(value)} given.")
        return []
    addresses = []
    for index, item in enumerate(value):
        if item is None:
            faults.add(f"{path}[{index}]", "required", "An email address is required.")
            continue
        address = read_address(item, f"{path}[{index}]", faults)
        if address:
            addresses.append(address)
    return addresses


def read_reply_to(value: object, faults: Faults) -> tuple[Address, ...]:
    """Return where answers go."""
    return tuple(read_addresses(value, "reply_to", faults, limit=MAX_REPLY_TO))


def read_envelope(data: Mapping[str, object], faults: Faults, *, limit: int) -> _Envelope:
    """Return to, cc and bcc without repetitions, the first occurrence in this order winning.

    `limit` bounds what is given, repetitions included.
    """
    to = read_addresses(data.get("to"), "to", faults, limit=limit)
    if len(to) == 1 and "cc" not in data and "bcc" not in data:
        return (to[0],), (), ()
    cc = read_addresses(data.get("cc"), "cc", faults, limit=limit)
    bcc = read_addresses(data.get("bcc"), "bcc", faults, limit=limit)
    count = len(to) + len(cc) + len(bcc)
    if not count and not faults:
        faults.add("to", "required", "At least one recipient is required.")
    if count > limit:
        faults.add(
            "to",
            "too_many",
            f"At most {limit} recipients over to, cc and bcc are allowed, {count} given.",
        )
    seen: set[str] = set()
    return _new(to, seen), _new(cc, seen), _new(bcc, seen)


def places_of(data: Mapping[str, object], names: Mapping[str, str]) -> dict[str, str]:
    """Return where the addresses of a good envelope stand: normal form → path.

    `names` has the caller's names of fields. Of an address given twice the first place counts.
    """
    places: dict[str, str] = {}
    for field in ("to", "cc", "bcc"):
        value, name = data.get(field), names.get(field, field)
        if value is None:
            continue
        one_by_one = isinstance(value, list)
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            key = normalized(parse_address(item).email)
            places.setdefault(key, f"{name}[{index}]" if one_by_one else name)
    return places


def _new(addresses: list[Address], seen: set[str]) -> tuple[Address, ...]:
    kept = []
    for address in addresses:
        key = normalized(address.email)
        if key not in seen:
            seen.add(key)
            kept.append(address)
    return tuple(kept)
