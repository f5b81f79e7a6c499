"""Who may do what: keys, scopes, methods, unknown paths."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import ApiKey
from accounts.services import create_api_key, forget_checked_keys, revoke_api_key
from tests.support.api import Api, api_with, mail

ROUTES = [
    ("GET", "/emails", "emails:read"),
    ("POST", "/emails", "emails:send"),
    ("POST", "/emails/batch", "emails:send"),
    ("GET", "/emails/status/queued", "emails:read"),
    ("GET", "/emails/x", "emails:read"),
    ("POST", "/emails/cancel", "emails:send"),
    ("POST", "/emails/x/cancel", "emails:send"),
    ("POST", "/emails/x/reschedule", "emails:send"),
    ("POST", "/emails/x/retry", "emails:send"),
    ("POST", "/emails/x/hold", "emails:send"),
    ("POST", "/emails/x/release", "emails:send"),
    ("POST", "/attachments", "emails:send"),
    ("GET", "/attachments/x", "emails:read"),
    ("DELETE", "/attachments/x", "emails:send"),
    ("GET", "/smtp-configs", "providers:read"),
    ("POST", "/smtp-configs", "providers:write"),
    ("GET", "/smtp-configs/x", "providers:read"),
    ("PUT", "/smtp-configs/x", "providers:write"),
    ("PATCH", "/smtp-configs/x", "providers:write"),
    ("DELETE", "/smtp-configs/x", "providers:write"),
    ("POST", "/smtp-configs/x/test", "providers:write"),
]


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_each_route_wants_a_key(db, method, path, scope):
    response = Api(None).send(method, path)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="mailservice"'
    assert response.json()["code"] == "unauthorized"


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_each_route_wants_its_scope_and_names_it(user, method, path, scope):
    others = {"emails:send", "emails:read", "emails:all", "providers:read", "providers:write"}
    response = api_with(user, *sorted(others - {scope})).send(method, path)
    assert response.status_code == 403
    assert response.json() == {
        "code": "forbidden",
        "message": f"This API key lacks the scope {scope}.",
        "details": {},
    }
    assert api_with(user, scope).send(method, path).status_code in {200, 400, 404}


def test_every_useless_key_gets_the_same_answer(user, api_key):
    expired = create_api_key(
        user=user, name="old", expires_at=timezone.now() - timedelta(seconds=1)
    )
    revoked = create_api_key(user=user, name="revoked")
    revoke_api_key(key_id=revoked.api_key.pk)
    secrets = [
        expired.secret,
        revoked.secret,
        api_key.secret[:-1] + ("a" if api_key.secret[-1] != "a" else "b"),
        "msk_unknown_secret",
        "nonsense",
        "ünïcode_x",
        "",
    ]
    answers = {
        (response.status_code, response.content, response.get("WWW-Authenticate"))
        for response in (Api(None).get("/me", headers={"X-API-Key": text}) for text in secrets)
    }
    assert len(answers) == 1
    status, body, challenge = answers.pop()
    assert status == 401
    assert b"The API key is unknown, expired or revoked." in body
    assert challenge == 'Bearer realm="mailservice"'


@pytest.mark.parametrize(
    "header",
    [
        ("Authorization", "Bearer {}"),
        ("Authorization", "bearer {}"),
        ("Authorization", "Token {}"),
        ("X-API-Key", "{}"),
    ],
)
def test_a_key_may_come_in_three_ways(api_key, header):
    name, form = header
    response = Api(None).get("/me", headers={name: form.format(api_key.secret)})
    assert response.status_code == 200


def test_a_key_learns_about_itself(api: Api, api_key, user):
    key = ApiKey.objects.get()
    assert api.get("/me").json() == {
        "user": {"id": str(user.pk), "email": "ann@example.com"},
        "key": {
            "name": "shop",
            "prefix": key.prefix,
            "mode": "live",
            "scopes": key.scopes,
            "created_at": key.created_at.isoformat(),
            "expires_at": None,
        },
    }
    assert api_with(user, is_test=True).get("/me").json()["key"]["mode"] == "test"


def test_a_user_switched_off_loses_the_keys(api: Api, user):
    user.is_active = False
    user.save()
    forget_checked_keys()
    assert api.get("/me").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/emails", "GET, POST, HEAD, OPTIONS"),
        ("PUT", "/emails/batch", "POST, OPTIONS"),
        ("POST", "/emails/x", "GET, HEAD, OPTIONS"),
        ("POST", "/smtp-configs/x", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(api: Api, method, path, allowed):
    response = api.send(method, path, {})
    assert response.status_code == 405
    assert response.json()["code"] == "method_not_allowed"
    assert set(response["Allow"].split(", ")) == set(allowed.split(", "))


@pytest.mark.parametrize("path", ["/nothing", "/emails/x/y", "/v2/emails", "/", "/emails/x/burn"])
def test_an_unknown_path_is_404_in_json(api: Api, path):
    response = api.get(path)
    assert response.status_code == 404
    assert response.json() == {
        "code": "not_found",
        "message": "There is nothing at this path.",
        "details": {},
    }


def test_answers_are_json_whatever_accept_says(api: Api):
    response = api.get("/emails", headers={"Accept": "text/html"})
    assert response["Content-Type"] == "application/json"


def test_a_body_without_a_type_is_json(api: Api):
    assert api.post("/emails", mail(), content_type="").status_code == 202


def test_a_key_for_everybodys_mail_reaches_it(user, other: Api):
    email_id = other.post("/emails", mail()).json()["id"]
    everybody = api_with(user, "emails:all", "emails:read", "emails:send")
    assert everybody.get(f"/emails/{email_id}").status_code == 200
    assert everybody.get("/emails").json()["results"][0]["id"] == email_id
    assert everybody.post(f"/emails/{email_id}/cancel").status_code == 200
