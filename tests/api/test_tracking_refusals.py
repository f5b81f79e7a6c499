"""Refusals of tracking by API."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from delivery.models import TrackingRefusal
from tests.support.api import Api, api_with

BOB = "bob@example.net"
PATH = "/tracking-refusals"


@pytest.fixture
def writer(user: User) -> Api:
    return api_with(user, "suppressions:read", "suppressions:write")


def test_one_address_refuses_once(writer: Api) -> None:
    made = writer.post(PATH, {"email": "Bob@Example.NET"})
    row = TrackingRefusal.objects.get()
    assert made.status_code == 201
    assert made.json() == {"email": BOB, "created_at": row.created_at.isoformat()}
    again = writer.post(PATH, {"email": BOB})
    assert (again.status_code, again.json()) == (200, made.json())


def test_many_are_carried_over_with_one_request(writer: Api) -> None:
    emails = [f"u{number}@example.net" for number in range(999)]
    answer = writer.post(PATH, {"emails": [*emails, "U5@example.net"]})
    assert (answer.status_code, answer.json()) == (201, {"added": 999, "present": 0})
    again = writer.post(PATH, {"emails": [*emails[:5], BOB]})
    assert (again.status_code, again.json()) == (201, {"added": 1, "present": 5})


def test_the_list_goes_by_address_in_pages(writer: Api) -> None:
    writer.post(PATH, {"emails": [f"u{number}@example.net" for number in (2, 0, 3, 1)]})
    first = writer.get(f"{PATH}?limit=3").json()
    second = writer.get(f"{PATH}?limit=3&cursor={first['next']}").json()
    found = [row["email"] for page in (first, second) for row in page["results"]]
    assert found == [f"u{number}@example.net" for number in range(4)]
    assert second["next"] is None
    one = writer.get(f"{PATH}?email=U2@example.net").json()["results"]
    assert [row["email"] for row in one] == ["u2@example.net"]


def test_a_refusal_is_removed(writer: Api) -> None:
    writer.post(PATH, {"emails": [BOB, "eve@example.net"]})
    assert writer.delete(f"{PATH}?email={BOB}").json() == {"removed": 1}
    assert writer.delete(f"{PATH}?email={BOB}").json() == {"removed": 0}
    assert TrackingRefusal.objects.get().address == "eve@example.net"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"email": "nobody"}, "email"),
        ({"email": BOB, "emails": [BOB]}, "emails"),
        ({"emails": [BOB, 7]}, "emails[1]"),
        ({"email": BOB, "reason": "manual"}, "reason"),
    ],
)
def test_bad_input_is_refused_by_name_and_writes_nothing(
    writer: Api, body: dict[str, Any], field: str
) -> None:
    answer = writer.post(PATH, body)
    assert answer.status_code == 400
    assert list(answer.json()["details"]) == [field]
    assert not TrackingRefusal.objects.exists()


@pytest.mark.parametrize("query", ["email=x", "nope=1", "cursor=%C3%A4", "cursor=AA", "cursor=x"])
def test_a_bad_parameter_is_refused_by_name(writer: Api, query: str) -> None:
    answer = writer.get(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert list(answer.json()["details"]) == [query.partition("=")[0]]


def test_removing_takes_an_address(writer: Api) -> None:
    writer.post(PATH, {"email": BOB})
    for query in ("", "?email=", "?email=x", f"?email={BOB}&address={BOB}"):
        assert writer.delete(f"{PATH}{query}").status_code == 400
    assert TrackingRefusal.objects.exists()


def test_writing_needs_its_scope(user: User) -> None:
    reader = api_with(user, "suppressions:read")
    assert reader.get(PATH).status_code == 200
    assert reader.post(PATH, {"email": BOB}).status_code == 403
    assert reader.delete(f"{PATH}?email={BOB}").status_code == 403
    assert api_with(user, "emails:read").get(PATH).status_code == 403
