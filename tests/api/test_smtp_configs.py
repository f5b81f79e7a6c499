"""The SMTP accounts of a user."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from providers.models import Provider, ProviderUsage
from providers.quotas import windows
from tests.support.api import Api, mail
from tests.support.mail import drain, simulator, smtp_account
from tests.support.smtp_server import FaultyServer

pytestmark = pytest.mark.usefixtures("private_networks")

PASSWORD = "c0rrect-horse"
FULL = {
    "name": "relay",
    "email_address": "ann@example.com",
    "display_name": "Ann",
    "smtp_host": "smtp.example.com",
    "smtp_port": 2525,
    "username": "ann",
    "password": PASSWORD,
    "use_tls": True,
    "use_ssl": False,
    "active": True,
    "daily_limit": 1000,
    "hourly_limit": 100,
}
LEAST = {"email_address": "ann@example.com", "smtp_host": "smtp.example.com"}


def create(api: Api, **fields) -> Any:
    response = api.post("/smtp-configs", LEAST | fields)
    assert response.status_code == 201, response.content
    return response.json()


def test_an_account_is_created_and_shown_without_its_password(api: Api, user):
    response = api.post("/smtp-configs", FULL)
    assert response.status_code == 201
    stored = Provider.objects.get()
    shown = {name: value for name, value in FULL.items() if name != "password"}
    assert response.json() == shown | {
        "message": "The SMTP account is created.",
        "id": str(stored.pk),
        "config_id": str(stored.pk),
        "sent_count_today": 0,
        "sent_count_hour": 0,
        "last_sent": None,
        "shared": False,
        "created_at": stored.created_at.isoformat(),
        "updated_at": stored.updated_at.isoformat(),
    }
    assert response["Location"] == f"/api/v1/smtp-configs/{stored.pk}"
    assert (stored.owner_id, stored.secrets) == (user.pk, {"password": PASSWORD})
    read = api.get(f"/smtp-configs/{stored.pk}").json()
    assert read == {k: v for k, v in response.json().items() if k != "message"}


@pytest.mark.parametrize(
    ("given", "port", "use_tls", "use_ssl"),
    [
        ({}, 587, True, False),
        ({"use_ssl": True}, 465, False, True),
        ({"smtp_port": 465}, 465, False, True),
        ({"smtp_port": 2525}, 2525, False, False),
        ({"smtp_port": 587, "use_tls": False}, 587, False, False),
        ({"smtp_port": 465, "use_tls": True}, 465, True, False),
    ],
)
def test_the_port_says_how_it_is_secured_by_default(api: Api, given, port, use_tls, use_ssl):
    body = create(api, **given)
    assert (body["smtp_port"], body["use_tls"], body["use_ssl"]) == (port, use_tls, use_ssl)
    assert (body["name"], body["display_name"], body["active"]) == ("ann@example.com", "", True)
    assert (body["daily_limit"], body["hourly_limit"]) == (None, None)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"smtp_host": None}, "smtp_host"),
        ({"email_address": ""}, "email_address"),
        ({"email_address": "nope"}, "email_address"),
        ({"display_name": "Ann\r\nBcc: x"}, "display_name"),
        ({"smtp_host": "http://x/"}, "smtp_host"),
        ({"smtp_port": 0}, "smtp_port"),
        ({"smtp_port": "587"}, "smtp_port"),
        ({"use_tls": True, "use_ssl": True}, "use_ssl"),
        ({"use_tls": "yes"}, "use_tls"),
        ({"username": "ann"}, "password"),
        ({"password": "x"}, "username"),
        ({"username": "a\x00b", "password": "x"}, "username"),
        ({"daily_limit": 0}, "daily_limit"),
        ({"hourly_limit": -1}, "hourly_limit"),
        ({"hourly_limit": 1 << 40}, "hourly_limit"),
        ({"daily_limit": True}, "daily_limit"),
        ({"name": "x" * 101}, "name"),
        ({"name": 5}, "name"),
        ({"kind": "inbox"}, "kind"),
        ({"owner": "x"}, "owner"),
    ],
)
def test_a_wrong_field_is_named(api: Api, fields, field):
    response = api.post("/smtp-configs", LEAST | fields)
    assert response.status_code == 400, response.content
    assert list(response.json()["details"]) == [field]
    assert not Provider.objects.exists()


def test_a_name_is_taken_once_per_user(api: Api, other: Api):
    create(api, name="relay")
    create(other, name="relay")
    response = api.post("/smtp-configs", LEAST | {"name": "relay"})
    assert response.json()["details"]["name"][0]["code"] == "exists"


def test_put_replaces_everything_but_an_unmentioned_password(api: Api):
    config_id = create(api, **FULL)["config_id"]
    body = api.put(f"/smtp-configs/{config_id}", LEAST | {"username": "bob"}).json()
    assert body["message"] == "The SMTP account is updated."
    assert (body["name"], body["display_name"]) == ("ann@example.com", "")
    assert (body["smtp_port"], body["use_tls"], body["daily_limit"]) == (587, True, None)
    stored = Provider.objects.get()
    assert stored.settings["username"] == "bob"
    assert stored.secrets == {"password": PASSWORD}
    assert api.put(f"/smtp-configs/{config_id}", LEAST).status_code == 200
    assert Provider.objects.get().secrets is None
    response = api.put(f"/smtp-configs/{config_id}", {"name": "x"})
    assert list(response.json()["details"]) == ["email_address", "smtp_host"]


def test_put_takes_back_what_was_read(api: Api):
    config_id = create(api, **FULL)["config_id"]
    read = api.get(f"/smtp-configs/{config_id}").json()
    written = api.put(f"/smtp-configs/{config_id}", read)
    assert written.status_code == 200
    del read["updated_at"]
    assert {name: written.json()[name] for name in read} == read
    assert Provider.objects.get().secrets == {"password": PASSWORD}


def test_patch_changes_what_is_named(api: Api):
    before = create(api, **FULL)
    config_id = before["config_id"]
    response = api.patch(f"/smtp-configs/{config_id}", {"active": False, "hourly_limit": None})
    body = response.json()
    assert (body["active"], body["hourly_limit"]) == (False, None)
    same = before.keys() - {"active", "hourly_limit", "message", "updated_at"}
    assert {name: body[name] for name in same} == {name: before[name] for name in same}
    assert Provider.objects.get().secrets == {"password": PASSWORD}
    api.patch(f"/smtp-configs/{config_id}", {"password": "new"})
    assert Provider.objects.get().secrets == {"password": "new"}
    api.patch(f"/smtp-configs/{config_id}", {"username": ""})
    assert Provider.objects.get().secrets is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"smtp_host": ""}, "smtp_host"), ({"name": None}, "name"), ({"use_ssl": True}, "use_ssl")],
)
def test_a_patch_that_would_break_the_account_changes_nothing(api: Api, fields, field):
    config_id = create(api, **FULL)["config_id"]
    before = Provider.objects.values().get()
    response = api.patch(f"/smtp-configs/{config_id}", fields)
    assert list(response.json()["details"]) == [field]
    assert Provider.objects.values().get() == before


def test_settings_the_api_does_not_show_survive_a_put(api: Api):
    config_id = create(api, **FULL)["config_id"]
    stored = Provider.objects.get()
    stored.settings["verify_certificate"] = False
    stored.save()
    api.put(f"/smtp-configs/{config_id}", FULL)
    assert Provider.objects.get().settings["verify_certificate"] is False


def test_the_counts_are_those_of_the_running_windows(api: Api):
    config_id = create(api)["config_id"]
    frame = windows(timezone.now(), "UTC")
    usage = ProviderUsage.objects.create(
        provider_id=config_id,
        hour_start=frame.hour_start,
        hour_count=3,
        day_start=frame.day_start,
        month_start=frame.month_start,
        day_count=40,
        last_sent_at=frame.hour_start,
    )
    body = api.get(f"/smtp-configs/{config_id}").json()
    assert (body["sent_count_hour"], body["sent_count_today"]) == (3, 40)
    assert body["last_sent"] == frame.hour_start.isoformat()
    usage.hour_start = usage.day_start = frame.day_start - timedelta(days=2)
    usage.save()
    body = api.get(f"/smtp-configs/{config_id}").json()
    assert (body["sent_count_hour"], body["sent_count_today"]) == (0, 0)


def test_a_list_holds_own_and_shared_smtp_accounts_in_pages(api: Api, other: Api):
    mine = [create(api, name=str(number))["id"] for number in range(3)]
    create(other)
    simulator()
    shared = str(smtp_account(2525).pk)
    first = api.get("/smtp-configs?limit=2").json()
    second = api.get(f"/smtp-configs?limit=2&cursor={first['next']}").json()
    assert [item["id"] for item in first["results"]] == [shared, mine[2]]
    assert [item["id"] for item in second["results"]] == [mine[1], mine[0]]
    assert second["next"] is None
    assert [item["shared"] for item in first["results"]] == [True, False]
    assert list(api.get("/smtp-configs?page=2").json()["details"]) == ["page"]


def test_a_list_takes_one_statement_and_decrypts_nothing(api: Api):
    for number in range(4):
        create(api, name=str(number), username="ann", password=PASSWORD)
    with CaptureQueriesContext(connection) as captured:
        assert len(api.get("/smtp-configs").json()["results"]) == 4
    assert len(captured) == 1
    assert "secrets" not in captured[0]["sql"]


def test_shared_accounts_are_read_only(api: Api):
    config_id = smtp_account(2525).pk
    assert api.get(f"/smtp-configs/{config_id}").status_code == 200
    for method, data in (("PUT", LEAST), ("PATCH", {"active": False}), ("DELETE", None)):
        response = api.send(method, f"/smtp-configs/{config_id}", data)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert api.post(f"/smtp-configs/{config_id}/test").status_code == 403
    assert Provider.objects.get().is_active


def test_other_peoples_unknown_and_other_kinds_of_accounts_read_alike(api: Api, other: Api):
    foreign = create(other)["id"]
    inside = simulator().pk
    for method, data in (("GET", None), ("PUT", LEAST), ("PATCH", {}), ("DELETE", None)):
        answers = {
            (response.status_code, response.content)
            for response in (
                api.send(method, f"/smtp-configs/{config_id}", data)
                for config_id in (foreign, inside, uuid4(), "x")
            )
        }
        assert answers == {
            (404, b'{"code":"not_found","message":"There is no such SMTP account.","details":{}}')
        }
    assert Provider.objects.count() == 2
    assert api.post("/emails", mail(smtp_config_id=foreign)).status_code == 400


def test_an_unused_account_is_deleted(api: Api):
    config_id = create(api)["config_id"]
    response = api.delete(f"/smtp-configs/{config_id}")
    assert (response.status_code, response.content) == (204, b"")
    assert api.get(f"/smtp-configs/{config_id}").status_code == 404


def test_an_account_in_use_is_not_deleted(api: Api):
    config_id = create(api)["config_id"]
    api.post("/emails", mail(smtp_config_id=config_id))
    response = api.delete(f"/smtp-configs/{config_id}")
    assert (response.status_code, response.json()["code"]) == (409, "provider_in_use")
    assert Provider.objects.exists()


def test_the_password_is_in_no_answer(api: Api):
    # A port nobody listens on.
    config_id = create(api, **FULL | {"smtp_host": "127.0.0.1", "smtp_port": 1})["config_id"]
    path = f"/smtp-configs/{config_id}"
    answers = [
        api.post(f"{path}/test"),
        api.get(path),
        api.get("/smtp-configs"),
        api.put(path, FULL),
        api.patch(path, {"password": PASSWORD}),
        api.post("/smtp-configs", FULL),
        api.post("/smtp-configs", FULL | {"smtp_port": 0}),
        api.patch(path, {"password": PASSWORD, "smtp_port": "x"}),
        api.patch(path, {"password": PASSWORD + "\x00"}),
        api.patch(path, {"password": [PASSWORD]}),
    ]
    assert all(PASSWORD.encode() not in response.content for response in answers)


def test_an_account_is_tried_out(api: Api):
    with FaultyServer() as server:
        config_id = create(api, smtp_host="127.0.0.1", smtp_port=server.port)["config_id"]
        response = api.post(f"/smtp-configs/{config_id}/test")
        assert not server.mails
    assert response.status_code == 200
    assert (response.json()["success"], response.json()["reason"]) == (True, None)
    response = api.post(f"/smtp-configs/{config_id}/test")
    assert response.status_code == 200
    assert (response.json()["success"], response.json()["reason"]) == (False, "connection")


def test_mail_goes_through_the_account_named(api: Api):
    with FaultyServer() as server:
        config_id = create(api, smtp_host="127.0.0.1", smtp_port=server.port)["config_id"]
        sent = api.post("/emails", mail(smtp_config_id=config_id)).json()
        assert sent["smtp_config"] == config_id
        drain()
        assert [found.recipients for found in server.mails] == [["bob@example.net"]]
    assert api.get(f"/emails/{sent['id']}").json()["status"] == "sent"
    body = api.get(f"/smtp-configs/{config_id}").json()
    assert (body["sent_count_today"], body["sent_count_hour"]) == (1, 1)
    assert body["last_sent"] is not None


def test_mail_without_a_sender_goes_under_the_account_s_own(api: Api):
    create(api, **FULL)
    data = mail()
    del data["from"]
    body = api.post("/emails", data).json()
    assert (body["sender"], body["sender_name"]) == ("ann@example.com", "Ann")


def test_a_stored_password_does_not_move_to_another_host(api: Api):
    config_id = create(api, username="ann", password="hunter2")["config_id"]
    response = api.patch(f"/smtp-configs/{config_id}", {"smtp_host": "other.example.com"})
    assert response.status_code == 400
    assert list(response.json()["details"]) == ["password"]
    changes = {"smtp_host": "other.example.com", "password": "hunter2"}
    assert api.patch(f"/smtp-configs/{config_id}", changes).status_code == 200
