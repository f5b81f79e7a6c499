"""POST /emails."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from delivery.models import Attachment, Blob, Content, Message
from tests.support.api import Api, api_with, mail


def test_a_mail_is_accepted_and_answered_whole(api: Api, user):
    response = api.post(
        "/emails",
        mail(
            to=["Bob <bob@example.net>", "carl@example.net"],
            cc="dora@example.net",
            bcc=["Erik@Example.NET"],
            reply_to="help@example.com",
            from_name="Shop",
            tags=["receipt"],
            metadata={"order": 7},
            priority=1,
        ),
    )
    assert response.status_code == 202
    body = response.json()
    stored = Message.objects.get()
    created = stored.created_at.isoformat()
    assert body == {
        "message": "The email is queued for delivery.",
        "id": str(stored.pk),
        "email_id": str(stored.pk),
        "status": "queued",
        "status_description": "Queued",
        "subject": "Hello",
        "sender": "shop@example.com",
        "sender_name": "Shop",
        "recipients": ["Bob <bob@example.net>", "carl@example.net"],
        "cc": ["dora@example.net"],
        "bcc": ["Erik@example.net"],
        "reply_to": ["help@example.com"],
        "priority": 1,
        "email_type": "transactional",
        "tags": ["receipt"],
        "metadata": {"order": 7},
        "test": False,
        "retry_count": 0,
        "smtp_config": None,
        "provider": None,
        "created_at": created,
        "updated_at": created,
        "send_at": None,
        "due_at": created,
        "sent_at": None,
        "expires_at": None,
        "sequence_key": None,
        "error_message": None,
        "batch_id": None,
    }
    assert response["Location"] == f"/api/v1/emails/{stored.pk}"
    assert stored.owner_id == user.pk


def test_what_was_answered_is_what_is_read_back(api: Api):
    sent = api.post("/emails", mail(subject="Order {{ n }}", context={"n": 5})).json()
    read = api.get(f"/emails/{sent['email_id']}").json()
    del sent["message"]
    assert sent["subject"] == "Order 5"
    assert {name: read[name] for name in sent} == sent


@pytest.mark.parametrize("prefix", ["/api", "/api/v1"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_both_prefixes_and_a_final_slash_work(api: Api, prefix, slash):
    api.prefix = prefix
    response = api.post(f"/emails{slash}", mail())
    assert response.status_code == 202
    assert response["Location"] == f"{prefix}/emails/{response.json()['id']}"
    assert api.get(f"/emails/{response.json()['id']}{slash}").status_code == 200


def test_the_names_of_other_services_are_understood(api: Api):
    data = {
        "from": "shop@example.com",
        "recipients": ["bob@example.net"],
        "subject": "Hello",
        "html_content": "<p>Hi</p>",
    }
    response = api.post("/emails", data)
    assert response.json()["recipients"] == ["bob@example.net"]
    assert Content.objects.get().html == "<p>Hi</p>"


def test_a_later_mail_is_scheduled(api: Api):
    send_at = (timezone.now() + timedelta(hours=3)).replace(microsecond=0)
    body = api.post("/emails", mail(send_at=send_at.isoformat())).json()
    assert body["status"] == "scheduled"
    assert body["message"] == f"The email is scheduled for {send_at.isoformat()}."
    assert body["send_at"] == send_at.isoformat()


def test_a_test_key_sends_tests(user):
    tester = api_with(user, "emails:send", is_test=True)
    body = tester.post("/emails", mail()).json()
    assert body["test"] is True
    assert body["message"] == "The email is queued as a test: nothing will leave."
    assert Message.objects.get().is_test


def test_every_fault_is_named_with_its_field(api: Api):
    response = api.post("/emails", {"from": "nope", "to": ["x@"], "priority": 9, "colour": "red"})
    assert response.status_code == 400
    body = response.json()
    assert set(body) == {"code", "message", "details"}
    assert body["code"] == "invalid"
    assert set(body["details"]) == {"from", "to[0]", "priority", "colour", "subject", "html"}
    assert body["details"]["colour"][0]["code"] == "unknown_field"
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"subject": "Hello\r\nBcc: eve@example.com"}, "subject"),
        ({"from_name": "Shop\nX-Evil: 1"}, "from_name"),
        ({"to": "bob@example.net\r\nRCPT TO:<eve@example.com>"}, "to"),
        ({"to": {"email": "bob@example.net", "name": "Bob\r\nBcc: eve@example.com"}}, "to.name"),
        ({"reply_to": "a@example.com\nBcc: eve@example.com"}, "reply_to"),
        ({"headers": {"X-Note": "a\r\nBcc: eve@example.com"}}, "headers.X-Note"),
        ({"headers": {"X-Note: a\r\nBcc": "eve@example.com"}}, "headers.X-Note: a\r\nBcc"),
        ({"headers": {"Bcc": "eve@example.com"}}, "headers.Bcc"),
        ({"headers": {"DKIM-Signature": "v=1"}}, "headers.DKIM-Signature"),
    ],
)
def test_header_injection_is_refused(api: Api, fields, field):
    response = api.post("/emails", mail(**fields))
    assert response.status_code == 400
    assert list(response.json()["details"]) == [field]
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    ("body", "code"),
    [("{", "malformed_json"), ("[]", "malformed_json"), ('"x"', "malformed_json"), ("", "invalid")],
)
def test_a_body_that_is_no_object_is_refused(api: Api, body, code):
    response = api.post("/emails", body)
    assert (response.status_code, response.json()["code"]) == (400, code)


def test_a_body_of_another_type_is_refused(api: Api):
    response = api.post("/emails", "a=b", content_type="application/x-www-form-urlencoded")
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


def test_a_body_beyond_the_limit_is_refused(api: Api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 500
    response = api.post("/emails", mail(text="x" * 500))
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_a_missing_variable_is_an_error_before_anything_is_stored(api: Api):
    response = api.post("/emails", mail(subject="Hi {{ name }}", context={}))
    assert response.status_code == 400
    assert response.json()["details"]["context"][0]["code"] == "template_render"
    assert not Content.objects.exists()


def test_an_unknown_template_type_or_account_is_named(api: Api):
    plain = mail()
    del plain["subject"], plain["text"]
    assert "template" in api.post("/emails", plain | {"template": "nope"}).json()["details"]
    assert "email_type" in api.post("/emails", mail(email_type="nope")).json()["details"]
    nobodys = "0190a0a0-0000-7000-8000-000000000000"
    response = api.post("/emails", mail(smtp_config_id=nobodys))
    assert response.status_code == 400


@pytest.mark.parametrize("field", ["from", "from_name"])
def test_a_sender_name_too_long_for_its_column_is_refused(api: Api, field):
    name = "x" * 201
    value = {"email": "shop@example.com", "name": name} if field == "from" else name
    response = api.post("/emails", mail(**{field: value}))
    assert response.json()["details"][field][0]["code"] == "too_long"


def test_inline_attachments_are_stored_once_and_listed(api: Api):
    content = base64.b64encode(b"PDF!").decode()
    files = [
        {"filename": "a.pdf", "content": content, "content_type": "application/pdf; name=a.pdf"},
        {"filename": "ü b.txt", "content": content},
    ]
    email_id = api.post("/emails", mail(attachments=files)).json()["id"]
    assert Blob.objects.count() == 1
    listed = api.get(f"/emails/{email_id}").json()["attachments"]
    assert [(item["filename"], item["content_type"], item["size"]) for item in listed] == [
        ("a.pdf", "application/pdf", 4),
        ("ü b.txt", "text/plain", 4),
    ]
    link = listed[0]["download_url"].removeprefix("https://mail.example.com")
    download = Api(None, prefix="").get(link)
    assert b"".join(download.streaming_content) == b"PDF!"


def test_a_blocked_type_of_file_is_refused(api: Api):
    content = base64.b64encode(b"MZ").decode()
    response = api.post("/emails", mail(attachments=[{"filename": "run.exe", "content": content}]))
    assert response.json()["details"]["attachments[0].filename"][0]["code"] == "blocked_type"


def test_a_form_with_files_is_accepted(api: Api):
    response = api.form(
        "/emails",
        {
            "from": "shop@example.com",
            "to": ["bob@example.net", "carl@example.net"],
            "subject": "Hello",
            "html": "<p>Hi</p>",
            "metadata": json.dumps({"order": 7}),
            "attachments": SimpleUploadedFile("a.txt", b"text", "text/plain"),
        },
    )
    assert response.status_code == 202
    assert response.json()["recipients"] == ["bob@example.net", "carl@example.net"]
    assert response.json()["metadata"] == {"order": 7}
    assert Attachment.objects.get().filename == "a.txt"


def test_files_beyond_the_limit_are_refused_before_they_are_read(api: Api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    file = SimpleUploadedFile("a.txt", b"x" * 2000, "text/plain")
    response = api.form("/emails", mail(attachments=file))
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_the_longest_columns_hold_what_intake_lets_through(api: Api):
    local, domain = "a" * 64, ".".join(["d" * 60] * 3 + ["example"])
    longest = f"{local}@{domain}"[:254]
    response = api.post(
        "/emails",
        mail(
            to={"email": longest, "name": "n" * 256},
            subject="s" * 998,
            sequence_key="k" * 200,
            tags=["t" * 64] * 1,
            from_name="n" * 200,
        ),
    )
    assert response.status_code == 202, response.json()


def test_accepting_takes_one_statement_beside_begin_and_commit(api: Api):
    api.post("/emails", mail())
    with CaptureQueriesContext(connection) as captured:
        assert api.post("/emails", mail()).status_code == 202
    (sql,) = [query["sql"] for query in captured if "SAVEPOINT" not in query["sql"]]
    assert "INSERT INTO delivery_content" in sql
    assert "INSERT INTO delivery_message" in sql


def test_ids_are_in_time_order(api: Api):
    first, second = (UUID(api.post("/emails", mail()).json()["id"]) for _ in range(2))
    assert first < second
