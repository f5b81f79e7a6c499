"""Lists validated as jobs: resumable, exact, cancellable, and gone in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import User
from mailservice.core.broker import redis_client
from mailservice.core.errors import ConflictError, InvalidInputError, NotFoundError
from tests.support.dns import NameServer
from tests.support.validation import local_dns
from tests.support.workers import ROOT
from verification.models import JobStatus, ValidationChunk, ValidationJob
from verification.selectors.validation import (
    Place,
    ResultPage,
    all_results,
    result_page,
    visible_job,
)
from verification.services import validation_jobs
from verification.services.validation_jobs import (
    cancel_job,
    create_job,
    delete_job,
    purge_jobs,
    waiting_workers,
    work_off,
)


@pytest.fixture
def dns(settings: Any) -> Iterator[NameServer]:
    with local_dns(settings) as server:
        yield server


ADDRESSES = ["ann@acme.io", "info@acme.io", "ann@nowhere.io", "x", "ann@broken.io"]
MANY = ADDRESSES * 240  # 1,200: three chunks


def job_of(user: User, addresses: list[str], **fields: Any) -> ValidationJob:
    return create_job(owner_id=user.pk, addresses=iter(addresses), **fields)


def counts(job: ValidationJob) -> tuple[str, int, int, int, int, int]:
    job.refresh_from_db()
    return (
        job.status,
        job.done_count,
        job.valid_count,
        job.risky_count,
        job.invalid_count,
        job.unknown_count,
    )


def expire_leases() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE verification_validationchunk SET lease_until = now() - interval '1s'"
            " WHERE lease_id IS NOT NULL"
        )


def test_a_job_is_worked_off_in_chunks_with_a_result_for_each_address(
    dns: NameServer, user: User
) -> None:
    job = job_of(user, MANY, name="spring")
    assert (job.status, job.total_count, job.chunks.count()) == ("queued", 1200, 3)
    done = work_off(seconds=30)
    assert (done.chunks, done.addresses) == (3, 1200)
    assert counts(job) == ("finished", 1200, 240, 240, 480, 240)
    assert job.percent == 100
    assert job.expires_at
    assert job.finished_at
    assert job.expires_at - job.finished_at == timedelta(days=7)
    assert [each.email for each in all_results(job)] == MANY
    assert len([name for name, _ in dns.asked if name == "acme.io"]) == 1


def test_pages_go_on_where_they_ended_and_keep_a_verdict(dns: NameServer, user: User) -> None:
    job = job_of(user, MANY)
    assert result_page(job, place=Place(), limit=200) == validation_page([], Place(0, 0))
    work_off(seconds=0.0001)
    assert job.chunks.filter(is_done=True).count() == 1
    place, seen = Place(), []
    for _ in range(4):
        page = result_page(job, place=place, limit=200)
        seen += page.results
        assert page.after is not None  # the job is not over
        place = page.after
    assert len(seen) == 500
    assert place == Place(1, 0)
    work_off(seconds=30)
    after: Place | None = place
    while after is not None:
        page = result_page(job, place=after, limit=190)
        seen += page.results
        after = page.after
    assert [each.email for each in seen] == MANY
    found = result_page(job, place=Place(), limit=200, verdict="risky")
    assert {each.email for each in found.results} == {"info@acme.io"}
    rest = result_page(job, place=found.after or Place(), limit=200, verdict="risky")
    assert (len(found.results), len(rest.results), rest.after) == (200, 40, None)


def validation_page(results: list[Any], after: Place | None) -> Any:
    return ResultPage(results, after)


@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_do_each_chunk_once(
    dns: NameServer, transactional_db: None, settings: Any
) -> None:
    settings.VALIDATION_CONCURRENCY = 8
    user = User.objects.create_user("many@example.com")
    job = job_of(user, ADDRESSES * 600)  # six chunks
    done: list[int] = []

    def work() -> None:
        try:
            while (found := work_off(seconds=5)).chunks:
                done.append(found.chunks)
        finally:
            connection.close()

    crowd = [threading.Thread(target=work) for _ in range(4)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert sum(done) == 6
    assert counts(job) == ("finished", 3000, 600, 600, 1200, 600)


KILLED = """
import django; django.setup()
from verification.services.validation_jobs import work_off
work_off(seconds=60)
"""


@pytest.mark.django_db(transaction=True)
def test_a_killed_worker_costs_its_chunk_only_time(
    dns: NameServer, transactional_db: None, settings: Any
) -> None:
    dns.zone["silent.io", "MX"] = "SILENCE"
    user = User.objects.create_user("killed@example.com")
    job = job_of(user, [*MANY, "ann@silent.io"])
    environment = os.environ | {
        "DATABASE_URL": database_url(),
        "DNS_RESOLVERS": dns.address,
        "DNS_TIMEOUT_SECONDS": "20",
    }
    process = subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT, env=environment)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        job.chunks.filter(is_done=True).count() == 2
        and job.chunks.filter(number=2, lease_id__isnull=False).exists()
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert counts(job)[:2] == ("running", 1000)
    assert work_off(seconds=5).chunks == 0  # its lease still runs
    assert waiting_workers() == 0
    expire_leases()
    redis_client().delete("mailroute-mark:silent.io")  # would run out by itself, in ten seconds
    assert waiting_workers() == 1
    assert work_off(seconds=30).chunks == 1
    assert counts(job) == ("finished", 1201, 240, 240, 480, 241)


def database_url() -> str:
    base = os.environ["DATABASE_URL"].rpartition("/")[0]
    return f"{base}/{connection.settings_dict['NAME']}"


def test_a_result_that_comes_after_its_lease_counts_nothing(dns: NameServer, user: User) -> None:
    job = job_of(user, ADDRESSES)
    late = validation_jobs._claim()
    expire_leases()
    assert work_off(seconds=5).chunks == 1
    assert late is not None
    validation_jobs._check(late)
    assert counts(job) == ("finished", 5, 1, 1, 2, 1)


def test_a_chunk_that_brings_workers_down_is_given_up(dns: NameServer, user: User) -> None:
    job = job_of(user, ADDRESSES)
    for _ in range(3):
        assert validation_jobs._claim() is not None
        expire_leases()
    assert work_off(seconds=5).chunks == 1
    assert counts(job) == ("finished", 5, 0, 0, 0, 5)
    assert {each.reasons[0].code.value for each in all_results(job)} == {"not_checked"}


def test_no_more_workers_than_allowed(dns: NameServer, user: User, settings: Any) -> None:
    settings.VALIDATION_CONCURRENCY = 2
    job_of(user, MANY)
    assert waiting_workers() == 2
    assert [validation_jobs._claim() is None for _ in range(3)] == [False, False, True]
    assert waiting_workers() == 0


def test_a_short_job_need_not_wait_for_a_long_one(dns: NameServer, user: User) -> None:
    job_of(user, MANY)
    assert validation_jobs._claim() is not None
    short = job_of(user, ADDRESSES)
    work_off(seconds=0.0001)
    assert counts(short)[0] == "finished"


def test_a_cancelled_job_keeps_what_was_found_and_takes_no_more(
    dns: NameServer, user: User
) -> None:
    job = job_of(user, MANY)
    work_off(seconds=0.0001)
    under_way = validation_jobs._claim()
    cancel_job(job)
    assert under_way is not None
    validation_jobs._check(under_way)
    assert work_off(seconds=5).chunks == 0
    assert counts(job) == ("cancelled", 500, 100, 100, 200, 100)
    assert len(list(all_results(job))) == 500
    assert result_page(job, place=Place(1, 0), limit=10).after is None
    with pytest.raises(ConflictError):
        cancel_job(job)


def test_a_deleted_job_leaves_nothing_even_under_way(dns: NameServer, user: User) -> None:
    job = job_of(user, ADDRESSES)
    under_way = validation_jobs._claim()
    delete_job(job)
    assert under_way is not None
    validation_jobs._check(under_way)
    assert not ValidationJob.objects.exists()
    assert not ValidationChunk.objects.exists()


def test_results_expire(dns: NameServer, user: User) -> None:
    job = job_of(user, ADDRESSES)
    work_off(seconds=5)
    assert purge_jobs(now=timezone.now()) == 0
    later = timezone.now() + timedelta(days=8)
    ValidationJob.objects.update(expires_at=timezone.now())
    with pytest.raises(NotFoundError):
        visible_job(job.pk, owner_id=user.pk)
    assert purge_jobs(now=later) == 1
    assert not ValidationChunk.objects.exists()


def test_too_many_or_no_addresses_write_nothing(user: User, settings: Any) -> None:
    settings.VALIDATION_MAX_ADDRESSES = 1000
    for addresses in (["a@acme.io"] * 1001, []):
        with pytest.raises(InvalidInputError) as caught:
            job_of(user, addresses)
        assert list(caught.value.details) == ["emails"]
    assert not ValidationJob.objects.exists()
    assert not ValidationChunk.objects.exists()


def test_hostile_texts_can_be_stored_and_are_answered(dns: NameServer, user: User) -> None:
    job = job_of(user, ["a\x00b@acme.io", "x" * 100_000, "\ud800@acme.io", "\u202ea@acme.io"])
    work_off(seconds=5)
    assert counts(job) == ("finished", 4, 0, 0, 4, 0)
    assert [len(each.email) for each in all_results(job)] == [11, 321, 9, 10]


def test_a_job_that_has_waited_long_enough_for_dns_goes_on_without(
    dns: NameServer, user: User
) -> None:
    job = job_of(user, ADDRESSES)
    ValidationJob.objects.update(dns_seconds=3601)
    work_off(seconds=5)
    assert dns.asked == []
    assert counts(job) == ("finished", 5, 0, 1, 1, 3)


def test_the_database_refuses_sums_that_do_not_add_up(user: User) -> None:
    job = job_of(user, ADDRESSES)
    for values in ({"done_count": 1}, {"done_count": 6, "valid_count": 6}, {"status": "x"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            ValidationJob.objects.filter(pk=job.pk).update(**values)
    assert job.status == JobStatus.QUEUED
