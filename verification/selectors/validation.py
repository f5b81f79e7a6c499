"""The operators' lists of domains, and what jobs have found."""

from __future__ import annotations

import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from mailservice.core.errors import InvalidInputError, NotFoundError
from verification.models import DomainEntry, ValidationJob
from verification.validation import DomainLists, ListName, Result
from verification.validation.packed import unpack
from verification.validation.tables import csv_header, csv_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

#: A change by an operator is seen by every process after so long.
LISTS_SECONDS = 5.0
#: A page looks through no more of them.
MAX_CHUNKS = 50
_MAX_PLACE = 2**31 - 1

_lock = threading.Lock()
_held: tuple[float, tuple[Any, ...], DomainLists] | None = None


def domain_lists() -> DomainLists:
    """Return the packages' lists with the operators' entries over them.

    The entries are read again only if they have changed: there may be many.
    """
    global _held  # noqa: PLW0603 - a cache of the whole process
    held = _held
    if held is not None and held[0] > time.monotonic():
        return held[2]
    with _lock:
        stamp = _entries_stamp()
        if _held is not None and _held[1] == stamp:
            lists = _held[2]
        else:
            entries = DomainEntry.objects.values_list("domain", "list").order_by()
            lists = DomainLists({domain: ListName(said) for domain, said in entries.iterator()})
        _held = (time.monotonic() + LISTS_SECONDS, stamp, lists)
    return lists


def forget_domain_lists() -> None:
    """Make the next look go to the database."""
    global _held  # noqa: PLW0603 - a cache of the whole process
    with _lock:
        _held = None


def _entries_stamp() -> tuple[Any, ...]:
    """Return what changes with any entry: a sum over them does not care who wrote when."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), sum(hashtext(domain || ':' || list)::bigint)"
            " FROM verification_domainentry"
        )
        return tuple(cursor.fetchone() or ())


def visible_job(job_id: UUID, *, owner_id: UUID) -> ValidationJob:
    """Return an owner's job. Raises `NotFoundError`, also for somebody else's and expired ones."""
    job = (
        ValidationJob.objects.owned_by(owner_id)
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()), pk=job_id)
        .first()
    )
    if job is None:
        raise NotFoundError("There is no such validation job.")
    return job


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a job's results: chunk, and how many of its results are before it."""

    chunk: int = 0
    offset: int = 0

    @property
    def text(self) -> str:
        """Return the cursor that stands for the place."""
        return urlsafe_b64encode(f"{self.chunk}:{self.offset}".encode()).rstrip(b"=").decode()

    @classmethod
    def from_text(cls, cursor: str | None) -> Place:
        """Return the place of a cursor, the first one without. Raises `InvalidInputError`."""
        if not cursor:
            return cls()
        try:
            chunk, _, offset = urlsafe_b64decode(cursor + "==").decode("ascii").partition(":")
            place = cls(int(chunk), int(offset))
        except ValueError:  # not base64, not ASCII, no numbers
            place = None
        if place is None or place.text != cursor or not place.is_possible:
            raise InvalidInputError.for_field(
                "cursor", 'Use the value of "next" from the page before, unchanged.'
            )
        return place

    @property
    def is_possible(self) -> bool:
        """Tell whether the database could hold such a place."""
        return 0 <= self.chunk <= _MAX_PLACE and 0 <= self.offset <= _MAX_PLACE


@dataclass(frozen=True, slots=True)
class ResultPage:
    """Some results in the order of the list; `after` is None once the last one was among them."""

    results: list[Result]
    after: Place | None


def result_page(job: ValidationJob, *, place: Place, limit: int, verdict: str = "") -> ResultPage:
    """Return results from a place on.

    While the job runs, a page ends where nothing is known yet, and goes on from there later. One
    that looks for a rare verdict may end early, and even be empty, and go on all the same.
    """
    results: list[Result] = []
    for number, addresses, packed in _chunks(job, place.chunk):
        if number >= place.chunk + MAX_CHUNKS:
            return ResultPage(results, Place(number))
        if packed is None:
            return ResultPage(results, Place(number, 0 if number > place.chunk else place.offset))
        start = place.offset if number == place.chunk else 0
        for offset in range(start, len(packed)):
            if verdict and packed[offset][0] != verdict:
                continue
            if len(results) == limit:
                return ResultPage(results, Place(number, offset))
            results.append(unpack(addresses[offset], packed[offset]))
    return ResultPage(results, None)


def all_results(job: ValidationJob) -> Iterator[Result]:
    """Yield what has been found, in the order of the list, a chunk in memory at a time."""
    for _, addresses, packed in _chunks(job, 0):
        for address, each in zip(addresses, packed or (), strict=packed is not None):
            yield unpack(address, each)


def csv_lines(job: ValidationJob) -> Iterator[bytes]:
    """Yield a job's results as the lines of a CSV file, safe to open in a spreadsheet."""
    yield csv_header().encode()
    for result in all_results(job):
        yield csv_row(result).encode()


def _chunks(job: ValidationJob, first: int) -> Iterator[tuple[int, list[str], list[Any] | None]]:
    """Yield a job's chunks one by one; each is a query of its own, so nothing stays open."""
    number = first
    while True:
        found = (
            job.chunks.filter(number__gte=number)
            .order_by("number")
            .values_list("number", "addresses", "results")
            .first()
        )
        if found is None:
            return
        yield found
        number = found[0] + 1
