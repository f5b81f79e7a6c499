"""The address where mail servers post what comes back: made, renewed, checked."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from urllib.parse import quote

from django.conf import settings

from inbound.models import ReturnHook

_TOKEN_BYTES = 32


def return_hook() -> ReturnHook | None:
    """Return the address; None if nobody has made it yet."""
    return ReturnHook.objects.filter(pk=1).first()


def returned_url(hook: ReturnHook) -> str:
    """Return the address for a mail server; it holds the secret."""
    return f"{settings.PUBLIC_URL}/hooks/returned/{quote(str(hook.token))}"


def renew_returned_token() -> ReturnHook:
    """Make the address, or give it a new secret; the old one is refused at once."""
    token = _new_token()
    hook, _ = ReturnHook.objects.update_or_create(
        pk=1, defaults={"token": token, "token_hash": _hash(token)}
    )
    return hook


def is_returned_token(token: str) -> bool:
    """Tell whether a token is the address's, in the same time whatever is wrong with it."""
    kept = ReturnHook.objects.filter(pk=1).values_list("token_hash", flat=True).first()
    return hmac.compare_digest(_hash(token), kept or "0" * 64) and kept is not None


def _new_token() -> str:
    return base64.urlsafe_b64encode(os.urandom(_TOKEN_BYTES)).rstrip(b"=").decode()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
