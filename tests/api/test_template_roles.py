"""Who sees drafts, and how a mail that is behind its layouts and partials is told and mended."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission

from accounts.models import User
from accounts.services import create_api_key
from tests.support.api import Api
from tests.support.templates import faults_of, made, published

pytestmark = pytest.mark.django_db

ALL = ("add_template", "change_template", "publish_template", "view_template")
FOOT: dict[str, Any] = {"slug": "foot", "kind": "partial", "sample": {}}


def key_of(email: str, *codenames: str, is_staff: bool = True) -> Api:
    user = User.objects.create_user(email, is_staff=is_staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return Api(create_api_key(user=user, name="key").secret)


@pytest.fixture
def boss(db: None) -> Api:
    return key_of("boss@example.com", *ALL)


@pytest.fixture
def common(boss: Api) -> Api:
    """A shared template with version 1 published, and version 2 a draft with a secret in it."""
    published(boss, shared=True)
    text = {"subject": "Layoffs {{ reason }}", "html": "<p>{{ secret_plan }}</p>"}
    assert boss.put("/templates/welcome/draft/default", text).status_code == 200
    assert boss.put("/templates/welcome/draft/fr", text).status_code == 200
    return boss


DRAFT_DOORS = [
    ("GET", "/versions/draft", None),
    ("GET", "/versions/2", None),
    ("GET", "/diff", None),
    ("GET", "/diff?from=1&to=2", None),
    ("GET", "/export?version=draft", None),
    ("GET", "/export?version=2", None),
    ("POST", "/render", {"version": "draft", "context": {"reason": 1, "secret_plan": 2}}),
    ("POST", "/render", {"version": 2, "context": {"reason": 1, "secret_plan": 2}}),
    (
        "POST",
        "/test-send",
        {"version": 2, "to": "a@example.com", "context": {"reason": 1, "secret_plan": 2}},
    ),
]


@pytest.mark.parametrize(("method", "path", "body"), DRAFT_DOORS)
def test_drafts_of_shared_templates_do_not_exist_for_other_keys(
    api: Api, common: Api, settings: Any, method: str, path: str, body: Any
) -> None:
    settings.DEFAULT_FROM_EMAIL = "shop@example.com"
    refused = api.send(method, f"/templates/welcome{path}", body)
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert common.send(method, f"/templates/welcome{path}", body).status_code in {200, 202}


def test_nothing_else_tells_of_a_shared_draft(api: Api, common: Api) -> None:
    for path in ("", "/versions", "/versions/1", "/versions/published", "/export"):
        told = api.get(f"/templates/welcome{path}")
        assert told.status_code == 200
        assert b"secret_plan" not in told.content
        assert b"Layoffs" not in told.content
    whole = api.get("/templates/welcome").json()
    assert (whole["draft_version"], whole["draft_locales"]) == (None, [])
    assert whole["context_schema"]["required"] == ["name"]
    (listed,) = api.get("/templates").json()["results"]
    assert (listed["draft_version"], listed["published_version"]) == (None, 1)
    assert [one["version"] for one in api.get("/templates/welcome/versions").json()["results"]] == [
        1
    ]
    rendered = api.post("/templates/welcome/render").json()
    assert (rendered["subject"], rendered["status"]) == ("Hello Ann", "published")
    assert common.get("/templates/welcome").json()["draft_locales"] == ["default", "de", "fr"]
    assert len(common.get("/templates/welcome/versions").json()["results"]) == 2


@pytest.mark.parametrize("codename", ["view_template", "change_template", "publish_template"])
def test_staff_who_work_on_shared_templates_see_their_drafts(common: Api, codename: str) -> None:
    seer = key_of("seer@example.com", codename)
    assert seer.get("/templates/welcome/versions/draft").status_code == 200
    assert seer.get("/templates").json()["results"][0]["draft_version"] == 2
    outsider = key_of("out@example.com", codename, is_staff=False)
    assert outsider.get("/templates/welcome/versions/draft").status_code == 404


def test_a_shared_template_that_was_never_published_is_seen_by_staff_only(
    api: Api, boss: Api
) -> None:
    made(boss, shared=True)
    assert api.get("/templates/welcome").status_code == 404
    assert api.post("/templates/welcome/render", {"source": {"text": "x"}}).status_code == 404
    assert api.get("/templates").json()["results"] == []
    assert [one["slug"] for one in boss.get("/templates").json()["results"]] == ["welcome"]


def test_the_history_is_read_page_by_page(api: Api) -> None:
    published(api)
    for number in range(2, 8):
        text = {"subject": f"v{number}", "text": "x"}
        api.put("/templates/welcome/draft/default", text)
        api.post("/templates/welcome/publish")
    pages, cursor = [], ""
    while True:
        page = api.get(f"/templates/welcome/versions?limit=3{cursor}").json()
        pages.append([one["version"] for one in page["results"]])
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert pages == [[7, 6, 5], [4, 3, 2], [1]]
    assert "cursor" in faults_of(api.get("/templates/welcome/versions?cursor=x"))


# --- behind layouts and partials ------------------------------------------------------------------


def foot(api: Api, words: str) -> None:
    api.put("/templates/foot/draft/default", {"html": f"<p>{words}</p>"})
    assert api.post("/templates/foot/publish").status_code == 200


@pytest.fixture
def behind(api: Api) -> Api:
    """Two mails of which one was published before the newest footer, in two languages."""
    published(api, **FOOT, texts={"default": {"html": "<p>one</p>"}})
    text = {"subject": "x", "html": '<p>{{ name }}</p>{% render "foot" %}'}
    published(api, texts={"default": text, "de": text})
    foot(api, "two")
    published(api, slug="fresh", texts={"default": text})
    return api


def test_mails_that_are_behind_are_told_everywhere(behind: Api) -> None:
    whole = behind.get("/templates/welcome").json()
    assert whole["is_behind"] is True
    assert whole["behind"] == [{"slug": "foot", "kind": "partial", "version": 1, "newest": 2}]
    fresh = behind.get("/templates/fresh").json()
    assert (fresh["is_behind"], fresh["behind"]) == (False, [])
    listed = behind.get("/templates").json()["results"]
    assert {one["slug"]: one["is_behind"] for one in listed} == {
        "fresh": False,
        "foot": False,
        "welcome": True,
    }
    partial = behind.get("/templates/foot").json()
    assert (partial["used_by"], partial["behind_it"]) == (["fresh", "welcome"], ["welcome"])


def test_a_mail_that_is_behind_is_published_anew_once(behind: Api) -> None:
    behind.put("/templates/welcome/draft/de", {"subject": "Entwurf", "text": "x"})
    done = behind.post("/templates/welcome/republish")
    assert (done.status_code, done.json()["version"]) == (200, 2)
    whole = behind.get("/templates/welcome").json()
    assert (whole["is_behind"], whole["published_version"], whole["draft_version"]) == (False, 2, 3)
    rendered = behind.post("/templates/welcome/render", {"version": "published", "locale": "de"})
    assert "<p>two</p>" in rendered.json()["html"]
    note = behind.get("/templates/welcome/versions").json()["results"][1]["note"]
    assert note == "Republished with the new foot"
    again = behind.post("/templates/welcome/republish")
    assert (again.status_code, again.json()["code"]) == (409, "is_current")


def test_all_mails_behind_a_partial_are_published_anew_once(behind: Api) -> None:
    done = behind.post("/templates/foot/republish").json()
    assert done["message"] == "1 mail is published anew."
    assert (done["republished"], done["failed"]) == ([{"slug": "welcome", "version": 2}], [])
    again = behind.post("/templates/foot/republish").json()
    assert (again["republished"], again["message"]) == ([], "0 mails are published anew.")
    assert behind.get("/templates/fresh").json()["published_version"] == 1


def test_publishing_a_partial_says_which_mails_are_behind_it(behind: Api) -> None:
    behind.put("/templates/foot/draft/default", {"html": "<p>three</p>"})
    said = behind.post("/templates/foot/publish").json()
    assert said["behind_it"] == ["fresh", "welcome"]


def test_a_mail_that_no_longer_fits_stays_and_is_told(api: Api) -> None:
    base = {"html": "{% block top %}{% endblock %}{{ content }}"}
    mail = {"subject": "Hi", "html": '{% layout "base" %}{% block top %}x{% endblock %}'}
    published(api, slug="base", kind="layout", texts={"default": base})
    published(api, texts={"default": mail})
    api.put("/templates/base/draft/default", {"html": "{{ content }}"})
    api.post("/templates/base/publish")
    refused = api.post("/templates/welcome/republish")
    assert refused.status_code == 400
    assert "no longer fits" in refused.json()["message"]
    assert "has no block 'top'" in refused.json()["details"]["html"][0]["message"]
    assert api.get("/templates/welcome").json()["published_version"] == 1


def test_a_partial_that_mails_use_keeps_its_name(behind: Api) -> None:
    refused = behind.patch("/templates/foot", {"slug": "footer"})
    assert faults_of(refused)["slug"][0]["message"] == (
        "Used by fresh, welcome: they would not find it under another name."
    )


def test_republishing_needs_the_right_to_publish(api: Api, common: Api) -> None:
    assert api.post("/templates/welcome/republish").status_code == 403
    assert (
        key_of("c@example.com", "change_template").post("/templates/welcome/republish").status_code
        == 403
    )


def test_the_list_costs_the_same_however_many_are_behind(
    behind: Api, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(4):
        behind.get("/templates")
