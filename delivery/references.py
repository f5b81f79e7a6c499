"""What still refers to things of the apps below, for services there that delete them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from delivery.models import Attempt, Message
from providers.models import Provider

if TYPE_CHECKING:
    from datetime import datetime


def first_id_at(moment: datetime) -> UUID:
    """Return an id no message, attempt or event made at or after `moment` lies below.

    UUIDv7 begins with milliseconds since 1970 (RFC 9562 §5.7): the primary key is in time order.
    """
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def use_of_provider(provider_id: UUID) -> str | None:
    """Return a sentence on the mail that refers to an account, or None.

    Nothing refers to an account before it exists, so only what is younger is read.
    """
    created_at = Provider.objects.values_list("created_at", flat=True).get(pk=provider_id)
    since = first_id_at(created_at)
    if Attempt.objects.filter(pk__gte=since, provider_id=provider_id).exists():
        return "it has carried mail, whose history names it. Switch it off instead."
    if Message.objects.filter(pk__gte=since, pinned_provider_id=provider_id).exists():
        return "mail is pinned to it. Switch it off instead."
    return None
