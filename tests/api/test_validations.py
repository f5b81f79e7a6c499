"""`/validations`, and `validate` when sending."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import User
from accounts.scopes import Scope
from accounts.services import NewApiKey, create_api_key
from delivery.models import Message
from tests.support.api import Api, api_with, mail
from tests.support.dns import NameServer
from tests.support.smtp_server import FaultyServer
from tests.support.validation import local_dns
from verification.models import ValidationJob
from verification.services.validation_jobs import work_off


@pytest.fixture(autouse=True)
def dns(settings: Any) -> Iterator[NameServer]:
    with local_dns(settings) as server:
        yield server


def test_one_address_is_answered_at_once(api: Api) -> None:
    response = api.post("/validations", {"email": "Ann@Acme.IO"})
    assert response.status_code == 200
    assert response.json() == {
        "email": "Ann@Acme.IO",
        "normalized": "Ann@acme.io",
        "verdict": "valid",
        "checks": {
            "syntax": "valid",
            "domain": "exists",
            "mx": "mx",
            "disposable": False,
            "role": False,
            "free": False,
            "suggestion": False,
            "smtp": "not_checked",
        },
        "reasons": [],
        "suggestion": None,
        "duplicate_key": "ann@acme.io",
    }


def test_what_is_no_address_is_an_answer_not_an_error(api: Api) -> None:
    body = api.post("/validations", {"email": "nobody"}).json()
    assert (body["verdict"], body["normalized"], body["checks"]["mx"]) == (
        "invalid",
        None,
        "not_checked",
    )
    assert body["reasons"] == [
        {"code": "syntax", "message": "An email address must have an @-sign."}
    ]


def test_a_few_are_answered_at_once_in_order(api: Api) -> None:
    emails = [
        "ann@gmai.com",
        "info@null.io",
        "ann@silent.io",
        "ann@mailinator.com",
        "ann@gmail.com",
    ]
    response = api.post("/validations", {"emails": emails})
    assert response.status_code == 200
    assert [
        (each["verdict"], each["suggestion"], [reason["code"] for reason in each["reasons"]])
        for each in response.json()["results"]
    ] == [
        ("risky", "ann@gmail.com", ["typo"]),
        ("invalid", None, ["null_mx", "role"]),
        ("unknown", None, ["dns_unknown"]),
        ("risky", None, ["disposable"]),
        ("valid", None, []),
    ]
    assert response.json()["results"][4]["checks"]["free"] is True


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "email"),
        ({"email": "a@acme.io", "emails": []}, "email"),
        ({"email": 5}, "email"),
        ({"email": None}, "email"),
        ({"emails": "a@acme.io"}, "emails"),
        ({"emails": []}, "emails"),
        ({"emails": ["a@acme.io", 7]}, "emails[1]"),
        ({"email": "a@acme.io", "async": "yes"}, "async"),
        ({"email": "a@acme.io", "mode": 1}, "mode"),
        ({"email": "a@acme.io", "probe": True}, "probe"),
        ({"emails": ["a@acme.io"], "async": True, "name": 5}, "name"),
    ],
)
def test_bad_input_names_its_field(api: Api, data: dict[str, Any], field: str) -> None:
    response = api.post("/validations", data)
    assert response.status_code == 400
    assert list(response.json()["details"]) == [field]
    assert not ValidationJob.objects.exists()


def test_more_than_a_hundred_become_a_job(api: Api, settings: Any) -> None:
    emails = [f"user{number}@acme.io" for number in range(101)]
    response = api.post("/validations", {"emails": emails, "name": "import"})
    assert response.status_code == 202
    body = response.json()
    assert (body["status"], body["total"], body["done"], body["percent"]) == ("queued", 101, 0, 0)
    place = f"/validations/{body['id']}"
    assert body["results_url"] == f"https://mail.example.com/api/v1{place}/results"
    assert api.get(f"{place}/results").json()["results"] == []
    assert api.get(f"{place}/download").status_code == 409
    work_off(seconds=10)
    done = api.get(place).json()
    assert (done["status"], done["percent"]) == ("finished", 100)
    assert done["counts"] == {"valid": 101, "risky": 0, "invalid": 0, "unknown": 0}
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get(f"{place}/results?limit=40&cursor={cursor}").json()
        seen += [each["email"] for each in page["results"]]
        cursor = page["next"]
    assert seen == emails
    assert [each["id"] for each in api.get("/validations").json()["results"]] == [body["id"]]


def test_a_file_becomes_a_job_and_a_table_safe_for_spreadsheets(api: Api) -> None:
    data = "Name;E-Mail\nAnn;ann@acme.io\nEve;=1+1@acme.io\nBob;bob@nowhere.io\n"
    file = SimpleUploadedFile("list.csv", data.encode(), "text/csv")
    response = api.form("/validations", {"file": file}, key="once")
    assert response.status_code == 202
    assert (response.json()["name"], response.json()["total"]) == ("list.csv", 3)
    again = SimpleUploadedFile("list.csv", data.encode(), "text/csv")
    assert api.form("/validations", {"file": again}, key="once").json() == response.json()
    assert ValidationJob.objects.count() == 1
    work_off(seconds=10)
    answer = api.get(f"/validations/{response.json()['id']}/download")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [(row["email"], row["verdict"]) for row in rows] == [
        ("ann@acme.io", "valid"),
        ("'=1+1@acme.io", "valid"),
        ("bob@nowhere.io", "invalid"),
    ]


@pytest.mark.parametrize(
    ("content", "extra", "field"),
    [
        (b"\xff\xfe\xfd\n\xff", {}, "file"),
        (b"", {}, "file"),
        (b"email\n", {}, "file"),
        (b"name,city\nann,Rome\n", {}, "column"),
        (b"email\na@acme.io\n", {"column": "work"}, "column"),
        (b"email\na@acme.io\n", {"mode": "x"}, "mode"),
    ],
)
def test_a_bad_file_makes_no_job(
    api: Api, content: bytes, extra: dict[str, str], field: str
) -> None:
    file = SimpleUploadedFile("list.csv", content, "text/csv")
    response = api.form("/validations", {"file": file, **extra})
    assert response.status_code == 400, response.content
    assert list(response.json()["details"]) == [field]
    assert not ValidationJob.objects.exists()


def test_jobs_are_cancelled_and_deleted(api: Api) -> None:
    job = api.post("/validations", {"emails": ["ann@acme.io"], "async": True}).json()
    place = f"/validations/{job['id']}"
    assert api.post(f"{place}/cancel").json()["status"] == "cancelled"
    assert api.post(f"{place}/cancel").status_code == 409
    assert api.get(f"{place}/results").json() == {"results": [], "next": None}
    assert api.delete(place).status_code == 204
    assert api.get(place).status_code == 404


def test_jobs_belong_to_their_owner(api: Api, other: Api) -> None:
    job = api.post("/validations", {"emails": ["ann@acme.io"], "async": True}).json()
    place = f"/validations/{job['id']}"
    for method, path in (
        ("GET", place),
        ("DELETE", place),
        ("POST", f"{place}/cancel"),
        ("GET", f"{place}/results"),
        ("GET", f"{place}/download"),
        ("GET", "/validations/x"),
    ):
        assert other.send(method, path).status_code == 404
    assert other.get("/validations").json()["results"] == []
    assert ValidationJob.objects.get().status == "queued"


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=LTE6MA", "limit=0", "verdict=good", "page=2"]
)
def test_bad_parameters_are_named(api: Api, query: str) -> None:
    job = api.post("/validations", {"emails": ["ann@acme.io"], "async": True}).json()
    response = api.get(f"/validations/{job['id']}/results?{query}")
    assert response.status_code == 400
    assert list(response.json()["details"]) == [query.partition("=")[0]]


ROUTES = [
    ("GET", "/validations", "validations:read"),
    ("POST", "/validations", "validations:write"),
    ("GET", "/validations/x", "validations:read"),
    ("DELETE", "/validations/x", "validations:write"),
    ("POST", "/validations/x/cancel", "validations:write"),
    ("GET", "/validations/x/results", "validations:read"),
    ("GET", "/validations/x/download", "validations:read"),
]


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_each_route_wants_its_scope(user: User, method: str, path: str, scope: str) -> None:
    assert Api(None).send(method, path).status_code == 401
    others = api_with(user, *sorted(set(Scope.values) - {scope}))
    assert others.send(method, path).status_code == 403
    assert api_with(user, scope).send(method, path).status_code in {200, 400, 404}


# --- asking mail servers --------------------------------------------------------------------------


@pytest.fixture
def server(settings: Any) -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        settings.VALIDATION_PROBE = True
        settings.VALIDATION_PROBE_PORT = server.port
        settings.VALIDATION_PROBE_PRIVATE = True
        settings.VALIDATION_PROBE_RATE = 60_000
        yield server


def probing(user: User, **fields: Any) -> Api:
    return api_with(user, "validations:write", "validations:probe", **fields)


def test_asking_needs_a_scope_and_is_never_done_with_a_test_key(
    api: Api, user: User, server: FaultyServer
) -> None:
    asked = {"email": "ann@acme.io", "probe": True}
    refused = api.post("/validations", asked)
    assert refused.status_code == 403
    assert "validations:probe" in refused.json()["message"]
    tested = probing(user, is_test=True).post("/validations", asked).json()
    assert (tested["verdict"], tested["checks"]["smtp"]) == ("valid", "not_checked")
    job = probing(user, is_test=True).post("/validations", asked | {"async": True}).json()
    assert job["probe"] is False


def test_a_server_that_takes_anything_makes_an_address_risky(
    user: User, server: FaultyServer
) -> None:
    body = probing(user).post("/validations", {"email": "ann@acme.io", "probe": True}).json()
    assert (body["verdict"], body["checks"]["smtp"]) == ("risky", "catch_all")
    assert server.mails == []


# --- when sending ---------------------------------------------------------------------------------


def test_mail_to_where_it_cannot_arrive_is_refused_if_asked(api: Api) -> None:
    refused = api.post("/emails", mail(to=["ann@acme.io", "bob@nowhere.io"], validate=True))
    assert refused.status_code == 400
    assert refused.json()["details"] == {
        "to[1]": [
            {"code": "undeliverable", "message": "bob@nowhere.io: The domain does not exist."}
        ]
    }
    assert not Message.objects.exists()
    assert api.post("/emails", mail(to="bob@nowhere.io", validate=False)).status_code == 202
    assert api.post("/emails", mail(to="bob@nowhere.io")).status_code == 202


def test_a_hint_comes_with_the_refusal_and_cc_is_looked_at_too(api: Api, dns: NameServer) -> None:
    refused = api.post("/emails", mail(to="a@acme.io", cc="bob@gmial.com", validate=True)).json()
    assert refused["details"]["cc"][0]["message"] == (
        "bob@gmial.com: The domain does not exist. Did you mean bob@gmail.com?"
    )


def test_what_is_not_known_within_a_second_passes(api: Api) -> None:
    started = time.monotonic()
    assert api.post("/emails", mail(to="ann@silent.io", validate=True)).status_code == 202
    assert api.post("/emails", mail(to="info@mailinator.com", validate=True)).status_code == 202
    assert time.monotonic() - started < 10


def test_each_item_of_a_batch_is_looked_at_that_asks_for_it(api: Api) -> None:
    shared = api.post(
        "/emails/batch",
        {
            "from": "shop@example.com",
            "subject": "x",
            "text": "y",
            "validate": True,
            "recipients": [
                {"to": "ann@acme.io"},
                "bob@nowhere.io",
                {"to": "bob@nowhere.io", "validate": False},
            ],
        },
    ).json()
    assert (shared["accepted"], shared["rejected"]) == (2, 1)
    assert list(shared["results"][1]["error"]["details"]) == ["to"]
    whole = api.post(
        "/emails/batch",
        {"messages": [mail(to="a@null.io", validate=True), mail(to="a@null.io")]},
    ).json()
    assert [("error" in each) for each in whole["results"]] == [True, False]


def test_a_refused_recipient_is_named_where_it_was_given(api: Api) -> None:
    envelope = {
        "to": ["ann@acme.io", "Ann <ANN@acme.io>", {"email": "bob@nowhere.io"}],
        "cc": ["bob@nowhere.io", "c@acme.io", "c@null.io"],
        "bcc": "d@nowhere.io",
    }
    refused = api.post("/emails", mail(validate=True, **envelope)).json()
    assert list(refused["details"]) == ["to[2]", "cc[2]", "bcc"]
    aliased = mail(validate=True, recipients=["a@acme.io", "a@null.io"])
    del aliased["to"]
    assert list(api.post("/emails", aliased).json()["details"]) == ["recipients[1]"]


def test_validate_must_be_a_flag(api: Api) -> None:
    response = api.post("/emails", mail(validate="maybe"))
    assert list(response.json()["details"]) == ["validate"]


def test_a_test_key_validates_too(user: User, api_key: NewApiKey) -> None:
    test = Api(create_api_key(user=user, name="t", is_test=True).secret)
    assert test.post("/emails", mail(to="a@null.io", validate=True)).status_code == 400
