"""Validation jobs: made, worked off in chunks by any number of workers, cancelled, purged.

Lock order: the job's row before those of its chunks.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from mailservice.core.errors import ConflictError, InvalidInputError
from mailservice.core.ids import uuid7
from verification.dispatch import wake_validation
from verification.models import JobStatus, ValidationChunk, ValidationJob
from verification.services.validation import validate_many
from verification.validation.examine import showable
from verification.validation.packed import pack
from verification.validation.tables import TableError, read_addresses
from verification.validation.verdict import unchecked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from django.core.files.base import File

    from verification.validation import Result

#: Addresses that are claimed, checked and recorded together.
CHUNK_SIZE = 500
#: What a chunk may wait for DNS and mail servers.
CHUNK_SECONDS = 30.0
#: A claim whose worker has not come back by then is free again.
LEASE_SECONDS = 120
#: A chunk that brought so many workers down is given up.
MAX_ATTEMPTS = 3
#: Look-ups of one chunk at the same time.
CONCURRENCY = 64
_CHUNKS_PER_INSERT = 20
_PURGE_BATCH = 100


# --- making ---------------------------------------------------------------------------------------


def create_job(
    *,
    owner_id: UUID,
    addresses: Iterable[str],
    api_key_id: UUID | None = None,
    name: str = "",
    does_probe: bool = False,
    source: str = "emails",
) -> ValidationJob:
    """Make a job of the addresses, which are read once and never held together.

    Raises `InvalidInputError` if there are none or too many; then nothing is written. `source` is
    the field that they come from.
    """
    now = timezone.now()
    with transaction.atomic():
        job = ValidationJob.objects.create(
            owner_id=owner_id,
            api_key_id=api_key_id,
            name=showable(name)[:255],
            does_probe=does_probe,
            created_at=now,
        )
        job.total_count = _write_chunks(job, addresses, source)
        if not job.total_count:
            raise InvalidInputError.for_field(source, "There is no address.", code="required")
        job.save(update_fields=["total_count"])
        transaction.on_commit(lambda: wake_validation(-(-job.total_count // CHUNK_SIZE)))
    return job


def table_addresses(file: File[bytes], *, column: str = "") -> Iterator[str]:
    """Yield the addresses of an uploaded table, for `create_job`.

    Raises `InvalidInputError` for `file` or `column`, possibly after some addresses.
    """
    file.seek(0)
    try:
        yield from read_addresses(file, column=column)
    except TableError as error:
        raise InvalidInputError.for_field(error.field, error.message) from None


def _write_chunks(job: ValidationJob, addresses: Iterable[str], source: str) -> int:
    limit = settings.VALIDATION_MAX_ADDRESSES
    given = (showable(address) for address in addresses)
    total = number = 0
    while rows := list(islice(given, CHUNK_SIZE * _CHUNKS_PER_INSERT)):
        total += len(rows)
        if total > limit:
            raise InvalidInputError.for_field(
                source, f"A job has at most {limit} addresses.", code="too_many"
            )
        chunks = [
            ValidationChunk(
                job=job, number=number + index, addresses=rows[start : start + CHUNK_SIZE]
            )
            for index, start in enumerate(range(0, len(rows), CHUNK_SIZE))
        ]
        ValidationChunk.objects.bulk_create(chunks)
        number += len(chunks)
    return total


# --- working off ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Claim:
    """A chunk that is ours for a while."""

    chunk_id: int
    job_id: UUID
    lease_id: UUID
    addresses: Sequence[str]
    attempt_count: int


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker has done."""

    chunks: int = 0
    addresses: int = 0


# Every job's next chunk in turn. The count bounds how many workers' slots validation takes; two
# claims at the same moment may exceed it by one.
_CLAIM = """
UPDATE verification_validationchunk c
   SET lease_id = %s, lease_until = clock_timestamp() + make_interval(secs => %s),
       attempt_count = c.attempt_count + 1
 WHERE c.id = (
        SELECT k.id FROM verification_validationchunk k
         WHERE NOT k.is_done AND (k.lease_until IS NULL OR k.lease_until < clock_timestamp())
         ORDER BY k.number, k.job_id LIMIT 1 FOR UPDATE SKIP LOCKED)
   AND %s > (SELECT count(*) FROM verification_validationchunk b
              WHERE b.lease_until >= clock_timestamp())
RETURNING c.id, c.job_id, c.addresses, c.attempt_count
"""


def work_off(*, seconds: float, is_stopping: Callable[[], bool] = lambda: False) -> Work:
    """Check chunks for a bounded time; the last one may take `CHUNK_SECONDS` longer."""
    ends_at = time.monotonic() + seconds
    chunks = addresses = 0
    while time.monotonic() < ends_at and not is_stopping():
        claim = _claim()
        if claim is None:
            break
        _check(claim)
        chunks += 1
        addresses += len(claim.addresses)
    return Work(chunks, addresses)


