"""What pages get from the middleware, and what passes the API by."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.support.api import Api


def test_answers_of_the_api_have_a_closed_policy_and_no_cookie(db: None) -> None:
    for path in ("/api/v1/me", "/api/v1/nothing", "/api/v1/emails"):
        answer = Client().get(path)
        assert answer["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert int(answer["Content-Length"]) == len(answer.content)
        assert not answer.cookies


def test_a_session_is_no_key(admin_client: Client) -> None:
    assert admin_client.get("/api/v1/me").status_code == 401
    assert admin_client.post("/api/v1/emails").status_code == 401


def test_pages_keep_policy_frame_protection_and_session(admin_client: Client) -> None:
    answer = admin_client.get("/admin/")
    assert answer.status_code == 200
    assert answer["X-Frame-Options"] == "DENY"
    assert "script-src 'self'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/admin/templates/template/?kind=%00",
        "/admin/verification/senderdomain/?state=a%00b",
        "/admin/delivery/message/?q=%00",
        "/admin/delivery/emailtype/%00/change/",
    ],
)
def test_an_address_with_a_nul_is_refused(admin_client: Client, path: str) -> None:
    answer = admin_client.get(path)
    assert answer.status_code == 400
    assert b"Bad Request" in answer.content
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_what_looks_like_a_nul_and_is_none_passes(admin_client: Client) -> None:
    assert admin_client.get("/admin/templates/template/?q=%2500").status_code == 200


@pytest.mark.parametrize("path", ["/verify/%00", "/verify/x?lang=%00"])
def test_a_link_with_a_nul_is_one_that_does_not_work(client: Client, db: None, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 410
    assert b"This link does not work any more" in answer.content


def test_a_form_without_its_token_is_refused(db: None) -> None:
    client = Client(enforce_csrf_checks=True)
    form = {"username": "ann@example.com", "password": "x"}
    assert client.post("/admin/login/", form).status_code == 403


def test_the_api_takes_a_post_without_token(api_key: object) -> None:
    assert Api(None).post("/emails", {}).status_code == 401
