"""The provider accounts of a user, of every kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from accounts.scopes import Scope
from providers.models import BreakerState, Provider, ProviderHealth, ProviderUsage
from providers.quotas import windows
from tests.support.api import Api, api_with, mail
from tests.support.mail import simulator
from tests.support.smtp_server import FaultyServer

MARKER = "s3cr3t-marker-3f9a"
SMTP = {"kind": "smtp", "name": "relay", "settings": {"host": "smtp.example.com"}}
SMTP_LOGIN = {
    "kind": "smtp",
    "name": "relay",
    "settings": {"host": "smtp.example.com", "username": "ann", "use_tls": True},
    "secrets": {"password": MARKER},
}
SENDGRID = {"kind": "sendgrid", "name": "grid", "secrets": {"api_key": MARKER}}
COLUMNS = {
    "from_email": "shop@example.com",
    "from_name": "Łódź Shop",
    "return_path": "bounces@example.com",
    "is_active": False,
    "position": 7,
    "hourly_limit": 100,
    "daily_limit": 1000,
    "monthly_limit": 20000,
    "time_zone": "Europe/Warsaw",
    "priority_reserve": 10,
    "rate_per_second": 2.5,
    "warm_up": {"starts_on": "2026-03-01", "daily": [50, 100]},
    "max_connections": 3,
    "max_messages_per_connection": 50,
    "from_domains": ["example.com", "*.example.org"],
    "requires_alignment": True,
    "max_message_bytes": 1000000,
    "takes_attachments": False,
    "price_per_thousand": "0.85",
    "free_per_month": 500,
    "price_tiers": [{"above": 100000, "price_per_thousand": "0.8"}],
    "monthly_fee": "15.00",
    "retry_first_seconds": 30,
    "retry_max_seconds": 600,
}
DEFAULTS = {
    "from_email": "",
    "from_name": "",
    "return_path": "",
    "is_active": True,
    "position": 100,
    "hourly_limit": None,
    "daily_limit": None,
    "monthly_limit": None,
    "time_zone": "UTC",
    "priority_reserve": 5,
    "rate_per_second": None,
    "warm_up": None,
    "max_connections": 10,
    "max_messages_per_connection": 0,
    "from_domains": [],
    "requires_alignment": False,
    "max_message_bytes": None,
    "takes_attachments": True,
    "price_per_thousand": "0.00",
    "free_per_month": 0,
    "price_tiers": [],
    "monthly_fee": "0.00",
    "retry_first_seconds": None,
    "retry_max_seconds": None,
}


def create(api: Api, **fields: Any) -> Any:
    response = api.post("/providers", SMTP | fields)
    assert response.status_code == 201, response.content
    return response.json()


def faults(response: Any) -> dict[str, str]:
    assert response.status_code == 400, response.content
    return {path: found[0]["code"] for path, found in response.json()["details"].items()}


# --- create and read ------------------------------------------------------------------------------


def test_an_account_is_created_with_all_its_columns_and_without_showing_its_secret(
    api: Api, user: User
) -> None:
    response = api.post("/providers", SMTP_LOGIN | COLUMNS)
    assert response.status_code == 201, response.content
    stored = Provider.objects.get()
    now = timezone.now()
    frame = windows(now, "Europe/Warsaw")
    body = response.json()
    quotas = body["state"].pop("quotas")
    assert body == {
        "message": "The provider is created.",
        "id": str(stored.pk),
        "kind": "smtp",
        "name": "relay",
        **COLUMNS,
        "settings": SMTP_LOGIN["settings"],
        "secrets": {"password": {"is_set": True}},
        "shared": False,
        "state": {
            "breaker": {"state": "closed", "reason": None, "since": None, "retry_at": None},
            "last_sent_at": None,
        },
        "created_at": stored.created_at.isoformat(),
        "updated_at": stored.updated_at.isoformat(),
    }
    assert quotas["month"] == {
        "used": 0,
        "reserved": 0,
        "limit": 20000,
        "remaining": 20000,
        "kept_for_urgent": 2000,
        "resets_at": frame.month_end.isoformat(),
    }
    assert response["Location"] == f"/api/v1/providers/{stored.pk}"
    assert (stored.owner_id, stored.secrets) == (user.pk, {"password": MARKER})
    assert stored.price_per_thousand == Decimal("0.85")
    read = api.get(f"/providers/{stored.pk}").json()
    del read["state"], body["state"], body["message"]
    assert read == body


def test_the_least_is_a_kind_a_name_and_what_the_kind_needs(api: Api) -> None:
    body = create(api)
    assert {name: body[name] for name in DEFAULTS} == DEFAULTS
    assert body["secrets"] == {"password": {"is_set": False}}
    assert create(api, kind="inbox", name="inbox", settings={})["settings"] == {}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": None}, {"kind": "required"}),
        ({"kind": "pigeon"}, {"kind": "invalid_choice"}),
        ({"kind": ["smtp"]}, {"kind": "invalid_choice"}),
        ({"name": None}, {"name": "required"}),
        ({"name": "  "}, {"name": "required"}),
        ({"name": 5}, {"name": "invalid_type"}),
        ({"name": "a\x00b"}, {"name": "invalid_type"}),
        ({"name": "x" * 101}, {"name": "too_long"}),
        ({"owner": "x"}, {"owner": "unknown_field"}),
        ({"password": MARKER}, {"password": "unknown_field"}),
        ({"settings": "x"}, {"settings": "invalid_type"}),
        ({"settings": {}}, {"settings.host": "required"}),
        ({"settings": {"host": "http://x/"}}, {"settings.host": "invalid"}),
        ({"settings": {"host": "x", "hots": 1}}, {"settings.hots": "unknown_field"}),
        (
            {"settings": {"host": "x", "username": "a\x00b"}, "secrets": {"password": "x"}},
            {"settings.username": "invalid"},
        ),
        ({"secrets": MARKER}, {"secrets": "invalid_type"}),
        ({"secrets": {"password": 5}}, {"secrets.password": "invalid_type"}),
        ({"secrets": {"password": [MARKER]}}, {"secrets.password": "invalid_type"}),
        ({"secrets": {"api_key": MARKER}}, {"secrets.api_key": "unknown_field"}),
        ({"secrets": {"password": MARKER}}, {"settings.username": "required"}),
        ({"kind": "inbox"}, {"settings.host": "unknown_field"}),
        ({"kind": "sendgrid", "settings": {}}, {"secrets.api_key": "required"}),
        ({"from_email": "nope"}, {"from_email": "invalid_email"}),
        ({"from_name": "A\r\nBcc: x"}, {"from_name": "invalid_name"}),
        ({"is_active": "yes"}, {"is_active": "invalid_type"}),
        ({"hourly_limit": "5"}, {"hourly_limit": "invalid_type"}),
        ({"hourly_limit": 0}, {"hourly_limit": "out_of_range"}),
        ({"daily_limit": True}, {"daily_limit": "invalid_type"}),
        ({"monthly_limit": 1 << 40}, {"monthly_limit": "out_of_range"}),
        ({"monthly_limit": float(1 << 70)}, {"monthly_limit": "invalid_type"}),
        ({"position": 1.5}, {"position": "invalid_type"}),
        ({"time_zone": "Mars/Base"}, {"time_zone": "invalid"}),
        ({"priority_reserve": 51}, {"priority_reserve": "out_of_range"}),
        ({"rate_per_second": "5"}, {"rate_per_second": "invalid_type"}),
        ({"rate_per_second": 0}, {"rate_per_second": "out_of_range"}),
        ({"warm_up": [50]}, {"warm_up": "invalid_type"}),
        ({"warm_up": {"daily": [50]}}, {"warm_up": "invalid"}),
        ({"max_connections": 0}, {"max_connections": "out_of_range"}),
        ({"from_domains": "example.com"}, {"from_domains": "invalid_type"}),
        ({"from_domains": [5]}, {"from_domains[0]": "invalid_type"}),
        ({"requires_alignment": "yes"}, {"requires_alignment": "invalid_type"}),
        ({"return_path": 5}, {"return_path": "invalid_type"}),
        ({"return_path": "bounces"}, {"return_path": "invalid_email"}),
        ({"return_path": f"{'x' * 19}@example.com"}, {"return_path": "too_long"}),
        (
            {"kind": "simulator", "settings": {}, "return_path": "b@example.com"},
            {"return_path": "not_allowed"},
        ),
        ({"from_domains": ["x@y"]}, {"from_domains[0]": "invalid_domain"}),
        ({"takes_attachments": 1}, {"takes_attachments": "invalid_type"}),
        ({"price_per_thousand": "cheap"}, {"price_per_thousand": "invalid_type"}),
        ({"price_per_thousand": "NaN"}, {"price_per_thousand": "invalid_type"}),
        ({"price_per_thousand": "Infinity"}, {"price_per_thousand": "invalid_type"}),
        ({"price_per_thousand": True}, {"price_per_thousand": "invalid_type"}),
        ({"price_per_thousand": "0.0000001"}, {"price_per_thousand": "invalid_type"}),
        ({"price_per_thousand": "1e999"}, {"price_per_thousand": "out_of_range"}),
        ({"price_per_thousand": -1}, {"price_per_thousand": "out_of_range"}),
        ({"free_per_month": -1}, {"free_per_month": "out_of_range"}),
        ({"price_tiers": [5]}, {"price_tiers[0]": "invalid_type"}),
        ({"price_tiers": [{"above": 5}]}, {"price_tiers": "invalid"}),
        ({"monthly_fee": "1.005"}, {"monthly_fee": "invalid_type"}),
        ({"monthly_fee": {}}, {"monthly_fee": "invalid_type"}),
    ],
)
def test_a_wrong_field_is_named(api: Api, fields: Any, expected: dict[str, str]) -> None:
    assert faults(api.post("/providers", SMTP | fields)) == expected
    assert not Provider.objects.exists()


def test_unknown_names_come_with_those_that_are_known(api: Api) -> None:
    body = {**SMTP, "colour": 1, "settings": {"hots": 1}, "secrets": {"key": "x"}}
    details = api.post("/providers", body).json()["details"]
    assert "daily_limit" in details["colour"][0]["message"]
    assert details["settings.hots"][0]["message"] == (
        "There is no such setting; known are: allow_plaintext_auth, ehlo_name, "
        "final_timeout_seconds, host, port, timeout_seconds, use_ssl, use_tls, username, "
        "verify_certificate."
    )
    assert details["secrets.key"][0]["message"] == "There is no such secret; known are: password."
    kind = api.post("/providers", {"kind": "x", "name": "x"}).json()["details"]["kind"][0]
    assert "amazon_ses" in kind["message"]


def test_deep_nesting_is_refused_calmly(api: Api) -> None:
    deep = "[" * 900 + "]" * 900
    for name in ("rules", "latency_ms"):
        body = f'{{"kind": "simulator", "name": "x", "settings": {{"{name}": {deep}}}}}'
        assert api.post("/providers", body).status_code == 400


def test_a_creation_is_done_once_per_idempotency_key(api: Api) -> None:
    first = api.post("/providers", SMTP_LOGIN, key="once")
    second = api.post("/providers", SMTP_LOGIN, key="once")
    assert (first.status_code, first.content) == (201, second.content)
    assert Provider.objects.count() == 1
    again = api.post("/providers", SMTP_LOGIN)
    assert faults(again) == {"name": "exists"}


# --- change ---------------------------------------------------------------------------------------


def test_put_takes_back_what_was_read(api: Api) -> None:
    provider_id = create(api, **SMTP_LOGIN | COLUMNS)["id"]
    read = api.get(f"/providers/{provider_id}").json()
    written = api.put(f"/providers/{provider_id}", read)
    assert written.status_code == 200, written.content
    assert written.json()["message"] == "The provider is updated."
    del read["updated_at"], read["state"]
    assert {name: written.json()[name] for name in read} == read
    assert Provider.objects.get().secrets == {"password": MARKER}


def test_put_replaces_everything_but_secrets(api: Api) -> None:
    provider_id = create(api, **SMTP_LOGIN | COLUMNS)["id"]
    settings = {"host": "smtp.example.com", "username": "bob", "port": None}
    body = api.put(f"/providers/{provider_id}", {"name": "new", "settings": settings}).json()
    assert {name: body[name] for name in DEFAULTS} == DEFAULTS
    assert body["settings"] == {"host": "smtp.example.com", "username": "bob"}
    assert Provider.objects.get().secrets == {"password": MARKER}
    assert faults(api.put(f"/providers/{provider_id}", {"settings": settings})) == {
        "name": "required"
    }
    assert faults(api.put(f"/providers/{provider_id}", {"name": "x"})) == {
        "settings.host": "required"
    }


def test_patch_changes_what_is_named(api: Api) -> None:
    before = create(api, **SMTP_LOGIN | COLUMNS)
    path = f"/providers/{before['id']}"
    changes = {
        "hourly_limit": None,
        "position": None,
        "price_per_thousand": 1,
        "settings": {"port": 2525, "use_tls": None},
    }
    body = api.patch(path, changes).json()
    assert (body["hourly_limit"], body["position"]) == (None, 100)
    assert body["price_per_thousand"] == "1.00"
    assert body["settings"] == {"host": "smtp.example.com", "username": "ann", "port": 2525}
    same = before.keys() - changes.keys() - {"message", "updated_at", "state"}
    assert {name: body[name] for name in same} == {name: before[name] for name in same}
    assert Provider.objects.get().secrets == {"password": MARKER}
    api.patch(path, {"secrets": {"password": "new"}})
    assert Provider.objects.get().secrets == {"password": "new"}
    api.patch(path, {"secrets": {"password": {"is_set": False}}})
    assert Provider.objects.get().secrets == {"password": "new"}
    body = api.patch(path, {"settings": {"username": None}, "secrets": {"password": None}}).json()
    assert body["secrets"] == {"password": {"is_set": False}}
    assert Provider.objects.get().secrets is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": ""}, {"name": "required"}),
        ({"kind": "inbox"}, {"kind": "read_only"}),
        ({"settings": {"host": None}}, {"settings.host": "required"}),
        ({"settings": {"use_ssl": True}}, {"settings.use_ssl": "conflict"}),
        ({"settings": {"host": "evil.example.com"}}, {"secrets.password": "required"}),
        ({"secrets": {"password": None}}, {"secrets.password": "required"}),
        ({"daily_limit": 0}, {"daily_limit": "out_of_range"}),
    ],
)
def test_a_patch_that_would_break_the_account_changes_nothing(
    api: Api, fields: Any, expected: dict[str, str]
) -> None:
    provider_id = create(api, **SMTP_LOGIN)["id"]
    before = Provider.objects.values().get()
    assert faults(api.patch(f"/providers/{provider_id}", fields)) == expected
    assert Provider.objects.values().get() == before


def test_the_kind_may_be_repeated(api: Api) -> None:
    provider_id = create(api)["id"]
    assert api.patch(f"/providers/{provider_id}", {"kind": "smtp"}).status_code == 200


# --- lists, state ---------------------------------------------------------------------------------


def test_a_list_holds_own_and_shared_accounts_in_pages(api: Api, other: Api) -> None:
    mine = [create(api, name=str(number))["id"] for number in range(2)]
    create(other)
    shared = str(simulator().pk)
    first = api.get("/providers?limit=2").json()
    second = api.get(f"/providers?limit=2&cursor={first['next']}").json()
    assert [item["id"] for item in first["results"]] == [shared, mine[1]]
    assert [item["id"] for item in second["results"]] == [mine[0]]
    assert second["next"] is None
    assert [item["shared"] for item in first["results"]] == [True, False]
    of_kind = api.get("/providers?kind=simulator").json()["results"]
    assert [item["id"] for item in of_kind] == [shared]
    assert faults(api.get("/providers?kind=pigeon")) == {"kind": "invalid_choice"}
    assert faults(api.get("/providers?page=2")) == {"page": "unknown_field"}


def test_a_list_takes_one_statement(api: Api) -> None:
    for number in range(4):
        create(api, **SMTP_LOGIN | {"name": str(number)})
    with CaptureQueriesContext(connection) as captured:
        results = api.get("/providers").json()["results"]
    assert [item["secrets"] for item in results] == [{"password": {"is_set": True}}] * 4
    assert len(captured) == 1


def test_an_account_whose_secrets_no_key_reads_is_still_shown(
    api: Api, settings: LazySettings
) -> None:
    provider_id = create(api, **SMTP_LOGIN)["id"]
    create(api, name="sound")
    settings.ENCRYPTION_KEYS = ["T1RIRVJPVEhFUk9USEVST1RIRVJPVEhFUk9USEVST1Q="]
    sound, lost = api.get("/providers").json()["results"]
    assert lost["secrets"] == {"password": {"is_set": None}}
    assert sound["secrets"] == {"password": {"is_set": False}}
    body = api.post(f"/providers/{provider_id}/test").json()
    assert (body["success"], body["reason"]) == (False, "settings")


def test_the_state_shows_breaker_quotas_and_the_last_mail(api: Api) -> None:
    provider_id = create(api, hourly_limit=100, time_zone="Asia/Kolkata")["id"]
    frame = windows(timezone.now(), "Asia/Kolkata")
    last = timezone.now() - timedelta(minutes=1)
    ProviderUsage.objects.create(
        provider_id=provider_id,
        hour_start=frame.hour_start,
        hour_count=30,
        day_start=frame.day_start,
        day_count=40,
        month_start=frame.month_start,
        month_count=50,
        reserved=8,
        last_sent_at=last,
    )
    since, retry_at = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
    health = ProviderHealth.objects.create(
        provider_id=provider_id,
        state=BreakerState.HALF_OPEN,
        reason="authentication",
        detail="535 go away",
        since=since,
        retry_at=retry_at,
    )
    state = api.get(f"/providers/{provider_id}").json()["state"]
    assert state["last_sent_at"] == last.isoformat()
    assert state["breaker"] == {
        "state": "half_open",
        "reason": "authentication",
        "since": since.isoformat(),
        "retry_at": retry_at.isoformat(),
    }
    assert state["quotas"]["hour"] == {
        "used": 30,
        "reserved": 8,
        "limit": 100,
        "remaining": 62,
        "kept_for_urgent": 5,
        "resets_at": frame.hour_end.isoformat(),
    }
    assert state["quotas"]["day"] == {
        "used": 40,
        "reserved": 8,
        "limit": None,
        "remaining": None,
        "kept_for_urgent": 0,
        "resets_at": frame.day_end.isoformat(),
    }
    health.state, health.retry_at = BreakerState.CLOSED, None
    health.save()
    breaker = api.get(f"/providers/{provider_id}").json()["state"]["breaker"]
    assert breaker["state"] == "closed"
    assert (breaker["reason"], breaker["since"]) == (None, since.isoformat())


# --- whose it is ----------------------------------------------------------------------------------


def test_shared_accounts_are_read_only(api: Api) -> None:
    provider_id = simulator().pk
    assert api.get(f"/providers/{provider_id}").status_code == 200
    for method, data in (("PUT", SMTP), ("PATCH", {"is_active": False}), ("DELETE", None)):
        response = api.send(method, f"/providers/{provider_id}", data)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert api.post(f"/providers/{provider_id}/test").status_code == 403
    assert Provider.objects.get().is_active


def test_other_peoples_and_unknown_accounts_read_alike(api: Api, other: Api) -> None:
    foreign = create(other)["id"]
    for method, data in (("GET", None), ("PUT", SMTP), ("PATCH", {}), ("DELETE", None)):
        answers = {
            (response.status_code, response.content)
            for response in (
                api.send(method, f"/providers/{provider_id}", data)
                for provider_id in (foreign, uuid4(), "x", "%00", "kindz")
            )
        }
        assert answers == {
            (404, b'{"code":"not_found","message":"There is no such provider.","details":{}}')
        }
    assert api.post(f"/providers/{foreign}/test").status_code == 404
    assert Provider.objects.count() == 1


def test_scopes_are_asked_for(user: User) -> None:
    reader, writer = api_with(user, Scope.PROVIDERS_READ), api_with(user, Scope.PROVIDERS_WRITE)
    none = api_with(user, Scope.EMAILS_SEND)
    for path in ("/providers", "/providers/kinds", "/quotas", "/performance"):
        assert reader.get(path).status_code == 200
        assert (writer.get(path).status_code, none.get(path).status_code) == (403, 403)
        assert Api(None).get(path).status_code == 401
    assert reader.post("/providers", SMTP).status_code == 403
    provider_id = create(writer)["id"]
    for method in ("PUT", "PATCH", "DELETE"):
        assert reader.send(method, f"/providers/{provider_id}", SMTP).status_code == 403
    assert reader.post(f"/providers/{provider_id}/test").status_code == 403


# --- test and delete ------------------------------------------------------------------------------


@pytest.mark.usefixtures("private_networks")
def test_an_account_is_tried_out(api: Api) -> None:
    with FaultyServer() as server:
        settings = {"host": "127.0.0.1", "port": server.port}
        path = f"/providers/{create(api, settings=settings)['id']}/test"
        body = api.post(path).json()
        assert (body["success"], body["reason"]) == (True, None)
        assert not server.mails
    body = api.post(path).json()
    assert (body["success"], body["reason"]) == (False, "connection")
    inbox = create(api, kind="inbox", name="inbox", settings={})["id"]
    assert api.post(f"/providers/{inbox}/test").json() == {
        "success": True,
        "message": "The inbox is open and holds 0 mails.",
        "reason": None,
    }


def test_an_unused_account_is_deleted_and_one_in_use_is_not(api: Api) -> None:
    unused, named, used = (create(api, name=name)["id"] for name in ("a", "b", "c"))
    api.post("/routing-rules", {"name": "r", "targets": [{"provider_id": named}]})
    assert api.post("/emails", mail(provider_id=used)).status_code == 202
    assert api.delete(f"/providers/{unused}").status_code == 204
    assert api.get(f"/providers/{unused}").status_code == 404
    for provider_id in (named, used):
        response = api.delete(f"/providers/{provider_id}")
        assert (response.status_code, response.json()["code"]) == (409, "provider_in_use")
    body = api.delete(f"/providers/{named}").json()
    assert body["message"] == "b cannot be deleted: the routing rule “r” names it."
    assert Provider.objects.count() == 2


def test_mail_goes_by_an_account_made_here(api: Api) -> None:
    provider_id = create(api, kind="inbox", name="inbox", settings={})["id"]
    sent = api.post("/emails", mail(provider_id=provider_id)).json()
    assert sent["smtp_config"] == provider_id


def test_an_own_account_does_not_reach_into_our_network(api: Api) -> None:
    response = api.post("/providers", SMTP | {"settings": {"host": "127.0.0.1", "port": 6379}})
    assert faults(response) == {"settings.host": "private_address"}
