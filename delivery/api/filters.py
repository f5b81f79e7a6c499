"""The query string of message lists."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from delivery.api.requests import uuid_or_none
from delivery.intake.faults import Faults
from delivery.intake.fields import read_moment
from delivery.selectors import Criteria
from delivery.states import Status
from mailservice.core.addresses import AddressError, normalized, parse_email
from mailservice.core.rest import decode_cursor, page_params, refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

_PAGING = frozenset({"limit", "cursor"})
#: Another name of a parameter → the parameter.
_ALIASES = {
    "type": "email_type",
    "group": "batch_id",
    "group_id": "batch_id",
    "batch": "batch_id",
    "campaign": "batch_id",
    "provider_id": "provider",
    "smtp_config": "provider",
    "created_after": "created_from",
    "created_before": "created_to",
    "from": "created_from",
    "until": "created_to",
    "q": "subject",
    "search": "subject",
}
_MAX_CHARS = 320
# What first fits into the timestamp of an id, with room for arithmetic.
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


def read_page(query: Mapping[str, str]) -> tuple[UUID | None, int]:
    """Return after which id the page begins, and its size. Raises `InvalidInputError`."""
    cursor, limit = page_params(query)
    return (decode_cursor(cursor) if cursor else None), limit


def read_criteria(query: Mapping[str, str], *, fixed: frozenset[str] = frozenset()) -> Criteria:
    """Return what a list is to show. Raises `InvalidInputError` with every fault.

    Empty parameters do not restrict. `fixed` names parameters the path has set already.
    """
    known = (_READERS.keys() | _ALIASES.keys() | _PAGING) - fixed
    refuse_unknown(query, known)
    faults = Faults()
    chosen: dict[str, object] = {}
    for name, value in query.items():
        if not value or name in _PAGING:
            continue
        if "\x00" in value or len(value) > _MAX_CHARS:
            faults.add(name, "invalid", f"Use at most {_MAX_CHARS} printable characters.")
            continue
        field, read = _READERS[_ALIASES.get(name, name)]
        if field in chosen:
            faults.add(name, "conflict", "This is given twice, under two names.")
        chosen[field] = read(value, name, faults)
    faults.raise_if_any()
    return Criteria(**chosen)  # type: ignore[arg-type]  # each reader returns its field's type


def read_statuses(value: str, name: str, faults: Faults) -> frozenset[str]:
    """Return the statuses of a comma-separated list."""
    given = frozenset(part.strip().lower() for part in value.split(",") if part.strip())
    if given - set(Status.values):
        faults.add(name, "invalid_choice", f"Known are {', '.join(Status.values)}.")
    return given


def _read_recipient(value: str, name: str, faults: Faults) -> str:
    try:
        return normalized(parse_email(value.strip()))
    except AddressError as error:
        faults.add(name, error.code, error.message)
        return ""


def _read_text(value: str, _name: str, _faults: Faults) -> str:
    return value


def _read_id(value: str, name: str, faults: Faults) -> UUID | None:
    found = uuid_or_none(value)
    if found is None:
        faults.add(name, "invalid", "This must be an id in UUID form.")
    return found


def _read_moment(value: str, name: str, faults: Faults) -> datetime | None:
    if len(value) == len("2030-01-31"):
        value += "T00:00:00Z"
    # An unescaped plus sign of the offset arrives as a space.
    moment = read_moment(value.replace(" ", "+"), name, faults)
    if moment is not None and not _EARLIEST <= moment < _LATEST:
        faults.add(name, "out_of_range", "Use a moment between 1970 and 2999.")
    return moment


_READERS: dict[str, tuple[str, Callable[[str, str, Faults], object]]] = {
    "status": ("statuses", read_statuses),
    "recipient": ("recipient", _read_recipient),
    "tag": ("tag", _read_text),
    "email_type": ("email_type", _read_text),
    "provider": ("provider_id", _read_id),
    "batch_id": ("group_id", _read_id),
    "created_from": ("created_from", _read_moment),
    "created_to": ("created_to", _read_moment),
    "subject": ("subject", _read_text),
}
