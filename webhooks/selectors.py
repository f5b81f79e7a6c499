"""Questions about deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhooks.models import Attempt

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

#: Tries shown of one delivery: those of the last replay, or of a few.
MAX_LOG = 20


def logs_of(delivery_ids: Collection[UUID]) -> dict[UUID, list[Attempt]]:
    """Return the last tries of deliveries, each in time order."""
    found: dict[UUID, list[Attempt]] = {each: [] for each in delivery_ids}
    for attempt in Attempt.objects.filter(delivery_id__in=list(delivery_ids)).order_by("id"):
        found[attempt.delivery_id].append(attempt)
    return {each: log[-MAX_LOG:] for each, log in found.items()}
