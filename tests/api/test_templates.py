from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission

from accounts.models import User
from accounts.services import create_api_key
from templates_app.models import Template
from tests.support.api import Api, api_with
from tests.support.templates import WELCOME, faults_of, made, published

pytestmark = pytest.mark.django_db


def staff(user: User, *codenames: str) -> None:
    user.is_staff = True
    user.save()
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))


@pytest.fixture
def boss(db: None) -> Api:
    user = User.objects.create_user("boss@example.com")
    staff(user, "add_template", "change_template", "publish_template", "view_template")
    return Api(create_api_key(user=user, name="boss").secret)


def test_a_template_is_created_with_its_texts_and_read_by_name_and_by_id(api: Api) -> None:
    response = api.post("/templates", WELCOME)
    body = response.json()
    assert response.status_code == 201
    assert response["Location"] == f"/api/v1/templates/{body['id']}"
    assert body["message"] == "The template is created."
    by_name, by_id = api.get("/templates/welcome"), api.get(f"/templates/{body['id']}")
    assert by_name.json() == by_id.json()
    assert by_name.json() == {key: value for key, value in body.items() if key != "message"}
    assert (body["kind"], body["shared"], body["sample"]) == ("mail", False, {"name": "Ann"})
    assert (body["draft_version"], body["draft_locales"]) == (1, ["default", "de"])
    assert (body["published_version"], body["published_locales"]) == (None, [])
    assert body["context_schema"]["required"] == ["name"]


def test_the_list_shows_own_and_shared_templates_by_kind_and_category(
    api: Api, other: Api, boss: Api
) -> None:
    made(api)
    made(api, slug="base", kind="layout", category="", texts=None)
    made(other, slug="secret")
    published(boss, slug="common", category="", shared=True)
    names = [one["slug"] for one in api.get("/templates").json()["results"]]
    assert names == ["common", "base", "welcome"]
    assert [t["slug"] for t in api.get("/templates?kind=layout").json()["results"]] == ["base"]
    by_category = api.get("/templates?category=onboarding").json()["results"]
    assert [one["slug"] for one in by_category] == ["welcome"]
    assert "sample" not in by_category[0]
    assert [t["slug"] for t in api.get("/templates?shared=1").json()["results"]] == ["common"]


def test_the_list_is_paged_and_costs_the_same_for_one_and_for_many(
    api: Api, django_assert_num_queries: Any
) -> None:
    for number in range(5):
        made(api, slug=f"mail-{number}")
    first = api.get("/templates?limit=2").json()
    second = api.get(f"/templates?limit=2&cursor={first['next']}").json()
    assert [t["slug"] for t in first["results"] + second["results"]] == [
        "mail-4",
        "mail-3",
        "mail-2",
        "mail-1",
    ]
    with django_assert_num_queries(4):
        api.get("/templates")


def test_fields_change_and_what_was_read_can_be_sent_back(api: Api) -> None:
    made(api)
    read = api.get("/templates/welcome").json()
    assert api.patch("/templates/welcome", read).status_code == 200
    changed = api.patch("/templates/welcome", {"slug": "hello", "sample": None, "title": "Hi"})
    assert changed.status_code == 200
    read = api.get("/templates/hello").json()
    assert (read["title"], read["sample"], read["language"]) == ("Hi", {}, "en")
    assert api.get("/templates/welcome").status_code == 404


def test_every_fault_of_a_new_template_has_its_field(api: Api) -> None:
    details = faults_of(
        api.post(
            "/templates",
            {
                "slug": 3,
                "sampel": {},
                "texts": {"de": {"subject": None, "htm": "x", "text": 1}},
            },
        )
    )
    assert details.keys() == {"sampel"}
    assert "did you mean 'sample'" in details["sampel"][0]["message"]
    details = faults_of(
        api.post("/templates", {"slug": "x", "texts": {"de": {"htm": "x", "text": 1}}})
    )
    assert details.keys() == {"texts.de.htm", "texts.de.text"}
    details = faults_of(api.post("/templates", {"slug": "x y", "kind": "page", "sample": []}))
    assert details.keys() == {"sample"}
    details = faults_of(api.post("/templates", {"slug": "x y", "kind": "page"}))
    assert details.keys() == {"slug", "kind"}
    assert not Template.objects.exists()


