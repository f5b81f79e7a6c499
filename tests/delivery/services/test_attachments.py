from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.utils import timezone

from accounts.models import User
from delivery.blobs import blob_chunks, read_blob, store_blob
from delivery.intake import AttachmentInput, Disposition
from delivery.models import Attachment, Blob, Content, Upload
from delivery.services.attachments import (
    PURGE_AFTER,
    UPLOAD_LIFETIME,
    link_attachments,
    purge_blobs,
    resolve_attachments,
    upload,
    upload_for,
)
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.ids import uuid7

pytestmark = pytest.mark.django_db

DATA = b"%PDF-1.7"
DIGEST = hashlib.sha256(DATA).hexdigest()
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def uploaded(user: User, data: bytes = DATA) -> Upload:
    blob = store_blob(data, now=timezone.now())
    return upload(owner_id=user.pk, filename="a.pdf", content_type="application/pdf", blob=blob)


def attached(data: bytes, now: datetime) -> Attachment:
    """Return an attachment of a content, stored as acceptance stores it."""
    content = Content.objects.create(from_email="a@b.example", subject="s", created_at=now)
    links = resolve_attachments([inline(data)], owner_id=uuid7(), now=now)
    link_attachments(content_id=content.pk, links=links, now=now)
    return Attachment.objects.get(content=content)


def inline(data: bytes | None, **fields: Any) -> AttachmentInput:
    defaults: dict[str, Any] = {
        "filename": "b.pdf",
        "content_type": "application/pdf",
        "content": data,
        "upload_id": None,
        "disposition": Disposition.ATTACHMENT,
        "content_id": "",
    }
    return AttachmentInput(**defaults | fields)


def by_id(upload_id: Any, **fields: Any) -> AttachmentInput:
    return inline(None, **{"upload_id": upload_id, "filename": "", "content_type": ""} | fields)


def test_the_same_bytes_are_stored_once(folder: Path, now: datetime) -> None:
    first = store_blob(DATA, now=now)
    second = store_blob(DATA, now=now + SECOND)
    assert (first.pk, second.pk, Blob.objects.count()) == (DIGEST, DIGEST, 1)
    assert files(folder) == [f"attachments/{DIGEST[:2]}/{DIGEST}"]
    assert (second.size_bytes, second.created_at, second.touched_at) == (8, now, now + SECOND)
    assert read_blob(second.stored_as) == DATA