def waiting_workers() -> int:
    """Return how many workers could be at work and are not."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE lease_until >= clock_timestamp()),"
            " count(*) FILTER (WHERE lease_until IS NULL OR lease_until < clock_timestamp())"
            " FROM (SELECT lease_until FROM verification_validationchunk"
            " WHERE NOT is_done ORDER BY number, job_id LIMIT 1000) AS first"
        )
        busy, free = cursor.fetchone() or (0, 0)
    return max(0, min(settings.VALIDATION_CONCURRENCY - busy, free))


def _claim() -> _Claim | None:
    lease_id = uuid7()
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [lease_id, LEASE_SECONDS, settings.VALIDATION_CONCURRENCY])
        row = cursor.fetchone()
    if row is None:
        return None
    chunk_id, job_id, addresses, attempt_count = row
    ValidationJob.objects.filter(pk=job_id, status=JobStatus.QUEUED).update(
        status=JobStatus.RUNNING, started_at=timezone.now()
    )
    return _Claim(chunk_id, job_id, lease_id, orjson.loads(addresses), attempt_count)


def _check(claim: _Claim) -> None:
    job = ValidationJob.objects.filter(pk=claim.job_id).first()
    if job is None:
        return
    started = time.monotonic()
    if claim.attempt_count > MAX_ATTEMPTS:
        results = [unchecked(address) for address in claim.addresses]
    else:
        left = settings.VALIDATION_JOB_DNS_SECONDS - job.dns_seconds
        results = validate_many(
            claim.addresses,
            budget_seconds=max(0.0, min(CHUNK_SECONDS, left)),
            concurrency=CONCURRENCY,
            does_probe=job.does_probe and settings.VALIDATION_PROBE,
        )
    _record(claim, results, time.monotonic() - started)


def _record(claim: _Claim, results: Sequence[Result], seconds: float) -> bool:
    """Write what was found if the chunk is still ours, and count it in the same transaction."""
    verdicts = Counter(result.verdict.value for result in results)
    now = timezone.now()
    with transaction.atomic():
        # Cancelling locks the job first as well.
        job = ValidationJob.objects.select_for_update().open().filter(pk=claim.job_id).first()
        if job is None:
            return False
        is_ours = ValidationChunk.objects.filter(
            pk=claim.chunk_id, lease_id=claim.lease_id, is_done=False
        ).update(
            is_done=True, results=[pack(each) for each in results], lease_id=None, lease_until=None
        )
        if not is_ours:
            return False
        changes: dict[str, Any] = {
            f"{verdict}_count": F(f"{verdict}_count") + count for verdict, count in verdicts.items()
        }
        if job.done_count + len(results) >= job.total_count:
            changes |= {"status": JobStatus.FINISHED, **_ended(now)}
        ValidationJob.objects.filter(pk=job.pk).update(
            done_count=F("done_count") + len(results),
            dns_seconds=F("dns_seconds") + seconds,
            **changes,
        )
    return True


# --- ending ---------------------------------------------------------------------------------------


def cancel_job(job: ValidationJob) -> ValidationJob:
    """Stop a job; what was found stays. Raises `ConflictError` if it is over."""
    with transaction.atomic():
        is_ours = (
            ValidationJob.objects.open()
            .filter(pk=job.pk)
            .update(status=JobStatus.CANCELLED, **_ended(timezone.now()))
        )
        if not is_ours:
            raise ConflictError("The job is over already.", code="wrong_state")
        ValidationChunk.objects.filter(job=job, is_done=False).delete()
    job.refresh_from_db()
    return job


def delete_job(job: ValidationJob) -> None:
    """Remove a job and all it has found; a running one stops."""
    _delete([job.pk])


def purge_jobs(*, now: datetime) -> int:
    """Remove jobs whose time is over; return how many went."""
    count = 0
    while ids := list(
        ValidationJob.objects.expired(now).order_by().values_list("pk", flat=True)[:_PURGE_BATCH]
    ):
        _delete(ids)
        count += len(ids)
    return count


def _delete(ids: Sequence[UUID]) -> None:
    with transaction.atomic():
        locked = ValidationJob.objects.select_for_update().filter(pk__in=ids).order_by("pk")
        ValidationJob.objects.filter(pk__in=list(locked.values_list("pk", flat=True))).delete()


def _ended(now: datetime) -> dict[str, datetime]:
    return {
        "finished_at": now,
        "expires_at": now + timedelta(days=settings.VALIDATION_RESULT_DAYS),
    }
