"""Writing the cost ledger: what each mail costs by its place in its account's month.

It is written by the transaction that settles the quota and records the attempts, while the
account's usage row is locked. So every mail that counts has a place of its own, and the ledger's
sum over a month is what the price list says for the month's count, to the nano. That holds while
neither the price list nor the time zone changes within the month; and what was only presumed to
be sent (`quotas.abandon`) has places but costs nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mailservice.core.sql import RecordSet
from providers.models import NO_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from uuid import UUID

    from providers.quotas import Place

_ROWS = RecordSet(
    {
        "day": "date",
        "provider_id": "uuid",
        "owner_id": "uuid",
        "email_type": "text",
        "api_key_id": "uuid",
        "messages": "integer",
        "mails": "integer",
        "nanos": "bigint",
    }
)
# The target is the index `providers_costday_once`.
_ADD = f"""
ON CONFLICT (day, provider_id, owner_id, email_type, COALESCE(api_key_id, '{NO_KEY}'::uuid))
DO UPDATE SET messages = c.messages + EXCLUDED.messages, mails = c.mails + EXCLUDED.mails,
              nanos = c.nanos + EXCLUDED.nanos
"""

_Key = tuple["date", "UUID", "UUID", str, "UUID | None"]


@dataclass(frozen=True, slots=True)
class Carried:
    """One message that an account took, or may have taken, or refused."""

    provider_id: UUID | None
    owner_id: UUID
    api_key_id: UUID | None
    email_type: str
    #: What of it counts (`quotas.mails_of`): one per recipient; 0 if nothing was taken.
    mails: int


def book(carried: Sequence[Carried], places: Mapping[UUID, Place]) -> list[int]:
    """Add messages to the ledger within the caller's transaction; return the nanos each costs.

    They take the places that `quotas.settle` returned for their mails, in order. Call it right
    after: rows of an account are only written under the lock of its usage row, so two recorders
    cannot deadlock here. Without a place (the account is gone) a message costs nothing.
    """
    costs = []
    reached = {provider_id: place.before for provider_id, place in places.items()}
    sums: dict[_Key, list[int]] = {}
    for item in carried:
        place = places.get(item.provider_id) if item.provider_id else None
        if place is None or item.provider_id is None or not item.mails:
            costs.append(0)
            continue
        start = reached[item.provider_id]
        end = reached[item.provider_id] = start + item.mails
        nanos = place.pricing.nanos_between(start, end)
        costs.append(nanos)
        key = (place.day, item.provider_id, item.owner_id, item.email_type, item.api_key_id)
        row = sums.setdefault(key, [0, 0, 0])
        row[0] += 1
        row[1] += item.mails
        row[2] += nanos
    _ROWS.insert("providers_costday AS c", [_row(*each) for each in sums.items()], suffix=_ADD)
    return costs


def _row(key: _Key, sums: Sequence[int]) -> dict[str, Any]:
    return dict(zip(_ROWS.columns, (*key, *sums), strict=True))
