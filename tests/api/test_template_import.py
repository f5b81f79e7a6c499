from __future__ import annotations

import io
import zipfile
from typing import Any

import orjson
import pytest

from templates_app.models import Template
from tests.support.api import Api
from tests.support.templates import WELCOME, faults_of, published

pytestmark = pytest.mark.django_db


def zipped(files: dict[str, bytes]) -> bytes:
    made_ = io.BytesIO()
    with zipfile.ZipFile(made_, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made_.getvalue()


def test_an_export_is_imported_by_another_user_and_exported_alike(api: Api, other: Api) -> None:
    published(api, schema={"type": "object", "properties": {"name": {"type": "string"}}})
    response = api.get("/templates/welcome/export")
    assert response["Content-Type"] == "application/zip"
    assert response["Content-Disposition"] == 'attachment; filename="welcome.zip"'
    for attempt, action in enumerate(["created", "unchanged"]):
        body = other.post(
            f"/templates/import?publish={1 - attempt}",
            response.content,
            content_type="application/zip",
        ).json()
        assert [one["action"] for one in body["templates"]] == [action]
    assert other.get("/templates/welcome").json()["published_version"] == 1
    assert other.get("/templates/welcome/export").content == response.content


def test_an_import_as_a_form_and_as_json_says_what_it_would_do(api: Api) -> None:
    manifest = {"texts": {"default": {"subject": "A"}}}
    data = zipped({"hi/template.json": orjson.dumps(manifest), "hi/default.txt": b"B\r\n"})
    file = io.BytesIO(data)
    file.name = "hi.zip"
    dry = api.form("/templates/import?dry_run=1", {"file": file}, key="k")
    expected = {
        "slug": "hi",
        "action": "created",
        "written": ["default"],
        "dropped": [],
        "published": None,
    }
    assert dry.status_code == 200, dry.content
    assert dry.json() == {
        "message": "1 templates would be imported.",
        "dry_run": True,
        "templates": [expected],
    }
    assert not Template.objects.exists()
    given = {"templates": [WELCOME, {"slug": "hi", "texts": {"": {"subject": "A", "text": "B"}}}]}
    done = api.post("/templates/import?publish=1", given).json()
    assert [(one["slug"], one["published"]) for one in done["templates"]] == [
        ("welcome", 1),
        ("hi", 1),
    ]


def test_a_dry_run_does_not_answer_for_the_import_after_it(api: Api) -> None:
    assert api.post("/templates/import?dry_run=1", WELCOME, key="k").status_code == 200
    reused = api.post("/templates/import", WELCOME, key="k")
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")


def test_an_import_with_one_fault_writes_nothing_and_tells_where(api: Api) -> None:
    good = {"slug": "good", "texts": {"de": {"subject": "A", "text": "B"}}}
    bad = {"slug": "bad", "texts": {"de": {"subject": "A", "html": "<p>\n{{ x | upcas }}"}}}
    details = faults_of(api.post("/templates/import", {"templates": [good, bad]}))
    (fault,) = details["bad.draft.de.html"]
    assert fault["line"] == 2
    assert not Template.objects.exists()


def test_an_archive_that_is_none_or_leads_outside_is_refused(api: Api) -> None:
    zip_type = {"content_type": "application/zip"}
    path = "/templates/import"
    assert "file" in faults_of(api.post(path, b"PK\x03\x04 nonsense", **zip_type))
    slip = zipped({"../../etc/template.json": b"{}"})
    assert faults_of(api.post(path, slip, **zip_type))["file"][0]["code"] == "invalid_path"
    assert "file" in faults_of(api.form(path, {"note": "x"}))


def test_an_upload_too_large_is_refused_before_it_is_read(api: Api, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    for key in (None, "k"):
        file = io.BytesIO(b"x" * 2000)
        file.name = "big.zip"
        refused = api.form("/templates/import", {"file": file}, key=key)
        assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


def test_names_by_the_hundred_thousand_cost_no_time(api: Api) -> None:
    flood = {f"subjec{number}": 1 for number in range(100_000)}
    assert len(faults_of(api.post("/templates", flood))) == 100
    texts: dict[str, Any] = {f"x{number}": {} for number in range(100_000)}
    assert faults_of(api.post("/templates", {"slug": "x", "texts": texts})).keys() == {"texts"}
    many: dict[str, Any] = {"templates": [{}] * 100_000}
    assert faults_of(api.post("/templates/import", many)).keys() == {"templates"}
    texts = {f"x{chr(97 + n // 26)}{chr(97 + n % 26)}": {"text": "x"} for n in range(151)}
    two = {"templates": [{"slug": slug, "texts": texts} for slug in ("a", "b")]}
    assert (
        "in one request" in faults_of(api.post("/templates/import", two))["templates"][0]["message"]
    )
