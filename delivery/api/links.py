"""Download links that need no key: signed, and good for an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner

if TYPE_CHECKING:
    from uuid import UUID

LIFETIME_SECONDS = 3600


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="delivery.download")


def download_url(file_id: UUID) -> str:
    """Return the address at which anybody who knows it can fetch a file for an hour."""
    token = _signer().sign(str(file_id)).partition(":")[2]
    return f"{settings.PUBLIC_URL}/api/v1/attachments/{file_id}/download?token={token}"


def is_valid(file_id: UUID, token: str) -> bool:
    """Tell whether the token was made for this file less than an hour ago."""
    try:
        _signer().unsign(f"{file_id}:{token}", max_age=LIFETIME_SECONDS)
    except BadSignature:
        return False
    return True
