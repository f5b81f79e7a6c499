"""`Idempotency-Key` on every POST."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from delivery.models import Blob, Content, IdempotencyRecord, Message, Upload
from delivery.services.idempotency import Answer, once
from mailservice.core.sql import advisory_key, try_lock_for_transaction
from providers.models import Provider
from tests.support.api import Api, api_with, mail

if TYPE_CHECKING:
    from accounts.services import NewApiKey

ACCOUNT = {"name": "relay", "email_address": "ann@example.com", "smtp_host": "smtp.example.com"}


def test_a_repeated_request_gets_the_stored_answer(api: Api):
    first = api.post("/emails", mail(), key="k1")
    second = api.post("/emails", mail(), key="k1")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.content == second.content
    assert first["Location"] == second["Location"]
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"
    assert Message.objects.count() == 1


def test_another_body_under_the_same_key_is_refused(api: Api):
    api.post("/emails", mail(), key="k1")
    response = api.post("/emails", mail(subject="Other"), key="k1")
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert Message.objects.count() == 1


def test_another_path_under_the_same_key_is_refused(api: Api):
    api.post("/emails", mail(), key="k1")
    assert api.post("/emails/batch", mail(), key="k1").status_code in {400, 422}
    assert api.post("/emails/cancel", {"ids": ["x"]}, key="k1").status_code == 422


def test_a_key_belongs_to_one_api_key(api: Api, other: Api, user):
    api.post("/emails", mail(), key="k1")
    assert "Idempotency-Replayed" not in other.post("/emails", mail(), key="k1")
    assert "Idempotency-Replayed" not in api_with(user, "emails:send").post(
        "/emails", mail(), key="k1"
    )
    assert Message.objects.count() == 3


def test_a_final_slash_makes_no_other_request(api: Api):
    api.post("/emails", mail(), key="k1")
    assert api.post("/emails/", mail(), key="k1")["Idempotency-Replayed"] == "true"


def test_an_error_is_not_stored(api: Api):
    assert api.post("/emails", mail(to="nope"), key="k1").status_code == 400
    assert not IdempotencyRecord.objects.exists()
    assert api.post("/emails", mail(), key="k1").status_code == 202


def test_an_answer_is_replayed_although_its_expiry_has_passed(api: Api):
    soon = mail(expires_at="2100-01-01T00:00:00Z")
    first = api.post("/emails", soon, key="k1")
    with time_machine.travel("2100-06-01T00:00:00Z", tick=False):
        second = api.post("/emails", soon, key="k1")
    assert (second.status_code, second.content) == (202, first.content)


@pytest.mark.parametrize("key", ["x" * 257, " \t"])
def test_an_unusable_key_is_refused(api: Api, key):
    response = api.post("/emails", mail(), headers={"Idempotency-Key": key})
    assert response.status_code == 400
    assert list(response.json()["details"]) == ["Idempotency-Key"]
    assert not Message.objects.exists()


def test_an_empty_key_is_refused(api: Api):
    response = api.post("/emails", mail(), headers={"Idempotency-Key": ""})
    assert response.status_code == 400


def test_a_key_of_256_characters_works(api: Api):
    assert api.post("/emails", mail(), key="x" * 256).status_code == 202


def test_forms_count_by_their_parts(api: Api):
    def post(text: bytes) -> Any:
        file = SimpleUploadedFile("a.txt", text, "text/plain")
        return api.form("/emails", mail(attachments=file), key="k1")

    first, second = post(b"one"), post(b"one")
    assert (first.status_code, second.content) == (202, first.content)
    assert second["Idempotency-Replayed"] == "true"
    assert post(b"two").status_code == 422
    assert Message.objects.count() == 1


def test_a_refused_request_leaves_no_bytes_that_nothing_knows(api: Api, settings):
    content = base64.b64encode(b"file").decode()
    data = mail(email_type="nope", attachments=[{"filename": "a.txt", "content": content}])
    assert api.post("/emails", data, key="k1").status_code == 400
    assert Blob.objects.count() == 1
    assert not Content.objects.exists()


def test_every_other_post_is_done_once(api: Api):
    email_id = api.post("/emails", mail()).json()["id"]
    upload = {"filename": "a.txt", "content": base64.b64encode(b"x").decode()}
    requests = [
        ("/emails/batch", {"messages": [mail(), mail()]}, 202),
        ("/attachments", upload, 201),
        ("/smtp-configs", ACCOUNT, 201),
        (f"/emails/{email_id}/hold", None, 200),
        ("/emails/release", {"ids": [email_id]}, 200),
    ]
    for number, (path, data, status) in enumerate(requests):
        first, second = (api.post(path, data, key=f"k{number}") for _ in range(2))
        assert (first.status_code, second.status_code) == (status, status), path
        assert first.content == second.content
        assert first.get("Location") == second.get("Location")
        assert second["Idempotency-Replayed"] == "true"
    assert Message.objects.count() == 3
    assert Upload.objects.count() == 1
    assert Provider.objects.count() == 1


def test_a_password_is_neither_stored_nor_guessable_from_the_record(api: Api):
    api.post("/smtp-configs", ACCOUNT | {"username": "ann", "password": "hunter2"}, key="k1")
    record = IdempotencyRecord.objects.get()
    assert b"hunter2" not in bytes(record.body)
    assert len(bytes(record.request_hash)) == 32


def test_a_key_costs_no_statement_more(api: Api):
    def statements(**extra: Any) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            assert api.post("/emails", mail(), **extra).status_code == 202
        return [query["sql"] for query in captured]

    statements()
    assert len(statements()) == 1
    assert len(statements(key="k1")) == 1


@pytest.mark.django_db(transaction=True)
def test_of_concurrent_requests_exactly_one_is_done(api_key: NewApiKey):
    racers = 6
    for round_number in range(4):
        barrier = Barrier(racers)

        def post(barrier: Barrier = barrier, number: int = round_number) -> tuple[int, Any]:
            try:
                api = Api(api_key.secret)
                barrier.wait()
                response = api.post("/emails", mail(), key=f"race {number}")
                return response.status_code, response
            finally:
                connections.close_all()

        with ThreadPoolExecutor(racers) as pool:
            answers = [future.result() for future in [pool.submit(post) for _ in range(racers)]]
        assert {status for status, _ in answers} <= {202, 409}
        done = [response for status, response in answers if status == 202]
        assert len([one for one in done if "Idempotency-Replayed" not in one]) == 1
        assert len({one.content for one in done}) == 1
        for status, response in answers:
            if status == 409:
                assert response.json()["code"] == "idempotency_in_flight"
                assert response["Retry-After"] == "1"
        assert Message.objects.count() == round_number + 1


@pytest.mark.django_db(transaction=True)
def test_a_request_in_flight_is_told_so_at_once(api_key: NewApiKey):
    def post() -> Any:
        try:
            return Api(api_key.secret).post("/emails", mail(), key="k1")
        finally:
            connections.close_all()

    with transaction.atomic(), ThreadPoolExecutor(1) as pool:
        assert try_lock_for_transaction(advisory_key("idem", api_key.api_key.pk, "k1"))
        response = pool.submit(post).result(timeout=10)
    assert (response.status_code, response["Retry-After"]) == (409, "1")
    assert not Message.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_answer_stored_between_look_and_lock_is_replayed(api_key: NewApiKey):
    """The other request ended after our statement began and before it had the lock."""
    key_id, produced = api_key.api_key.pk, []

    def store_beside() -> None:
        try:
            IdempotencyRecord.objects.create(
                api_key_id=key_id,
                key="k1",
                request_hash=b"h" * 32,
                status_code=202,
                body=b"theirs",
                created_at=timezone.now(),
            )
        finally:
            connections.close_all()

    def produce() -> Answer:
        produced.append(User.objects.create_user("new@example.com"))
        with ThreadPoolExecutor(1) as pool:
            pool.submit(store_beside).result()
        return Answer(202, b"ours")

    answer = once(api_key_id=key_id, key="k1", request_hash=b"h" * 32, produce=produce)
    assert answer == Answer(202, b"theirs", is_replay=True)
    assert len(produced) == 1
    assert not User.objects.filter(email="new@example.com").exists()


def test_an_answer_is_replayed_although_the_mail_would_now_be_refused(api: Api, settings):
    without_from = mail() | {"from": None}
    first = api.post("/emails", without_from, key="k1")
    settings.DEFAULT_FROM_EMAIL = ""
    assert api.post("/emails", without_from, key="k2").status_code == 400
    second = api.post("/emails", without_from, key="k1")
    assert (second.status_code, second.content) == (202, first.content)


def test_a_mail_of_a_sequence_is_done_once(api: Api):
    first, second = (api.post("/emails", mail(sequence_key="s"), key="k1") for _ in range(2))
    assert (first.status_code, second.content) == (202, first.content)
    assert Message.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_nothing_is_written_beside_an_answer_stored_after_our_look(api_key: NewApiKey):
    """The other's record is not committed when ours looks, and is when ours stores."""

    def post() -> Any:
        try:
            return Api(api_key.secret).post("/emails", mail(), key="k1")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            IdempotencyRecord.objects.create(
                api_key_id=api_key.api_key.pk,
                key="k1",
                request_hash=b"h" * 32,
                status_code=202,
                body=b"theirs",
                created_at=timezone.now(),
            )
            posted = pool.submit(post)
            wait_until_somebody_waits_for_us()
        response = posted.result(timeout=10)
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert not Message.objects.exists()
    assert not Content.objects.exists()


def wait_until_somebody_waits_for_us() -> None:
    query = (
        "SELECT EXISTS (SELECT FROM pg_locks"
        " WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
    )
    deadline = monotonic() + 10
    with connection.cursor() as cursor:
        while monotonic() < deadline:
            cursor.execute(query)
            if cursor.fetchone() == (True,):
                return
            sleep(0.01)
    raise AssertionError("Nobody waits.")
