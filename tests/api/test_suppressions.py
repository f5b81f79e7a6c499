"""Suppressions by API."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from delivery.models import Suppression
from tests.support.api import Api, api_with

BOB = "bob@example.net"


@pytest.fixture
def writer(user: User) -> Api:
    return api_with(user, "suppressions:read", "suppressions:write")


def scopes_of(address: str = BOB) -> list[tuple[str, str, str]]:
    rows = Suppression.objects.filter(address=address).order_by("email_type", "list_key")
    return list(rows.values_list("email_type", "list_key", "reason"))


def test_one_address_is_suppressed_once(writer):
    made = writer.post("/suppressions", {"email": "Bob@Example.NET", "note": "asked by phone"})
    row = Suppression.objects.get()
    assert made.status_code == 201
    assert made.json() == {
        "id": str(row.pk),
        "email": BOB,
        "reason": "manual",
        "scope": "all",
        "email_type": None,
        "list": None,
        "note": "asked by phone",
        "message_id": None,
        "created_at": row.created_at.isoformat(),
    }
    again = writer.post("/suppressions", {"email": BOB, "reason": "complaint"})
    assert (again.status_code, again.json()["reason"]) == (200, "manual")


def test_a_weightier_reason_replaces_an_unsubscribe_and_not_the_other_way_round(writer):
    writer.post("/suppressions", {"email": BOB, "reason": "unsubscribe"})
    writer.post("/suppressions", {"email": BOB, "reason": "complaint"})
    writer.post("/suppressions", {"email": BOB, "reason": "unsubscribe"})
    assert scopes_of() == [("", "", "complaint")]


def test_many_addresses_are_suppressed_with_one_request(writer):
    emails = [f"u{number}@example.net" for number in range(999)]
    body = {"emails": [*emails, "U5@example.net"], "list": "spring", "reason": "unsubscribe"}
    answer = writer.post("/suppressions", body)
    assert (answer.status_code, answer.json()) == (201, {"added": 999, "present": 0})
    again = writer.post("/suppressions", body)
    assert (again.status_code, again.json()) == (200, {"added": 0, "present": 999})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"email": "nobody"}, "email"),
        ({"email": 7}, "email"),
        ({"email": BOB, "emails": [BOB]}, "emails"),
        ({"emails": []}, "emails"),
        ({"emails": BOB}, "emails"),
        ({"emails": [BOB] * 1001}, "emails"),
        ({"emails": [BOB, "nobody"]}, "emails[1]"),
        ({"email": BOB, "reason": "bored"}, "reason"),
        ({"email": BOB, "reason": ["x"]}, "reason"),
        ({"email": BOB, "email_type": "nope"}, "email_type"),
        ({"email": BOB, "email_type": ["x"]}, "email_type"),
        ({"email": BOB, "list": "a b"}, "list"),
        ({"email": BOB, "list": "a", "email_type": "marketing"}, "list"),
        ({"email": BOB, "note": "x" * 201}, "note"),
        ({"email": BOB, "nope": 1}, "nope"),
    ],
)
def test_bad_input_is_refused_by_name_and_writes_nothing(writer, body, field):
    answer = writer.post("/suppressions", body)
    assert answer.status_code in {400, 422}
    assert list(answer.json()["details"]) == [field]
    assert not Suppression.objects.exists()


def test_the_list_is_filtered_and_paged(writer):
    for number in range(3):
        writer.post("/suppressions", {"email": f"u{number}@example.net"})
    writer.post("/suppressions", {"email": BOB, "email_type": "*", "reason": "unsubscribe"})
    writer.post("/suppressions", {"email": BOB, "list": "spring"})

    def found(query: str) -> list[tuple[str, str]]:
        results = writer.get(f"/suppressions?{query}").json()["results"]
        return [(row["email"], row["scope"]) for row in results]

    assert found("address=BOB@example.net") == [(BOB, "list"), (BOB, "marketing")]
    assert found("reason=unsubscribe") == [(BOB, "marketing")]
    assert found("email_type=*") == [(BOB, "marketing")]
    assert found("list=spring") == [(BOB, "list")]
    first = writer.get("/suppressions?limit=3").json()
    second = writer.get(f"/suppressions?limit=3&cursor={first['next']}").json()
    assert [row["email"] for row in first["results"]] == [BOB, BOB, "u2@example.net"]
    assert [row["email"] for row in second["results"]] == ["u1@example.net", "u0@example.net"]
    assert second["next"] is None


@pytest.mark.parametrize(
    "query", ["reason=x", "email=x", "nope=1", "email_type=x", "list=a+b", "scope=all"]
)
def test_a_bad_filter_is_refused_by_name(writer, query):
    answer = writer.get(f"/suppressions?{query}")
    assert answer.status_code in {400, 422}
    assert list(answer.json()["details"]) == [query.partition("=")[0]]


def test_one_is_read_and_removed_by_its_id(writer):
    made = writer.post("/suppressions", {"email": BOB}).json()
    assert writer.get(f"/suppressions/{made['id']}").json() == made
    assert writer.delete(f"/suppressions/{made['id']}").status_code == 204
    assert writer.delete(f"/suppressions/{made['id']}").status_code == 404
    assert writer.get("/suppressions/nonsense").status_code == 404


def test_an_address_is_freed_of_one_scope_or_of_all(writer):
    for scope in ({}, {"list": "spring"}, {"email_type": "marketing"}):
        writer.post("/suppressions", {"email": BOB, **scope})
    writer.post("/suppressions", {"email": "eve@example.net"})
    assert writer.delete(f"/suppressions?email={BOB}&list=spring").json() == {"removed": 1}
    assert writer.delete(f"/suppressions?email={BOB}").json() == {"removed": 2}
    assert writer.delete(f"/suppressions?email={BOB}").json() == {"removed": 0}
    assert Suppression.objects.get().address == "eve@example.net"


def test_the_suppression_of_all_mail_has_a_name_of_its_own(writer):
    for scope in ({}, {"list": "spring"}, {"email_type": "marketing"}, {"email_type": "*"}):
        writer.post("/suppressions", {"email": BOB, **scope})
    found = writer.get(f"/suppressions?email={BOB}&scope=all").json()["results"]
    assert [row["scope"] for row in found] == ["all"]
    assert writer.delete(f"/suppressions?email={BOB}&scope=all").json() == {"removed": 1}
    assert writer.delete(f"/suppressions?email={BOB}&scope=marketing").json() == {"removed": 1}
    assert scopes_of() == [("", "spring", "manual"), ("marketing", "", "manual")]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("email_type=", "email_type"),
        ("list=", "list"),
        ("scope=", "scope"),
        ("scope=list", "scope"),
        ("scope=all&list=spring", "scope"),
        ("email_type=marketing&list=spring", "list"),
    ],
)
def test_a_scope_that_is_none_removes_nothing(writer, query, field):
    writer.post("/suppressions", {"email": BOB})
    answer = writer.delete(f"/suppressions?email={BOB}&{query}")
    assert answer.status_code == 400
    assert list(answer.json()["details"]) == [field]
    assert Suppression.objects.count() == 1


def test_no_address_removes_nothing(writer):
    writer.post("/suppressions", {"email": BOB})
    for query in ("", "?list=spring", "?email="):
        assert writer.delete(f"/suppressions{query}").status_code in {400, 422}
    assert Suppression.objects.count() == 1


def test_writing_needs_its_scope(user: User):
    reader: Any = api_with(user, "suppressions:read")
    assert reader.get("/suppressions").status_code == 200
    assert reader.post("/suppressions", {"email": BOB}).status_code == 403
    assert reader.delete(f"/suppressions?email={BOB}").status_code == 403
    assert api_with(user, "emails:read").get("/suppressions").status_code == 403