def test_a_file_is_stored_in_chunks_and_read_in_chunks(folder: Path, now: datetime) -> None:
    data = bytes(range(256)) * 1000
    file = SimpleUploadedFile("x.bin", data)
    file.read(10)
    blob = store_blob(file, now=now)
    assert (blob.pk, blob.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    chunks = list(blob_chunks(blob.stored_as))
    assert b"".join(chunks) == data
    assert max(map(len, chunks)) == 65_536
    assert store_blob(data, now=now) == store_blob(file, now=now) == blob


def test_an_uploaded_file_on_disk_is_moved_and_can_be_read_on(folder: Path, now: datetime) -> None:
    with TemporaryUploadedFile("x.bin", "a/b", 4, None) as file:
        file.write(b"data")
        blob = store_blob(file, now=now)
        assert not Path(file.temporary_file_path()).exists()
        assert b"".join(file.chunks()) == b"data"
        assert store_blob(file, now=now + SECOND) == blob
    assert read_blob(blob.stored_as) == b"data"


def test_the_first_chunk_of_lost_bytes_says_so(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(blob_chunks("attachments/no/such"))


def test_other_bytes_are_another_blob(folder: Path, now: datetime) -> None:
    store_blob(DATA, now=now)
    store_blob(b"", now=now)
    assert len(files(folder)) == 2


def test_a_file_without_a_row_does_not_stop_the_next(folder: Path, now: datetime) -> None:
    store_blob(DATA, now=now)
    Blob.objects.all().delete()
    blob = store_blob(DATA, now=now)
    assert read_blob(blob.stored_as) == DATA


def test_an_upload_can_be_used_by_its_owner_until_it_expires(user: User, now: datetime) -> None:
    made = uploaded(user)
    assert made.expires_at - made.created_at == UPLOAD_LIFETIME
    assert upload_for(owner_id=user.pk, upload_id=made.pk) == made
    with pytest.raises(NotFoundError):
        upload_for(owner_id=uuid7(), upload_id=made.pk)
    Upload.objects.update(expires_at=now - SECOND)
    with pytest.raises(NotFoundError):
        upload_for(owner_id=user.pk, upload_id=made.pk)


def test_an_upload_brings_its_name_and_type_unless_others_are_given(
    user: User, now: datetime
) -> None:
    made = uploaded(user)
    inputs = [by_id(made.pk), by_id(made.pk, filename="bill.pdf", content_type="text/plain")]
    links = resolve_attachments(inputs, owner_id=user.pk, now=now)
    assert [(link.sha256, link.filename, link.content_type) for link in links] == [
        (DIGEST, "a.pdf", "application/pdf"),
        (DIGEST, "bill.pdf", "text/plain"),
    ]


@pytest.mark.parametrize("is_somebody_elses", [True, False])
def test_an_upload_that_cannot_be_used_is_named_by_its_place(
    user: User,
    now: datetime,
    is_somebody_elses: bool,  # noqa: FBT001 - a table
) -> None:
    made = uploaded(User.objects.create_user("other@example.com"))
    wanted = made.pk if is_somebody_elses else uuid7()
    with pytest.raises(InvalidInputError) as caught:
        resolve_attachments([inline(DATA), by_id(wanted)], owner_id=user.pk, now=now)
    faults = caught.value.details
    assert [fault["code"] for fault in faults["attachments[1].id"]] == ["not_found"]
    assert len(faults) == 1


def test_linking_keeps_the_order_and_renews_the_use(now: datetime) -> None:
    content = Content.objects.create(from_email="a@b.example", subject="s", created_at=now)
    inputs = [inline(b"2", filename="z.txt"), inline(b"1", filename="a.txt", content_id="logo")]
    links = resolve_attachments(inputs, owner_id=uuid7(), now=now - PURGE_AFTER)
    link_attachments(content_id=content.pk, links=links, now=now)
    assert list(
        Attachment.objects.order_by("position").values_list("position", "filename", "cid")
    ) == [(0, "z.txt", ""), (1, "a.txt", "logo")]
    assert set(Blob.objects.values_list("touched_at", flat=True)) == {now}


def test_bytes_nobody_refers_to_go_after_a_day(folder: Path, now: datetime) -> None:
    store_blob(DATA, now=now - PURGE_AFTER - SECOND)
    assert purge_blobs(now=now) == 1
    assert not Blob.objects.exists()
    assert files(folder) == []
    assert purge_blobs(now=now) == 0


def test_fresh_bytes_stay_for_a_request_under_way(folder: Path, now: datetime) -> None:
    store_blob(DATA, now=now - PURGE_AFTER)
    assert purge_blobs(now=now) == 0
    assert len(files(folder)) == 1


def test_what_a_message_refers_to_stays_however_old(folder: Path, now: datetime) -> None:
    attachment = attached(DATA, now - timedelta(days=400))
    assert purge_blobs(now=now) == 0
    assert read_blob(attachment.blob.stored_as) == DATA


def test_an_upload_keeps_its_bytes_until_it_expires(
    user: User, folder: Path, now: datetime
) -> None:
    uploaded(user)
    Blob.objects.update(touched_at=now - timedelta(days=29))
    assert purge_blobs(now=now) == 0
    assert (Upload.objects.count(), len(files(folder))) == (1, 1)
    after = now + UPLOAD_LIFETIME + SECOND
    assert purge_blobs(now=after) == 1
    assert (Upload.objects.count(), files(folder)) == (0, [])


def test_an_expired_upload_leaves_the_bytes_a_message_refers_to(
    user: User, folder: Path, now: datetime
) -> None:
    uploaded(user)
    attached(DATA, now)
    assert purge_blobs(now=now + UPLOAD_LIFETIME + SECOND) == 0
    assert (Upload.objects.count(), len(files(folder))) == (0, 1)


def test_a_purge_takes_no_more_than_it_is_told(folder: Path, now: datetime) -> None:
    for number in range(3):
        store_blob(bytes([number]), now=now - 2 * PURGE_AFTER)
    assert [purge_blobs(now=now, limit=2) for _ in range(3)] == [2, 1, 0]
    assert files(folder) == []
