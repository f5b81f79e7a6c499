"""The bytes of attachments in Django's default storage, kept once by their SHA-256."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from delivery.models import Blob

if TYPE_CHECKING:
    from datetime import datetime


def store_blob(data: bytes, *, now: datetime) -> Blob:
    """Store bytes once; the same bytes give the same blob, with its time of use renewed."""
    digest = hashlib.sha256(data).hexdigest()
    if Blob.objects.filter(pk=digest).update(touched_at=now):
        return Blob.objects.get(pk=digest)
    name = default_storage.save(f"attachments/{digest[:2]}/{digest}", ContentFile(data))
    blob, is_new = Blob.objects.get_or_create(
        pk=digest,
        defaults={
            "size_bytes": len(data),
            "stored_as": name,
            "created_at": now,
            "touched_at": now,
        },
    )
    if not is_new and blob.stored_as != name:
        # Somebody stored the same bytes beside us.
        default_storage.delete(name)
    return blob


def read_blob(stored_as: str) -> bytes:
    """Return the bytes of a blob. Raises `FileNotFoundError` if the storage lost them."""
    with default_storage.open(stored_as) as file:
        return bytes(file.read())