@pytest.mark.parametrize("sample", [{"x": "\x00"}, {"x": "a" * 300_000}, {"\x00": 1}])
def test_what_the_database_cannot_hold_is_refused(api: Api, sample: dict[str, Any]) -> None:
    assert "sample" in faults_of(api.post("/templates", {"slug": "x", "sample": sample}))


def test_a_text_at_fault_leaves_no_template_behind(api: Api) -> None:
    texts = {"de": {"subject": "x", "mjml": "<mjml><mj-bdy></mj-bdy></mjml>"}}
    details = faults_of(api.post("/templates", {"slug": "x", "texts": texts}))
    (fault,) = details["draft.de.mjml"]
    assert (fault["line"], fault["column"]) == (1, 7)
    assert "did you mean 'mj-body'" in fault["message"]
    assert not Template.objects.exists()


def test_an_idempotency_key_creates_once(api: Api) -> None:
    first = api.post("/templates", WELCOME, key="k1")
    second = api.post("/templates", WELCOME, key="k1")
    assert first.json() == second.json()
    assert second["Idempotency-Replayed"] == "true"
    assert Template.objects.count() == 1


def test_a_published_template_is_not_deleted(api: Api) -> None:
    published(api)
    refused = api.delete("/templates/welcome")
    assert (refused.status_code, refused.json()["code"]) == (409, "published")
    made(api, slug="sketch")
    assert api.delete("/templates/sketch").status_code == 204
    assert api.get("/templates/sketch").status_code == 404


READS = [
    ("GET", ""),
    ("GET", "/versions"),
    ("GET", "/versions/1"),
    ("GET", "/diff?from=1&to=1"),
    ("GET", "/export"),
    ("POST", "/render"),
]
WRITES = [
    ("PATCH", ""),
    ("DELETE", ""),
    ("PUT", "/draft/default"),
    ("DELETE", "/draft"),
    ("DELETE", "/draft/de"),
    ("POST", "/publish"),
    ("POST", "/republish"),
    ("POST", "/roll-back"),
]


@pytest.mark.parametrize(("method", "path"), [*READS, *WRITES, ("POST", "/test-send")])
def test_other_peoples_templates_do_not_exist(
    api: Api, other: Api, boss: Api, method: str, path: str
) -> None:
    body = published(api)
    for name in ("welcome", body["id"], "no-such", "%00"):
        for stranger in (other, boss):
            assert stranger.send(method, f"/templates/{name}{path}", {}).status_code == 404


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_shared_templates_are_changed_by_staff_only(
    api: Api, boss: Api, method: str, path: str
) -> None:
    published(boss, shared=True)
    refused = api.send(method, f"/templates/welcome{path}", {})
    assert refused.status_code == 403
    assert boss.send(method, f"/templates/welcome{path}", {}).status_code != 403


@pytest.mark.parametrize(("method", "path"), READS)
def test_shared_templates_are_read_by_everybody(
    api: Api, boss: Api, method: str, path: str
) -> None:
    published(boss, shared=True)
    assert api.send(method, f"/templates/welcome{path}", {}).status_code == 200


def test_only_staff_create_and_import_shared_templates(api: Api) -> None:
    assert api.post("/templates", WELCOME | {"shared": True}).status_code == 403
    assert api.post("/templates/import?shared=1", WELCOME).status_code == 403
    assert not Template.objects.exists()


def test_the_author_of_shared_versions_is_named_to_those_who_change_them(
    api: Api, boss: Api
) -> None:
    published(boss, shared=True)
    (own,) = boss.get("/templates/welcome/versions").json()["results"]
    (seen,) = api.get("/templates/welcome/versions").json()["results"]
    assert (own["published_by"], seen["published_by"]) == ("boss@example.com", None)


def test_scopes_open_reading_writing_and_sending_apart(api: Api, user: User) -> None:
    published(api)
    reader = api_with(user, "templates:read")
    writer = api_with(user, "templates:write")
    mailer = api_with(user, "emails:send")
    assert reader.get("/templates/welcome").status_code == 200
    assert reader.post("/templates/welcome/render").status_code == 200
    assert reader.post("/templates/welcome/publish").status_code == 403
    assert reader.post("/templates/import", WELCOME).status_code == 403
    assert writer.get("/templates/welcome").status_code == 403
    assert reader.post("/templates/welcome/test-send", {"to": "a@example.com"}).status_code == 403
    assert mailer.post("/templates/welcome/test-send", {"to": "a@example.com"}).status_code == 403
