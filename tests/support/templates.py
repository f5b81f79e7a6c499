"""Making and publishing templates through the API."""

from __future__ import annotations

from typing import Any

from tests.support.api import Api

WELCOME = {
    "slug": "welcome",
    "title": "Welcome",
    "category": "onboarding",
    "language": "en",
    "sample": {"name": "Ann"},
    "texts": {
        "default": {"subject": "Hello {{ name }}", "html": "<p>Hi {{ name }}</p>\n"},
        "de": {"subject": "Hallo {{ name }}", "html": "<p>Tag {{ name }}</p>\n"},
    },
}


def made(api: Api, **fields: Any) -> dict[str, Any]:
    response = api.post("/templates", WELCOME | fields)
    assert response.status_code == 201, response.content
    body: dict[str, Any] = response.json()
    return body


def published(api: Api, **fields: Any) -> dict[str, Any]:
    body = made(api, **fields)
    assert api.post(f"/templates/{body['id']}/publish").status_code == 200
    return body


def faults_of(response: Any) -> dict[str, Any]:
    assert response.status_code == 400, response.content
    details: dict[str, Any] = response.json()["details"]
    return details
