"""Addresses in requests about what holds for addresses: suppressions, refusals of tracking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailservice.core.addresses import AddressError, normalized, parse_email

if TYPE_CHECKING:
    from collections.abc import Mapping

    from delivery.intake.faults import Faults

MAX_ADDRESSES = 1_000
#: Both names of the parameter that names one address.
PARAMETERS = ("email", "address")


def read_addresses(data: Mapping[str, object], faults: Faults) -> list[str]:
    """Return `email` or `emails` of a body in normal form, each once."""
    if "email" in data and "emails" in data:
        faults.add("emails", "conflict", "Give one email or several emails, not both.")
        return []
    if "emails" not in data:
        return [read_address(data.get("email"), "email", faults)]
    given = data["emails"]
    if not isinstance(given, list):
        faults.add("emails", "invalid_type", "This must be a list of addresses.")
    elif not given:
        faults.add("emails", "required", "The list is empty.")
    elif len(given) > MAX_ADDRESSES:
        text = f"At most {MAX_ADDRESSES} addresses are allowed, {len(given)} given."
        faults.add("emails", "too_many", text)
    else:
        found = (read_address(one, f"emails[{place}]", faults) for place, one in enumerate(given))
        return list(dict.fromkeys(found))
    return []


def read_address(value: object, name: str, faults: Faults) -> str:
    """Return an address in normal form, empty beside a fault."""
    if value is None or value == "":
        faults.add(name, "required", "An address is required.")
    elif not isinstance(value, str):
        faults.add(name, "invalid_type", "This must be a string.")
    else:
        try:
            return normalized(parse_email(value.strip()))
        except AddressError as error:
            faults.add(name, error.code, error.message)
    return ""


def asked_address(query: Mapping[str, str], faults: Faults) -> str | None:
    """Return the address that a query names in normal form, None if it names none."""
    given = [name for name in PARAMETERS if query.get(name)]
    if len(given) > 1:
        faults.add(given[1], "conflict", "This is given twice, under two names.")
    return read_address(query[given[0]], given[0], faults) if len(given) == 1 else None
