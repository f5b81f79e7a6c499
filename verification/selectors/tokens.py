"""Questions about verifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailservice.core.addresses import normalized
from verification.models import Verification, VerificationProfile
from verification.tokens.secret import digest_of

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from verification.models.tokens import VerificationQuerySet


def find_live(token: str, *, now: datetime) -> Verification | None:
    """Return the verification whose link works at `now`; reading changes nothing."""
    digest = digest_of(token)
    if digest is None:
        return None
    return Verification.objects.select_related("owner").live(now).filter(token_hash=digest).first()


def find_confirmed(token: str, *, since: datetime) -> Verification | None:
    """Return the verification that this link has confirmed since then."""
    digest = digest_of(token)
    if digest is None:
        return None
    rows = Verification.objects.select_related("owner").confirmed_since(since)
    return rows.filter(token_hash=digest).first()


def verifications_of(
    user_id: UUID, *, email: str = "", state: str = "", now: datetime
) -> VerificationQuerySet:
    """Return an owner's verifications, of one address or in one state if named."""
    rows = Verification.objects.filter(owner_id=user_id)
    if email:
        rows = rows.filter(address=normalized(email))
    return rows.in_state(state, now) if state else rows


def profile_of(user_id: UUID) -> VerificationProfile:
    """Return how an owner's verifications look; one with nothing set if nobody has."""
    found = VerificationProfile.objects.filter(owner_id=user_id).first()
    return found or VerificationProfile(owner_id=user_id)
