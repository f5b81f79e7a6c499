"""Writes to users and API keys."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import string
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import DatabaseError, transaction
from django.utils import timezone

from accounts.models import ApiKey, User
from accounts.scopes import DEFAULT_SCOPES, Scope
from mailservice.core.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger(__name__)

_ALPHABET = string.ascii_letters + string.digits
_PREFIX_LENGTH = 12
#: 43 characters of 62 hold 256 bits.
_SECRET_LENGTH = 43
#: The time of last use is written at most once in so long per key: reading needs no write.
LAST_USE_GRANULARITY = timedelta(minutes=1)
#: A process trusts a key it has checked for so long; a revocation takes effect after that.
KEY_CACHE_SECONDS = 2.0
#: Keys remembered as checked before all are forgotten.
MAX_CHECKED_KEYS = 1000


def create_user(
    *, email: str, password: str | None = None, is_staff: bool = False, is_superuser: bool = False
) -> User:
    """Create a user.

    Raises `InvalidInputError` for the address or password, `ConflictError` if it is taken.
    """
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidInputError.for_field("email", f"“{email}” is not an e-mail address.") from None
    if User.objects.filter(email=email).exists():
        raise ConflictError(f"A user {email} exists already.", code="exists")
    if password is not None:
        try:
            validate_password(password)
        except ValidationError as error:
            raise InvalidInputError.for_field("password", " ".join(error.messages)) from None
    try:
        return User.objects.create_user(
            email, password, is_staff=is_staff or is_superuser, is_superuser=is_superuser
        )
    except ValidationError as error:  # such as an address that is too long
        raise InvalidInputError.for_field("email", " ".join(error.messages)) from None


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key just made; `secret` is the only copy of what its application must send."""

    api_key: ApiKey
    secret: str

    def __repr__(self) -> str:
        return f"NewApiKey({self.api_key.prefix}…)"


def create_api_key(
    *,
    user: User,
    name: str,
    scopes: list[str] | None = None,
    is_test: bool = False,
    expires_at: datetime | None = None,
) -> NewApiKey:
    """Create a key for `user`. Raises `InvalidInputError` for an unknown scope or an empty name."""
    name = name.strip()
    if not name:
        raise InvalidInputError.for_field("name", "Say what will use the key.")
    unknown = sorted(set(scopes or ()) - set(Scope.values))
    if unknown:
        known = ", ".join(Scope.values)
        raise InvalidInputError.for_field(
            "scopes", f"Unknown scope {unknown[0]!r}; known are {known}."
        )
    prefix = ("mst_" if is_test else "msk_") + _random(_PREFIX_LENGTH)
    secret = _random(_SECRET_LENGTH)
    api_key = ApiKey.objects.create(
        user=user,
        name=name[:100],
        prefix=prefix,
        secret_hash=_digest(secret),
        scopes=sorted(set(DEFAULT_SCOPES if scopes is None else scopes)),
        is_test=is_test,
        expires_at=expires_at,
    )
    return NewApiKey(api_key, f"{prefix}_{secret}")


def revoke_api_key(*, key_id: UUID) -> bool:
    """Close the door for a key; False if it was closed already."""
    return (
        ApiKey.objects.filter(pk=key_id, revoked_at__isnull=True).update(revoked_at=timezone.now())
        > 0
    )


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


_checked: dict[bytes, tuple[float, ApiKey]] = {}
_checked_lock = threading.Lock()


def authenticate_key(presented: str) -> ApiKey | None:
    """Return the usable key whose full text is `presented`, with its user, or None.

    Compares in constant time. Remembers a good answer for `KEY_CACHE_SECONDS`, under a hash of the
    key, so that a busy application costs no query per request. Notes the time of use.
    """
    fingerprint = hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()
    held = _checked.get(fingerprint)
    if held is not None and held[0] > time.monotonic():
        return held[1]
    api_key = _look_up(presented)
    with _checked_lock:
        if len(_checked) > MAX_CHECKED_KEYS:
            _checked.clear()
        if api_key is None:
            _checked.pop(fingerprint, None)
        else:
            _checked[fingerprint] = (time.monotonic() + KEY_CACHE_SECONDS, api_key)
    return api_key


def forget_checked_keys() -> None:
    """Make this process look every key up again."""
    with _checked_lock:
        _checked.clear()


def _look_up(presented: str) -> ApiKey | None:
    prefix, _, secret = presented.rpartition("_")
    if not prefix or not secret or not presented.isascii():
        return None
    now = timezone.now()
    api_key = ApiKey.objects.usable(now).select_related("user").filter(prefix=prefix).first()
    if api_key is None or not hmac.compare_digest(bytes(api_key.secret_hash), _digest(secret)):
        return None
    if api_key.last_used_at is None or now - api_key.last_used_at > LAST_USE_GRANULARITY:
        _note_use(api_key, now)
    return api_key


def _note_use(api_key: ApiKey, now: datetime) -> None:
    # A convenience figure: a failure to write it must not refuse a mail.
    try:
        with transaction.atomic():
            ApiKey.objects.filter(pk=api_key.pk).update(last_used_at=now)
    except DatabaseError:
        logger.warning("Could not note the use of API key %s", api_key.prefix, exc_info=True)
