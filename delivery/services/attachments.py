"""Attachments: bytes stored once by their SHA-256, referred to by contents and uploads.

Files are written before the transaction that refers to them; a file nobody came to refer to is
removed by `purge_blobs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from delivery.blobs import store_blob
from delivery.models import Attachment, Blob, Upload
from mailservice.core.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from delivery.intake import AttachmentInput

#: How long an upload can be referred to.
UPLOAD_LIFETIME = timedelta(days=30)
#: An unreferenced blob is kept so long after its last use: a request under way may yet refer to it.
PURGE_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class AttachmentLink:
    """One attachment of a content about to be written."""

    sha256: str
    filename: str
    content_type: str
    disposition: str
    cid: str
    #: Of the file itself.
    size_bytes: int


def upload(*, owner_id: UUID, filename: str, content_type: str, blob: Blob) -> Upload:
    """Keep a file, just stored, for later messages of its owner."""
    now = timezone.now()
    return Upload.objects.create(
        owner_id=owner_id,
        blob=blob,
        filename=filename,
        content_type=content_type,
        created_at=now,
        expires_at=now + UPLOAD_LIFETIME,
    )


def upload_for(*, owner_id: UUID, upload_id: UUID) -> Upload:
    """Return an owner's upload. Raises `NotFoundError`, also for somebody else's."""
    found = (
        Upload.objects.select_related("blob")
        .filter(pk=upload_id, owner_id=owner_id, expires_at__gt=timezone.now())
        .first()
    )
    if found is None:
        raise NotFoundError("There is no such attachment.")
    return found


def delete_upload(*, owner_id: UUID, upload_id: UUID) -> None:
    """Forget an owner's upload; messages that have it keep it. Raises `NotFoundError`."""
    found = upload_for(owner_id=owner_id, upload_id=upload_id)
    Upload.objects.filter(pk=found.pk).delete()


def resolve_attachments(
    inputs: Sequence[AttachmentInput], *, owner_id: UUID, now: datetime
) -> list[AttachmentLink]:
    """Store inline attachments and look uploads up.

    Raises `InvalidInputError` for `attachments[i].id` if an upload is not the owner's or is gone.
    """
    links = []
    for index, item in enumerate(inputs):
        if item.content is not None:
            blob = store_blob(item.content, now=now)
            filename, content_type = item.filename, item.content_type
        else:
            found = _upload_of(item, owner_id, index)
            blob = found.blob
            filename = item.filename or found.filename
            content_type = item.content_type or found.content_type
        links.append(
            AttachmentLink(
                blob.pk, filename, content_type, item.disposition, item.content_id, blob.size_bytes
            )
        )
    return links


def _upload_of(item: AttachmentInput, owner_id: UUID, index: int) -> Upload:
    try:
        if item.upload_id is not None:
            return upload_for(owner_id=owner_id, upload_id=item.upload_id)
    except NotFoundError:
        pass
    raise InvalidInputError.for_field(
        f"attachments[{index}].id", "There is no such attachment.", code="not_found"
    )


def link_attachments(*, content_id: UUID, links: Sequence[AttachmentLink], now: datetime) -> None:
    """Attach stored blobs to a content, within the transaction that writes it."""
    Blob.objects.filter(pk__in=[link.sha256 for link in links]).update(touched_at=now)
    Attachment.objects.bulk_create(
        Attachment(
            content_id=content_id,
            blob_id=link.sha256,
            position=position,
            filename=link.filename,
            content_type=link.content_type,
            disposition=link.disposition,
            cid=link.cid,
        )
        for position, link in enumerate(links)
    )


def purge_blobs(*, now: datetime, limit: int = 500) -> int:
    """Remove expired uploads and bytes nobody refers to; return how many blobs went.

    The row goes first, under a lock that a new reference would have to wait for; its file after the
    commit. A crash in between leaves a file without a row, never a row without a file.
    """
    Upload.objects.filter(expires_at__lte=now).delete()
    with transaction.atomic():
        unused = (
            Blob.objects.select_for_update(skip_locked=True)
            .filter(touched_at__lt=now - PURGE_AFTER)
            .exclude(Exists(Attachment.objects.filter(blob=OuterRef("pk"))))
            .exclude(Exists(Upload.objects.filter(blob=OuterRef("pk"))))[:limit]
        )
        gone = list(unused)
        Blob.objects.filter(pk__in=[blob.pk for blob in gone]).delete()
    for blob in gone:
        default_storage.delete(blob.stored_as)
    return len(gone)
