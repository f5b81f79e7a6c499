"""Encryption of credentials at rest, with rotatable keys.

The key list comes from `settings.ENCRYPTION_KEYS`: the first key encrypts, every key decrypts, so a
new key is put in front, `rotate_encryption_keys` re-encrypts, and the old one is dropped.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import models


class DecryptionError(Exception):
    """A stored secret cannot be read with any configured key; fails closed."""


@lru_cache(maxsize=4)
def _ring(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ImproperlyConfigured("ENCRYPTION_KEYS is empty: set at least one Fernet key.")
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(value: Any) -> str:
    """Return `value` (anything JSON can hold) as a Fernet token under the first key."""
    ring = _ring(tuple(settings.ENCRYPTION_KEYS))
    return ring.encrypt(json.dumps(value, separators=(",", ":")).encode()).decode()


def decrypt(token: str) -> Any:
    """Return what `encrypt` was given. Raises `DecryptionError` if no key fits."""
    try:
        return json.loads(_ring(tuple(settings.ENCRYPTION_KEYS)).decrypt(token.encode()))
    except InvalidToken:
        raise DecryptionError("No configured encryption key can read this secret.") from None


def is_newest(token: str) -> bool:
    """Tell whether a token is under the key that encrypts."""
    try:
        _ring(tuple(settings.ENCRYPTION_KEYS[:1])).decrypt(token.encode())
    except InvalidToken:
        return False
    return True


#: Begins what a dump of the data holds in place of a value.
_SEALED = "sealed:"


class EncryptedJSONField(models.TextField[Any, Any]):
    """A JSON value kept encrypted, in dumps too; queries can only ask whether it is null."""

    # What django-stubs takes a text field to hold.
    _pyi_private_set_type: Any
    _pyi_private_get_type: Any

    def from_db_value(self, value: str | None, _expression: object, _connection: object) -> Any:
        """Decrypt what the database holds."""
        return None if value is None else decrypt(value)

    def to_python(self, value: Any) -> Any:
        """Leave Python values as they are; only the database and dumps hold tokens.

        Raises `ValidationError` if no configured key can read a dump's.
        """
        if not isinstance(value, str) or not value.startswith(_SEALED):
            return value
        try:
            return decrypt(value.removeprefix(_SEALED))
        except DecryptionError as error:
            raise ValidationError(str(error)) from None

    def value_to_string(self, obj: models.Model) -> str:
        """Return what `dumpdata` writes: a token, which `loaddata` can read with the same key."""
        return _SEALED + encrypt(self.value_from_object(obj))

    def get_prep_value(self, value: Any) -> str | None:
        """Encrypt on the way to the database."""
        return None if value is None else encrypt(value)

    def get_lookup(self, lookup_name: str) -> Any:
        """Allow `isnull` only: two encryptions of one value differ."""
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None
