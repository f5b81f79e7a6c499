"""Mail that comes back: kept as it came, by whatever way, and worked off later."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from inbound.bounces.mime import one_line
from inbound.dispatch import wake_returned
from inbound.models import KEPT_BYTES, ReturnedMail, ReturnedRoute, ReturnedStatus
from inbound.services.batches import RowTable
from mailservice.core.errors import InvalidInputError
from mailservice.core.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

#: Of a mail that is sent to us so much is read; the rest is passed over.
MAX_BYTES = 5 * 1024 * 1024
_CHUNK_BYTES = 65_536
#: What lies beyond `MAX_BYTES` is read up to here and forgotten: an answer in the middle of a post
#: would look to the mail server like a broken line.
PATIENCE_BYTES = 20 * MAX_BYTES
_ADDRESS_CHARS = 320

# Plain SQL for the sake of RETURNING, which tells whether the row is new.
_KEEP = """
INSERT INTO inbound_returnedmail
       (id, received_at, route, envelope_to, body, size_bytes, sha256, source_key, status, kind,
        bounce_class, recipient, error, attempts, due_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'new', '', '', '', '', 0, %s)
ON CONFLICT (source_key) WHERE NOT source_key = '' DO NOTHING
RETURNING id
"""


def read_start(stream: BinaryIO) -> tuple[bytes, int]:
    """Read a stream to its end; return its first `MAX_BYTES` and how long it was."""
    kept = bytearray()
    size = 0
    while size < PATIENCE_BYTES:
        chunk = stream.read(_CHUNK_BYTES)
        if not chunk:
            break
        size += len(chunk)
        kept += chunk[: max(0, MAX_BYTES - len(kept))]
    return bytes(kept), size


def take_returned(
    raw: bytes,
    envelope_to: str,
    route: ReturnedRoute,
    *,
    size_bytes: int | None = None,
    source_key: str = "",
) -> UUID | None:
    """Keep the start of a mail and have it worked off; return its id.

    `envelope_to` is the address that it came to, if the mail server told it; `size_bytes` what it
    had before it was cut. With a `source_key` that was kept before, nothing happens and None is
    returned. Raises `InvalidInputError` for a mail without anything in it.
    """
    if not raw.strip():
        raise InvalidInputError.for_field("mail", "The mail is empty.", code="required")
    kept = raw[:KEPT_BYTES]
    digest = hashlib.sha256(kept).hexdigest()
    # The same place with other content is another mail, whatever the server says.
    key = f"{source_key}:{digest[:16]}" if source_key else ""
    now = timezone.now()
    values: tuple[UUID | datetime | str | bytes | int, ...] = (
        uuid7(),
        now,
        route.value,
        one_line(envelope_to, _ADDRESS_CHARS),
        kept,
        max(len(raw), size_bytes or 0),
        digest,
        key,
        now,
    )
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_KEEP, values)
            row = cursor.fetchone()
        transaction.on_commit(wake_returned)
    return UUID(str(row[0])) if row else None


def try_again(*, ids: Iterable[UUID]) -> int:
    """Have mails worked off once more; return how many."""
    count = (
        ReturnedMail.objects.filter(pk__in=list(ids))
        .exclude(status=ReturnedStatus.NEW)
        .update(status=ReturnedStatus.NEW, attempts=0, due_at=timezone.now())
    )
    wake_returned()
    return int(count)


def delete_old(*, now: datetime) -> int:
    """Forget mails older than `RAW_EVENT_DAYS`, in short statements; return how many."""
    before = now - timedelta(days=settings.RAW_EVENT_DAYS)
    return RowTable("inbound_returnedmail").delete_before(before)
