"""Accounts of every kind: what each needs, and that no secret shows."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from providers.adapters import kinds
from providers.adapters.smtp.settings import validate_settings
from providers.api.accounts import _impatient
from providers.api.kinds import SCHEMAS
from providers.models import Provider, ProviderKind
from providers.ports import AccountConfig
from tests.support.api import Api
from tests.support.esp.accounts import running

pytestmark = pytest.mark.usefixtures("private_networks")

MARKER = "s3cr3t-marker-3f9a"


def create(api: Api, **fields: Any) -> Any:
    response = api.post("/providers", fields)
    assert response.status_code == 201, response.content
    return response.json()


def some_value(field: dict[str, Any]) -> Any:
    """Return a value that a described field takes."""
    if field["type"] == "choice":
        return field["choices"][0]["value"]
    return {
        "text": "abcdef",
        "domain": "mg.example.com",
        "url": "https://127.0.0.1:1/",
        "integer": max(1, field.get("minimum", 1)),
        "boolean": True,
        "list": [],
    }[field["type"]]


def whole(kind: str) -> dict[str, Any]:
    """Return an account with every secret its kind knows, marked, that reaches nobody."""
    schema = SCHEMAS[kind]
    settings = {
        field["name"]: some_value(field) for field in schema["settings"] if field["required"]
    }
    if kind == "smtp":
        settings = {"host": "127.0.0.1", "port": 1, "username": "ann", "timeout_seconds": 1}
    elif any(field["name"] == "api_url" for field in schema["settings"]):
        settings |= {"api_url": "http://127.0.0.1:1/", "connect_timeout_seconds": 1}
    secrets = {field["name"]: MARKER + field["name"] for field in schema["secrets"]}
    return {"kind": kind, "name": f"my {kind}", "settings": settings, "secrets": secrets}


def test_every_kind_is_described_in_one_shape(api: Api) -> None:
    results = api.get("/providers/kinds").json()["results"]
    assert [kind["kind"] for kind in results[:3]] == ["smtp", "inbox", "simulator"]
    assert {kind["kind"] for kind in results} == set(kinds()) == set(ProviderKind.values)
    assert len(results) == len(kinds())
    for kind in results:
        assert kind.keys() == results[0].keys()
        assert kind["capabilities"].keys() == results[0]["capabilities"].keys()
        for field in [*kind["settings"], *kind["secrets"]]:
            assert field.keys() >= {"name", "label", "help", "type", "required", "secret"}
            assert ("choices" in field) == (field["type"] == "choice")
        assert all(field["secret"] for field in kind["secrets"])
        assert not any(field["secret"] for field in kind["settings"])
    assert list(api.get("/providers/kinds?page=1").json()["details"]) == ["page"]


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_an_account_with_all_that_a_kind_describes_is_taken(api: Api, kind: str) -> None:
    schema = SCHEMAS[kind]
    settings = {
        field["name"]: some_value(field)
        for field in schema["settings"]
        if field["name"] not in {"use_tls", "api_url"} or field["required"]
    }
    secrets = {field["name"]: "abcdef" for field in schema["secrets"]}
    body = {"kind": kind, "name": "x", "settings": settings, "secrets": secrets}
    response = api.post("/providers", body)
    assert response.status_code == 201, response.content
    assert response.json()["settings"] == settings
    assert response.json()["secrets"] == {name: {"is_set": True} for name in secrets}
    assert Provider.objects.get().secrets == (secrets or None)


def test_what_is_described_of_smtp_is_what_its_adapter_knows() -> None:
    names = {field["name"] for field in SCHEMAS["smtp"]["settings"]}
    assert not any(
        code == "unknown" for _, code, _ in validate_settings(dict.fromkeys(names, "x"), {})
    )
    assert len(names) == 10


def test_a_test_waits_no_longer_than_its_caller_should() -> None:
    def waits(kind: str, **settings: Any) -> dict[str, Any]:
        shown = _impatient(AccountConfig(uuid4(), "x", kind, settings))
        return {name: value for name, value in shown.items() if name.endswith("_seconds")}

    assert waits("smtp", timeout_seconds=600) == {
        "timeout_seconds": 20,
        "final_timeout_seconds": 20,
    }
    assert waits("resend", timeout_seconds=5) == {
        "timeout_seconds": 5,
        "connect_timeout_seconds": 20,
    }
    assert waits("inbox") == {}


def test_an_account_at_an_api_is_tried_out(api: Api) -> None:
    with running("postmark") as (stand_in, server):
        settings = {
            **stand_in.settings,
            "api_url": f"http://127.0.0.1:{server.port}{stand_in.base}",
        }
        account = {"kind": "postmark", "name": "pm", "settings": settings}
        good = create(api, **account, secrets=stand_in.secrets)["id"]
        assert api.post(f"/providers/{good}/test").json()["success"] is True
        secrets = dict.fromkeys(stand_in.secrets, MARKER)
        bad = create(api, **account | {"name": "bad"}, secrets=secrets)["id"]
        body = api.post(f"/providers/{bad}/test").json()
    assert (body["success"], body["reason"]) == (False, "authentication")


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_a_secret_is_in_no_answer_and_no_log(
    api: Api, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = whole(kind)
    made = api.post("/providers", body, key="once")
    assert made.status_code == 201, made.content
    path = f"/providers/{made.json()['id']}"
    set_names = {name for name, shown in made.json()["secrets"].items() if shown["is_set"]}
    assert set_names == body["secrets"].keys()
    secrets = body["secrets"] or {"password": MARKER}
    first = next(iter(secrets))
    answers = [
        made,
        api.post("/providers", body, key="once"),
        api.post("/providers", body | {"position": 5}, key="once"),
        api.get(path),
        api.get("/providers"),
        api.get(f"/providers?kind={kind}"),
        api.get("/providers/kinds"),
        api.get("/smtp-configs"),
        api.get("/quotas"),
        api.get("/performance?step=hour"),
        api.post(f"{path}/test"),
        api.put(path, body),
        api.put(path, body | {"position": -1}),
        api.patch(path, {"secrets": secrets}),
        api.patch(path, {"secrets": secrets, "settings": {"unknown": MARKER}}),
        api.patch(path, {"secrets": {first: [MARKER]}}),
        api.patch(path, {"secrets": {first: {"is_set": MARKER}}}),
        api.patch(path, {"secrets": {first: {"value": MARKER}}}),
        api.patch(path, {"secrets": {first: MARKER + "\x00"}}),
        api.patch(path, {"secrets": {first: MARKER + "\r\n"}}),
        api.patch(path, {"secrets": MARKER}),
        api.post("/providers", body),
        api.post("/providers", body | {"name": "", "kind": MARKER}),
        api.post("/providers", {**body, "name": "x", "from_email": 5}),
        api.post("/providers", f'{{"secrets": {{"{first}": "{MARKER}"'),
        api.delete(f"{path}/{uuid4()}"),
        api.delete(path),
    ]
    assert {answer.status_code for answer in answers} >= {200, 201, 204, 400, 404, 422}
    assert 500 not in {answer.status_code for answer in answers}
    assert [answer.content for answer in answers if MARKER.encode() in answer.content] == []
    assert MARKER not in caplog.text
    assert not any(MARKER in repr(vars(record)) for record in caplog.records)


def test_the_guide_s_example_works(api: Api) -> None:
    guide = Path(__file__).parents[2] / "docs" / "api.md"
    section = guide.read_text(encoding="utf-8").partition("## Providers\n")[2]
    body = section.partition("-d '")[2].partition("'\n")[0]
    assert api.post("/providers", body.replace("…", "key-1")).status_code == 201
