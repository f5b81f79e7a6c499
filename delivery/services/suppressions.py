"""Who gets no mail, and who is not to be watched, written by the many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Q

from delivery.models import Suppression, SuppressionReason, TrackingRefusal
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


#: (email type, list) of a suppression; both empty for all mail.
Scope = tuple[str, str]

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


def remove_suppressions(
    *, address: str, email_type: str | None = None, list_key: str | None = None
) -> int:
    """Delete an address's suppressions of a scope, of every scope if none is named.

    Returns how many there were. `address` is in normal form.
    """
    found = Suppression.objects.filter(address=address)
    if email_type is not None:
        found = found.filter(email_type=email_type)
    if list_key is not None:
        found = found.filter(list_key=list_key)
    return found.delete()[0]


def remove_suppression(*, suppression_id: UUID) -> bool:
    """Delete one suppression; False if there was none."""
    return bool(Suppression.objects.filter(pk=suppression_id).delete()[0])


def withdraw_unsubscribes(*, address: str, scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Delete an address's own unsubscribes of these scopes; return those that there were.

    What bounced, what was complained about and what people entered stays.
    """
    wanted = Q()
    for email_type, list_key in scopes:
        wanted |= Q(email_type=email_type, list_key=list_key)
    if not wanted:
        return frozenset()
    own = Suppression.objects.filter(
        wanted, address=address, reason=SuppressionReason.UNSUBSCRIBE
    ).order_by()
    # Read and deleted by id, so that what is told is what was deleted.
    rows = {row[0]: (row[1], row[2]) for row in own.values_list("pk", "email_type", "list_key")}
    Suppression.objects.filter(pk__in=list(rows), reason=SuppressionReason.UNSUBSCRIBE).delete()
    return frozenset(rows.values())


def set_tracking_refusal(*, address: str, is_refused: bool) -> None:
    """Note that an address's owner wants opens and clicks unseen, or no longer does."""
    if is_refused:
        TrackingRefusal.objects.bulk_create(
            [TrackingRefusal(address=address)], ignore_conflicts=True
        )
    else:
        TrackingRefusal.objects.filter(address=address).delete()
