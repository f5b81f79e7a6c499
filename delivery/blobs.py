"""The bytes of attachments in Django's default storage, kept once by their SHA-256."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage

from delivery.models import Blob

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

#: The most of a file that is held at once.
CHUNK_BYTES = 65_536


def store_blob(data: bytes | File[bytes], *, now: datetime) -> Blob:
    """Store bytes once; the same bytes give the same blob, with its time of use renewed.

    A file is read in chunks, from its start. An uploaded one on disk may be moved into the storage;
    it can be read on until it is closed.
    """
    file = ContentFile(data) if isinstance(data, bytes) else data
    digest = _digest(file)
    if Blob.objects.filter(pk=digest).update(touched_at=now):
        return Blob.objects.get(pk=digest)
    name = default_storage.save(f"attachments/{digest[:2]}/{digest}", file)
    blob, is_new = Blob.objects.get_or_create(
        pk=digest,
        defaults={
            "size_bytes": file.size,
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


def blob_chunks(stored_as: str) -> Iterator[bytes]:
    """Yield the bytes of a blob in order. Raises `FileNotFoundError` if the storage lost them."""
    with default_storage.open(stored_as) as file:
        yield from file.chunks(CHUNK_BYTES)


def _digest(file: File[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in file.chunks(CHUNK_BYTES):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
