"""What other apps tell of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from webhooks.kinds import VERIFIED
from webhooks.models import Endpoint
from webhooks.queue.spread import Happening, write_happenings

if TYPE_CHECKING:
    from verification.models import Verification


def on_verified(*, verification: Verification, **_signal: Any) -> None:
    """Write that an address was confirmed, within the transaction that confirms it."""
    owner_id = verification.owner_id
    wanting = Endpoint.objects.wanting(VERIFIED, owner_id).defer("secret", "previous_secret")
    endpoints = list(wanting)
    if not endpoints:
        return
    at = verification.ended_at or timezone.now()
    data = {
        "verification_id": str(verification.pk),
        "email": verification.email,
        "status": verification.state,
        "metadata": verification.metadata,
        "confirmed_at": at.isoformat(),
        "test": verification.is_test,
    }
    happening = Happening(kind=VERIFIED, owner_id=owner_id, at=at, data=data)
    write_happenings([happening], endpoints)
