"""A small client for the REST API, and what most requests carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from django.test import Client

from accounts.services import create_api_key

if TYPE_CHECKING:
    from accounts.models import User


class Api:
    """Speaks JSON under `/api/v1/` with one key."""

    def __init__(self, secret: str | None, *, prefix: str = "/api/v1") -> None:
        self.headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        self.prefix = prefix
        self.client = Client(raise_request_exception=False)

    def send(
        self, method: str, path: str, data: Any = None, *, key: str | None = None, **extra: Any
    ) -> Any:
        headers = (
            self.headers | ({"Idempotency-Key": key} if key else {}) | extra.pop("headers", {})
        )
        body = (
            data if isinstance(data, bytes | str) else b"" if data is None else orjson.dumps(data)
        )
        return self.client.generic(
            method,
            self.prefix + path,
            body,
            content_type=extra.pop("content_type", "application/json"),
            headers=headers,
            **extra,
        )

    def get(self, path: str, **extra: Any) -> Any:
        return self.send("GET", path, **extra)

    def post(self, path: str, data: Any = None, **extra: Any) -> Any:
        return self.send("POST", path, data, **extra)

    def put(self, path: str, data: Any) -> Any:
        return self.send("PUT", path, data)

    def patch(self, path: str, data: Any) -> Any:
        return self.send("PATCH", path, data)

    def delete(self, path: str) -> Any:
        return self.send("DELETE", path)

    def form(self, path: str, data: dict[str, Any], *, key: str | None = None) -> Any:
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        return self.client.post(self.prefix + path, data, headers=headers)


def api_with(user: User, *scopes: str, **fields: Any) -> Api:
    return Api(create_api_key(user=user, name="scoped", scopes=list(scopes), **fields).secret)


def mail(**fields: Any) -> dict[str, Any]:
    return {
        "from": "shop@example.com",
        "to": "bob@example.net",
        "subject": "Hello",
        "text": "Hi Bob",
    } | fields
