"""Verifications by API."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from accounts.services import create_api_key
from delivery.models import Message, Suppression
from mailservice.core.broker import redis_client
from templates_app.services import create_template, publish, save_draft
from tests.support.api import Api, api_with
from tests.support.verification import QUEUE, let_pass
from verification.models import Verification, VerificationProfile
from verification.signals import verified

SETTINGS = {"app_name": "", "from_email": "", "template": "", "redirects": []}


@pytest.fixture(autouse=True)
def _queue(settings: Any) -> None:
    settings.EMAIL_BACKEND = QUEUE


def create(api: Api, email: str = "bob@example.net", **fields: Any) -> Any:
    response = api.post("/verifications", {"email": email, **fields})
    assert response.status_code == 202, response.content
    return response.json()


def test_a_verification_is_started_and_read_without_its_link(api, user):
    body = create(api, "Bob@EXAMPLE.net", locale="de_AT", metadata={"a": [1]}, expires_in=120)
    row = Verification.objects.get()
    assert body == {
        "id": str(row.pk),
        "email": "Bob@example.net",
        "status": "pending",
        "locale": "de-AT",
        "template": None,
        "redirect_url": None,
        "metadata": {"a": [1]},
        "created_at": row.created_at.isoformat(),
        "expires_at": row.expires_at.isoformat(),
        "confirmed_at": None,
        "mail_count": 1,
        "last_mail_at": row.created_at.isoformat(),
    }
    assert (row.expires_at - row.created_at).total_seconds() == 120
    assert row.owner_id == user.pk
    read = api.get(f"/verifications/{row.pk}")
    assert read.json() == body


def test_known_unknown_and_suppressed_addresses_get_the_same_answer(api, user):
    Suppression.objects.create(address="gone@example.net", reason="manual")
    answers = [create(api, email) for email in (user.email, "new@example.net", "gone@example.net")]
    shapes = [
        {key: value for key, value in body.items() if not key.endswith("_at")} for body in answers
    ]
    for shape in shapes:
        del shape["id"], shape["email"]
    assert shapes[0] == shapes[1] == shapes[2]
    assert Message.objects.count() == 3


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"email": None}, "email"),
        ({"email": "nope"}, "email"),
        ({"email": ["a@example.net"]}, "email"),
        ({"email": "a@example.net\r\nBcc: b@example.net"}, "email"),
        ({"expires_in": 59}, "expires_in"),
        ({"expires_in": 604801}, "expires_in"),
        ({"expires_in": "3600"}, "expires_in"),
        ({"expires_in": True}, "expires_in"),
        ({"locale": "not a tag"}, "locale"),
        ({"template": "a b"}, "template"),
        ({"template": "missing"}, "template"),
        ({"metadata": [1]}, "metadata"),
        ({"metadata": {"a": "x" * 9000}}, "metadata"),
        ({"metadata": {"a": "\x00"}}, "metadata"),
        ({"metadata": {"\x00": "a"}}, "metadata"),
        ({"metadata": {"a": [{"b": 1e20}]}}, "metadata"),
        ({"metadata": {"a": -1e19}}, "metadata"),
        ({"redirect_url": "https://evil.example/"}, "redirect_url"),
        ({"token": "x"}, "token"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_happens(api, fields, field):
    response = api.post("/verifications", {"email": "bob@example.net", **fields})
    assert response.status_code == 400, response.content
    assert list(response.json()["details"]) == [field]
    assert not Verification.objects.exists()
    assert not Message.objects.exists()


def test_metadata_too_deep_to_be_kept_is_refused(api):
    deep = "[" * 300 + "]" * 300
    response = api.post(
        "/verifications", f'{{"email": "bob@example.net", "metadata": {{"a": {deep}}}}}'
    )
    assert response.status_code == 400
    assert response.json()["details"]["metadata"][0]["code"] == "too_deep"
    assert not Verification.objects.exists()


def test_metadata_comes_back_as_it_was_given(api):
    given = {"\\u0000": "\\u0000", "most": 2**64 - 1, "least": -(2**63), "half": 0.5, "far": 9e18}
    made = create(api, metadata=given)
    assert api.get(f"/verifications/{made['id']}").json()["metadata"] == given
    assert api.get("/verifications").json()["results"][0]["metadata"] == given


def test_lists_are_narrowed_by_address_and_status(api, other):
    first = create(api)["id"]
    second = create(api, "BOB@example.net")["id"]
    third = create(api, "carol@example.net")["id"]
    create(other)
    let_pass(Verification.objects.get(pk=third), hours=2)

    def ids(query: str = "") -> list[str]:
        return [row["id"] for row in api.get(f"/verifications{query}").json()["results"]]

    assert ids() == [third, second, first]
    assert ids("?email=Bob@Example.net") == [second, first]
    assert ids("?status=pending") == [second]
    assert ids("?status=superseded&email=bob@example.net") == [first]
    assert ids("?status=expired") == [third]
    assert api.get(f"/verifications/{third}").json()["status"] == "expired"
    page = api.get("/verifications?limit=2").json()
    assert ids(f"?limit=2&cursor={page['next']}") == [first]
    for query in ("?status=odd", "?email=%00", "?nope=1", "?limit=0"):
        assert api.get(f"/verifications{query}").status_code == 400


def test_a_resend_too_early_is_told_when_to_come_back(api):
    made = create(api)
    response = api.post(f"/verifications/{made['id']}/resend")
    assert response.status_code == 429
    assert response.json()["code"] == "rate_limited"
    assert 1 <= int(response["Retry-After"]) <= 60
    let_pass(Verification.objects.get(), seconds=60)
    response = api.post(f"/verifications/{made['id']}/resend")
    assert response.status_code == 202
    assert response.json()["mail_count"] == 2


def test_a_cancelled_one_stays_cancelled(api):
    made = create(api)
    assert api.post(f"/verifications/{made['id']}/cancel").json()["status"] == "cancelled"
    for verb in ("cancel", "resend"):
        response = api.post(f"/verifications/{made['id']}/{verb}")
        assert (response.status_code, response.json()["code"]) == (409, "wrong_state")


def test_others_do_not_exist_for_you(api, other):
    made = create(api)
    for method, path in (("GET", ""), ("POST", "/resend"), ("POST", "/cancel")):
        response = other.send(method, f"/verifications/{made['id']}{path}")
        assert response.status_code == 404
        assert api.send(method, f"/verifications/nonsense{path}").status_code == 404
    assert Verification.objects.get().state == "pending"


def test_a_key_starts_so_many_an_hour(api, settings):
    settings.VERIFICATIONS_PER_KEY = 2
    for number in range(2):
        create(api, f"a{number}@example.net")
    response = api.post("/verifications", {"email": "c@example.net"})
    assert response.status_code == 429
    assert 1 <= int(response["Retry-After"]) <= 3600


def test_an_address_is_not_bombed(api, settings):
    settings.VERIFICATIONS_PER_ADDRESS = 2
    create(api)
    create(api)
    response = api.post("/verifications", {"email": "BOB@example.net"})
    assert response.status_code == 429
    assert 3590 <= int(response["Retry-After"]) <= 3600


def test_an_idempotent_request_sends_one_mail(api):
    answers = [
        api.post("/verifications", {"email": "bob@example.net"}, key="once") for _ in range(3)
    ]
    assert len({answer.content for answer in answers}) == 1
    assert Message.objects.count() == 1


def test_a_test_key_sends_nothing(user):
    secret = create_api_key(user=user, name="t", is_test=True).secret
    create(Api(secret))
    assert Message.objects.get().is_test
    assert Verification.objects.get().is_test


def test_a_test_key_gets_the_link_that_no_mail_brings(user, settings, caplog):
    settings.PUBLIC_URL = "https://mail.example.com"
    api = Api(create_api_key(user=user, name="t", is_test=True).secret)
    told = []

    def listen(verification: Verification, **_: object) -> None:
        told.append((str(verification.pk), verification.is_test))

    verified.connect(listen)
    try:
        with caplog.at_level(logging.DEBUG):
            made = create(api, locale="de")
            let_pass(Verification.objects.get(), minutes=2)
            again = api.post(f"/verifications/{made['id']}/resend").json()
            links = [one["verification_url"] for one in (made, again)]
            paths = [link.removeprefix("https://mail.example.com") for link in links]
            assert [path[-8:] for path in paths] == ["?lang=de", "?lang=de"]
            assert [Client().post(path).status_code for path in paths] == [410, 200]
    finally:
        verified.disconnect(listen)
    read = api.get(f"/verifications/{made['id']}").json()
    assert (read["status"], "verification_url" in read) == ("confirmed", False)
    assert told == [(made["id"], True)]
    assert not [path for path in paths if path[:51] in caplog.text]


def test_nobody_gets_the_link_of_a_verification_in_earnest(api, user):
    made = create(api)
    let_pass(Verification.objects.get(), minutes=2)
    tester = Api(create_api_key(user=user, name="t", is_test=True).secret)
    refused = tester.post(f"/verifications/{made['id']}/resend")
    assert (refused.status_code, refused.json()["code"]) == (409, "test_key")
    assert Message.objects.count() == 1
    again = api.post(f"/verifications/{made['id']}/resend")
    assert again.status_code == 202
    assert not [one for one in (made, again.json()) if "verification_url" in one]
    # One that a test key began is a test, whoever repeats it.
    test = create(tester, "eve@example.net")
    let_pass(Verification.objects.get(pk=test["id"]), minutes=2)
    assert "verification_url" in api.post(f"/verifications/{test['id']}/resend").json()
    assert Message.objects.filter(is_test=False).count() == 2


def test_scopes_keep_reading_writing_and_settings_apart(user):
    reader = api_with(user, "verifications:read")
    writer = api_with(user, "verifications:write")
    assert reader.get("/verifications").status_code == 200
    assert reader.post("/verifications", {"email": "b@example.net"}).status_code == 403
    assert writer.get("/verifications").status_code == 403
    assert writer.patch("/verifications/settings", {}).status_code == 403


def test_settings_are_read_and_changed(user):
    api = api_with(user, "verifications:settings", "verifications:read", "verifications:write")
    assert api.get("/verifications/settings").json() == SETTINGS
    wanted = {
        "app_name": "Shop",
        "redirects": ["HTTPS://App.example.com/in", "http://localhost:3000"],
    }
    body = api.patch("/verifications/settings", wanted).json()
    assert body == SETTINGS | {
        "app_name": "Shop",
        "redirects": ["https://app.example.com/in", "http://localhost:3000/"],
    }
    assert api.patch("/verifications/settings", {"from_email": "a@example.com"}).json() == (
        body | {"from_email": "a@example.com"}
    )
    made = create(api, redirect_url="https://app.example.com/in/x")
    assert made["redirect_url"] == "https://app.example.com/in/x"
    for fields, field in (
        ({"redirects": ["x"]}, "redirects[0]"),
        ({"redirects": "x"}, "redirects"),
        ({"app_name": 5}, "app_name"),
        ({"template": "a b"}, "template"),
        ({"template": "missing"}, "template"),
        ({"owner": 1}, "owner"),
    ):
        response = api.patch("/verifications/settings", fields)
        assert list(response.json()["details"]) == [field]
    assert VerificationProfile.objects.get().app_name == "Shop"


def test_settings_name_only_templates_that_mail_can_be_written_with(other: Api, user: User) -> None:
    api, path = api_with(user, "verifications:settings"), "/verifications/settings"

    def faults(name: str) -> Any:
        return api.patch(path, {"template": name}).json()["details"]["template"]

    sentence = "There is no published template 'welcome'."
    assert faults("welcome") == [{"code": "not_found", "message": sentence}]
    other.post("/templates", {"name": "welcome"})
    template = create_template(owner_id=user.pk, slug="own")
    save_draft(template_id=template.pk, locale="", subject="Hi", html="", text="x")
    assert faults("welcome")[0]["code"] == faults("own")[0]["code"] == "not_found"
    publish(template_id=template.pk)
    assert api.patch(path, {"template": "own"}).json()["template"] == "own"
    assert api.patch(path, {"template": str(template.pk)}).status_code == 200
    assert api.patch(path, {"template": None}).json()["template"] == ""
    # What was right once hinders no other change.
    VerificationProfile.objects.update(template="gone")
    assert api.patch(path, {"app_name": "Shop"}).json()["template"] == "gone"


def test_without_broker_mails_are_still_limited_per_address(api, settings, monkeypatch):
    settings.VERIFICATIONS_PER_ADDRESS = 1
    redis_client.cache_clear()
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
    try:
        create(api)
        assert api.post("/verifications", {"email": "bob@example.net"}).status_code == 429
    finally:
        redis_client.cache_clear()
        monkeypatch.undo()
