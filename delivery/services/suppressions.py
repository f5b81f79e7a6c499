"""Who gets no mail, and who is not to be watched, written by the many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection
from django.db.models import Q

from delivery.email_types import email_types
from delivery.models import Suppression, SuppressionReason, TrackingRefusal
from delivery.models.suppressions import ALL_MARKETING
from delivery.suppressing import KEEP_THE_WEIGHTIER, NewSuppression, add_suppressions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

__all__ = [
    "KEEP_THE_WEIGHTIER",
    "NewSuppression",
    "Scope",
    "add_suppressions",
    "allow_tracking",
    "refuse_tracking",
    "remove_suppression",
    "remove_suppressions",
    "set_tracking_refusal",
    "unsubscribe_scope",
    "withdraw_unsubscribes",
]

_REFUSE = """
INSERT INTO delivery_trackingrefusal (address) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING
"""

#: (email type, list) of a suppression; both empty for all mail.
Scope = tuple[str, str]


def unsubscribe_scope(*, email_type: str, list_key: str) -> Scope:
    """Return what a recipient of such a mail leaves by unsubscribing.

    The list if the mail went to one, else its type of marketing. Mail of other types, such as a
    reset password, is what people need whatever they said about advertising: there it is all
    marketing, and so it is for a type that is gone, whose mail may have another name today.
    """
    if list_key:
        return "", list_key
    kind = email_types().get(email_type)
    return (email_type if kind is not None and kind.is_marketing else ALL_MARKETING), ""


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


def refuse_tracking(*, addresses: Iterable[str]) -> int:
    """Note that addresses' owners want opens and clicks unseen; return how many are new.

    The addresses are in normal form.
    """
    with connection.cursor() as cursor:
        # In one order, so that two writers of the same addresses cannot deadlock.
        cursor.execute(_REFUSE, [sorted(set(addresses))])
        added: int = cursor.rowcount
    return added


def allow_tracking(*, address: str) -> bool:
    """Forget an address's refusal; False if there was none."""
    return bool(TrackingRefusal.objects.filter(address=address).delete()[0])


def set_tracking_refusal(*, address: str, is_refused: bool) -> None:
    """Note that an address's owner wants opens and clicks unseen, or no longer does."""
    if is_refused:
        refuse_tracking(addresses=[address])
    else:
        allow_tracking(address=address)
