"""Signatures of outgoing webhooks: Standard Webhooks 1.0.0, symmetric.

The library of that name does the same ten lines and would be one dependency more; its published
test vector is among our tests.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64


def parse_secret(secret: str) -> bytes:
    """Return the key that a secret (`whsec_` and base64 of 24 to 64 bytes) names.

    Raises `ValueError` with words for people.
    """
    encoded = secret.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise ValueError(
            f"Use {SECRET_PREFIX} and base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, as "
            "`openssl rand -base64 32` makes them."
        )
    return key


def signed_headers(
    *, secret: str, message_id: str, timestamp_seconds: int, body: bytes
) -> dict[str, str]:
    """Return the three headers that let a receiver check origin, age and repetition."""
    content = f"{message_id}.{timestamp_seconds}.".encode() + body
    digest = hmac.new(parse_secret(secret), content, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
