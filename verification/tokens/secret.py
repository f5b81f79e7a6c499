"""The secret in a verification's link: known to the mail only, here there is just its hash."""

from __future__ import annotations

import hashlib
import re
import secrets

_TOKEN_BYTES = 32
#: 256 bits in base64url without padding.
TOKEN_CHARS = 43
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{TOKEN_CHARS}}}\Z")


def new_token() -> str:
    """Return 256 random bits, fit for a path."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def digest_of(token: str) -> bytes | None:
    """Return the SHA-256 that stands for a token in the database; None for what is no token.

    A plain hash does: nobody can try out 256 random bits.
    """
    if not _TOKEN.match(token):
        return None
    return hashlib.sha256(token.encode()).digest()
