"""`/webhooks` over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from tests.support.api import Api, api_with
from tests.support.esp.server import Answer, ApiServer
from webhooks.kinds import MEANINGS
from webhooks.models import Delivery, Endpoint

pytestmark = pytest.mark.django_db


@pytest.fixture
def hook(settings: Any) -> Iterator[ApiServer]:
    settings.OUTGOING_HTTP_ALLOW_PRIVATE = True
    with ApiServer(lambda _request: Answer(200, b"taken")) as server:
        yield server


def made(api: Api, url: str = "https://example.com/hook", **fields: Any) -> Any:
    answer = api.post("/webhooks", {"url": url, **fields})
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_a_secret_is_shown_once(api: Api) -> None:
    body = made(api, kinds=["email.sent", "email.bounced", "email.sent"], description="shop")
    assert body["secret"].startswith("whsec_")
    assert body["kinds"] == ["email.bounced", "email.sent"]
    assert (body["active"], body["reaches_all"], body["failing_since"]) == (True, False, None)
    read = api.get(f"/webhooks/{body['id']}").json()
    del body["secret"]
    assert read == body
    assert api.get("/webhooks").json() == {"results": [read], "next": None}


def test_every_fault_is_named(api: Api) -> None:
    fields = {"url": "ftp://x", "kinds": ["email.sent", "email.eaten"], "description": "x" * 201}
    answer = api.post("/webhooks", fields)
    assert answer.status_code == 400
    assert set(answer.json()["details"]) == {"url", "kinds[1]", "description"}
    assert set(api.post("/webhooks", {}).json()["details"]) == {"url"}
    odd = api.post("/webhooks", {"url": 5, "color": "red"}).json()["details"]
    assert odd["color"][0]["code"] == "unknown_field"
    assert odd["url"][0]["code"] == "invalid_type"
    assert not Endpoint.objects.exists()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/", "http://10.0.0.1:81/x"]
)
def test_an_address_of_a_private_network_is_refused(api: Api, url: str) -> None:
    answer = api.post("/webhooks", {"url": url})
    assert answer.status_code == 400
    assert "private or reserved" in answer.json()["details"]["url"][0]["message"]


def test_an_endpoint_is_changed_switched_off_and_deleted(api: Api) -> None:
    path = f"/webhooks/{made(api)['id']}"
    body = api.patch(path, {"active": False, "kinds": ["email.sent"]}).json()
    assert (body["active"], body["disabled_reason"]) == (False, "Switched off by hand.")
    assert api.patch(path, body | {"active": True}).json()["disabled_at"] is None
    assert api.patch(path, {"kinds": None}).json()["kinds"] == []
    assert api.patch(path, {"url": None}).status_code == 400
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def test_others_endpoints_do_not_exist(api: Api, other: Api) -> None:
    path = f"/webhooks/{made(api)['id']}"
    answers = [
        other.get(path),
        other.patch(path, {"active": False}),
        other.delete(path),
        other.post(f"{path}/rotate-secret"),
        other.post(f"{path}/test"),
        other.get(f"{path}/deliveries"),
        other.post(f"{path}/replay", {"from": "2026-01-01T00:00:00Z"}),
        api.get("/webhooks/nonsense"),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert other.get("/webhooks").json()["results"] == []


def test_only_a_key_that_reaches_everybodys_mail_has_it_told(user: User, api: Api) -> None:
    fields = {"url": "https://example.com", "reaches_all": True}
    assert api.post("/webhooks", fields).status_code == 403
    power = api_with(user, "webhooks:read", "webhooks:write", "emails:all")
    path = f"/webhooks/{made(power, reaches_all=True)['id']}"
    assert power.get(path).json()["reaches_all"] is True
    assert api.get(path).status_code == 404
    assert api.post(f"{path}/rotate-secret").status_code == 404
    assert api.get("/webhooks").json()["results"] == []
    own = f"/webhooks/{made(api)['id']}"
    assert api.patch(own, {"reaches_all": True}).status_code == 403
    assert api.get(own).json()["reaches_all"] is False


def test_scopes_guard_reading_and_writing(user: User, api: Api) -> None:
    path = f"/webhooks/{made(api)['id']}"
    reader = api_with(user, "webhooks:read")
    assert reader.get(path).status_code == 200
    assert reader.post(f"{path}/test").status_code == 403
    assert reader.post("/webhooks", {"url": "https://example.com"}).status_code == 403
    assert api_with(user, "webhooks:write").get(path).status_code == 403


def test_a_rotation_shows_the_new_secret(api: Api) -> None:
    body = made(api)
    fresh = api.post(f"/webhooks/{body['id']}/rotate-secret").json()
    assert fresh["secret"] != body["secret"]
    assert fresh["previous_secret_expires_at"] is not None


def test_a_trial_tells_how_it_went_and_is_logged(api: Api, hook: ApiServer) -> None:
    path = f"/webhooks/{made(api, f'http://127.0.0.1:{hook.port}/x')['id']}"
    answer = api.post(f"{path}/test").json()
    assert (answer["ok"], answer["code"], answer["response"]) == (True, 200, "taken")
    hook.then(Answer(500, b"broken"))
    answer = api.post(f"{path}/test").json()
    assert (answer["ok"], answer["error"]) == (False, "The answer was HTTP 500.")
    found = api.get(f"{path}/deliveries").json()["results"]
    assert [each["status"] for each in found] == ["failed", "delivered"]
    assert found[0]["log"][0]["response"] == "broken"
    assert found[0]["payload"]["type"] == "webhook.test"
    assert len(api.get(f"{path}/deliveries?status=failed").json()["results"]) == 1
    first = api.get(f"{path}/deliveries?limit=1").json()
    second = api.get(f"{path}/deliveries?limit=1&cursor={first['next']}").json()
    assert [second["results"][0]["id"], second["next"]] == [found[1]["id"], None]
    assert api.get(f"{path}/deliveries?status=odd").status_code == 400


def test_replays_are_asked_for_by_id_or_range(api: Api, hook: ApiServer) -> None:
    path = f"/webhooks/{made(api, f'http://127.0.0.1:{hook.port}/x')['id']}"
    delivery_id = api.post(f"{path}/test").json()["delivery_id"]
    answer = api.post(f"{path}/replay", {"delivery_id": delivery_id})
    assert (answer.status_code, answer.json()) == (202, {"replayed": 1, "next": None})
    assert Delivery.objects.get().status == "pending"
    assert api.post(f"{path}/replay", {"delivery_id": delivery_id}).status_code == 409
    Delivery.objects.update(status="failed")
    since = (timezone.now() - timedelta(hours=1)).isoformat()
    until = (timezone.now() + timedelta(hours=1)).isoformat()
    span = {"from": since, "to": until}
    assert api.post(f"{path}/replay", span | {"status": "delivered"}).json()["replayed"] == 0
    assert api.post(f"{path}/replay", span).json()["replayed"] == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-01-01T00:00:00"}, "from"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2025-01-01T00:00:00Z"}, "from"),
        ({"from": "2026-01-01T00:00:00Z", "status": "odd"}, "status"),
        ({"from": "2026-01-01T00:00:00Z", "cursor": "odd"}, "cursor"),
        ({"delivery_id": "odd"}, "delivery_id"),
        ({"everything": True}, "everything"),
    ],
)
def test_a_faulty_replay_names_the_field(api: Api, fields: Any, field: str) -> None:
    answer = api.post(f"/webhooks/{made(api)['id']}/replay", fields)
    assert answer.status_code == 400
    assert list(answer.json()["details"]) == [field]


def test_kinds_are_listed_with_their_meaning(api: Api) -> None:
    found = api.get("/webhooks/kinds").json()["results"]
    assert {each["kind"]: each["description"] for each in found} == MEANINGS
