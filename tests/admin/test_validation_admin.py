"""Address validation in the console: jobs, their results, one address tried, the domain lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import User
from tests.support.dns import NameServer
from tests.support.validation import local_dns
from verification.models import DomainEntry, ValidationJob
from verification.selectors import validation as selector
from verification.services.validation_jobs import create_job, work_off

JOBS = "/admin/verification/validationjob/"
DOMAINS = "/admin/verification/domainentry/"


@pytest.fixture(autouse=True)
def dns(settings: Any) -> Iterator[NameServer]:
    with local_dns(settings) as server:
        yield server


@pytest.fixture
def job(superuser: User) -> ValidationJob:
    addresses = ["ann@acme.io", "<script>alert(1)</script>@x", "ann@gmai.com"] * 50
    return create_job(owner_id=superuser.pk, addresses=addresses, name="<b>spring</b>")


def test_the_list_shows_progress_and_is_escaped(
    root: Client, job: ValidationJob, django_assert_num_queries: Any
) -> None:
    root.get(JOBS)
    # session, user, two savepoint statements, time limit, one page, owners of the filter
    with django_assert_num_queries(7):
        html = root.get(JOBS).content.decode()
    assert "<b>spring" not in html
    assert "of 150" in html
    assert 'value="0"' in html
    work_off(seconds=10)
    assert "50 · 50 · 50 · 0" in root.get(JOBS).content.decode()


def test_a_list_is_uploaded_and_faults_stand_beside_their_fields(
    root: Client, superuser: User
) -> None:
    def upload(data: bytes, **fields: str) -> Any:
        file = SimpleUploadedFile("Ünï.csv", data, "text/csv")
        return root.post(f"{JOBS}list/", {"file": file, **fields})

    assert "Check a list" in root.get(JOBS).content.decode()
    for data, fault in (
        (b"", "There is no address."),
        (b"\xff\xfe\xfd\n\xff", "Save the file as UTF-8"),
        (b"name,city\nann,Rome\n", "names no column of addresses"),
    ):
        assert fault in upload(data).content.decode()
    assert not ValidationJob.objects.exists()
    answer = upload(b"name,work\nann,ann@acme.io\nbob,x\n", column="work")
    job = ValidationJob.objects.get()
    assert answer["Location"] == f"{JOBS}{job.pk}/change/"
    assert (job.owner_id, job.name, job.total_count) == (superuser.pk, "Ünï.csv", 2)
    assert LogEntry.objects.count() == 1


def test_who_may_only_look_cannot_upload(staff_with: Any) -> None:
    client = staff_with("verification.view_validationjob")
    assert "Check a list" not in client.get(JOBS).content.decode()
    assert client.get(f"{JOBS}list/").status_code == 403


def test_a_rare_verdict_is_found_far_down_the_list(
    root: Client, superuser: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selector, "MAX_CHUNKS", 1)
    addresses = [*(["ann@acme.io"] * 600), "ann@gmai.com"]
    job = create_job(owner_id=superuser.pk, addresses=addresses)
    work_off(seconds=10)
    place = f"{JOBS}{job.pk}/change/?verdict=risky"
    first = root.get(place).content.decode()
    assert "601 addresses" in first
    assert "None in this part of the list." in first
    further = re.search(r'href="\?(cursor=[^"]+)">Look further', first)
    assert further is not None
    assert "ann@gmai.com" in root.get(f"{place}&{further[1]}").content.decode()


def test_a_running_job_can_be_looked_at_again_and_a_finished_one_downloaded(
    root: Client, job: ValidationJob
) -> None:
    place = f"{JOBS}{job.pk}/change/"
    running = root.get(place).content.decode()
    assert ("Refresh" in running, "Download CSV" in running) == (True, False)
    work_off(seconds=10)
    finished = root.get(place).content.decode()
    assert ("Refresh" in finished, "Download CSV" in finished) == (False, True)


def test_a_job_shows_its_results_with_reasons_by_pages(root: Client, job: ValidationJob) -> None:
    place = f"{JOBS}{job.pk}/change/"
    assert "Nothing here yet" in root.get(place).content.decode()
    work_off(seconds=10)
    html = root.get(place).content.decode()
    assert "<script>alert(1)" not in html
    assert "Probably meant: ann@gmail.com" in html
    assert "misspelling" in html
    assert "Next page" in html
    only = root.get(f"{place}?verdict=risky").content.decode()
    assert "ann@acme.io" not in only
    assert root.get(f"{place}?cursor=x").status_code == 404
    file: Any = root.get(f"{JOBS}{job.pk}/download/")
    assert file["Content-Disposition"].startswith("attachment;")
    assert len(b"".join(file.streaming_content).splitlines()) == 151


def test_a_job_is_cancelled_and_deleted_after_a_question(root: Client, job: ValidationJob) -> None:
    cancel = f"{JOBS}{job.pk}/cancel/"
    assert "150 addresses" in root.get(cancel).content.decode()
    job.refresh_from_db()
    assert job.status == "queued"
    root.post(cancel)
    job.refresh_from_db()
    assert job.status == "cancelled"
    root.get(f"{JOBS}{job.pk}/delete/")
    assert ValidationJob.objects.count() == 1
    root.post(f"{JOBS}{job.pk}/delete/")
    assert ValidationJob.objects.count() == 0
    assert LogEntry.objects.count() == 2


@pytest.mark.parametrize(
    ("email", "words"),
    [
        ("ann@acme.io", "Nothing speaks against"),
        ("ann@nowhere.io", "The domain does not exist."),
        ("ann@gmai.com", "ann@gmail.com"),
        ("ann@silent.io", "could not be looked up"),
        ("<img src=x>", "must have an @-sign"),
    ],
)
def test_an_address_can_be_tried(root: Client, db: None, email: str, words: str) -> None:
    html = root.post(f"{JOBS}try/", {"email": email}).content.decode()
    assert words in html
    assert "<img src=x>" not in html


def test_pages_want_permission(staff_with: Any, job: ValidationJob) -> None:
    nobody = staff_with("delivery.view_message")
    for page in ("", "try/", f"{job.pk}/change/", f"{job.pk}/cancel/", f"{job.pk}/download/"):
        assert nobody.get(JOBS + page).status_code == 403
    reader = staff_with("verification.view_validationjob")
    assert reader.get(f"{JOBS}{job.pk}/change/").status_code == 200
    assert reader.post(f"{JOBS}{job.pk}/cancel/").status_code == 403
    assert reader.post(f"{JOBS}{job.pk}/delete/").status_code == 403
    assert ValidationJob.objects.get().status == "queued"


def test_domains_are_kept_in_the_form_that_is_compared(root: Client, db: None) -> None:
    root.post(f"{DOMAINS}add/", {"domain": " *.Bücher.DE. ", "list": "disposable", "note": "x"})
    entry = DomainEntry.objects.get()
    assert (entry.domain, entry.list) == ("xn--bcher-kva.de", "disposable")
    again = root.post(f"{DOMAINS}add/", {"domain": "bücher.de", "list": "free"})
    assert again.status_code == 200
    wrong = root.post(f"{DOMAINS}add/", {"domain": "not a domain", "list": "free"})
    assert "Give a domain name" in wrong.content.decode()
    assert DomainEntry.objects.count() == 1
    assert "Disposable" in root.get(DOMAINS).content.decode()
