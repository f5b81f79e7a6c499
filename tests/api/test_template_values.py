"""Values that no database, mail or reader could hold are refused at every door, by their field."""

from __future__ import annotations

from typing import Any

import pytest

from delivery.models import Message
from templates_app.models import Template
from tests.support.api import Api
from tests.support.templates import faults_of, made

pytestmark = pytest.mark.django_db


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


BAD = [{"a": "x\x00"}, {"a\x00": 1}, {"a": [{"b": ["\x00"]}]}, deep(41), {"a": "x" * 300_000}]
#: JSON cannot say these, or says them wrongly: no field is known yet, the place is.
NO_JSON = [
    b'{"%s": {"a": NaN}}',
    b'{"%s": {"a": -Infinity}}',
    b'{"%s": {"a": 1e999}}',
    b'{"%s": {"a": "\\ud800"}}',
    b'{"%s": ' + b'{"a": ' * 2_000 + b"1" + b"}" * 2_001,
]
DOORS = [
    ("POST", "/templates", "sample", {"slug": "x"}),
    ("POST", "/templates", "schema", {"slug": "x"}),
    ("PATCH", "/templates/welcome", "sample", {}),
    ("PATCH", "/templates/welcome", "schema", {}),
    ("POST", "/templates/welcome/render", "context", {}),
    ("POST", "/templates/welcome/test-send", "context", {"to": "a@example.com"}),
    ("POST", "/templates/import", "sample", {"slug": "x"}),
    ("POST", "/templates/import?dry_run=1", "schema", {"slug": "x"}),
]


@pytest.mark.parametrize("value", BAD, ids=["NUL", "NUL name", "inner NUL", "deep", "large"])
@pytest.mark.parametrize(("method", "path", "field", "others"), DOORS)
def test_values_that_cannot_be_kept_name_their_field(
    api: Api, method: str, path: str, field: str, others: dict[str, Any], value: dict[str, Any]
) -> None:
    made(api)
    before = Template.objects.values().get()
    details = faults_of(api.send(method, path, {**others, field: value}))
    assert list(details) == [field]
    assert Template.objects.values().get() == before
    assert not Message.objects.exists()


@pytest.mark.parametrize("body", NO_JSON)
@pytest.mark.parametrize(("method", "path", "field", "others"), DOORS)
def test_what_is_no_json_names_its_place(
    api: Api, method: str, path: str, field: str, others: dict[str, Any], body: bytes
) -> None:
    made(api)
    refused = api.send(method, path, body.replace(b"%s", field.encode()))
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed_json")
    assert refused.json()["details"]["line"] == 1


def test_a_context_may_be_as_deep_and_long_as_a_sample(api: Api) -> None:
    made(api)
    context = {"name": "Ann", "a": deep(38), "b": "x" * 200_000}
    assert api.post("/templates/welcome/render", {"context": context}).status_code == 200
    assert api.patch("/templates/welcome", {"sample": context}).status_code == 200
