"""Who gets no mail from now on: the one statement by which all who learn of it write it down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from delivery.models import SuppressionReason
from mailservice.core.ids import uuid7
from mailservice.core.sql import RecordSet

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

_ROWS = RecordSet(
    {
        "id": "uuid",
        "address": "text",
        "email_type": "text",
        "list_key": "text",
        "reason": "text",
        "note": "text",
        "message_id": "uuid",
    }
)

# Recipients may take their own unsubscribe back, so it must not hide a weightier reason.
KEEP_THE_WEIGHTIER = """
ON CONFLICT (address, email_type, list_key) DO UPDATE
   SET reason = excluded.reason, note = excluded.note, message_id = excluded.message_id
 WHERE delivery_suppression.reason = 'unsubscribe' AND excluded.reason <> 'unsubscribe'
"""


@dataclass(frozen=True, slots=True)
class NewSuppression:
    """An address that is to get no mail: none of a type, none of a list, or none at all."""

    #: In normal form.
    address: str
    reason: SuppressionReason
    #: At most one of the two is given.
    email_type: str = ""
    list_key: str = ""
    note: str = ""
    message_id: UUID | None = None


def add_suppressions(entries: Iterable[NewSuppression]) -> int:
    """Write what is not there yet, in one statement; return how many that was.

    An address already suppressed in the same scope keeps its first reason, but for an unsubscribe,
    which any other reason replaces.
    """
    single: dict[tuple[str, str, str], NewSuppression] = {}
    for each in entries:
        key = (each.address, each.email_type, each.list_key)
        if key not in single or single[key].reason == SuppressionReason.UNSUBSCRIBE:
            single[key] = each
    rows = [
        {
            "id": uuid7(),
            "address": each.address,
            "email_type": each.email_type,
            "list_key": each.list_key,
            "reason": each.reason.value,
            "note": each.note[:200],
            "message_id": each.message_id,
        }
        # In one order, so that two writers of the same addresses cannot deadlock.
        for _, each in sorted(single.items(), key=lambda item: item[0])
    ]
    return _ROWS.insert("delivery_suppression", rows, suffix=KEEP_THE_WEIGHTIER)
