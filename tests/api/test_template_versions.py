from __future__ import annotations

from typing import Any

import pytest

from templates_app.models import Template
from tests.support.api import Api
from tests.support.templates import faults_of, made, published

pytestmark = pytest.mark.django_db


def test_a_draft_is_written_language_by_language(api: Api) -> None:
    made(api, texts=None)
    said = api.put("/templates/welcome/draft/default", {"subject": "A", "text": "B"})
    assert said.status_code == 200
    assert said.json()["locale"] == "default"
    assert api.put("/templates/welcome/draft/pt_BR", {"subject": "C", "html": "<p>D</p>"})
    draft = api.get("/templates/welcome/versions/draft").json()
    assert draft["texts"].keys() == {"default", "pt-BR"}
    assert draft["texts"]["pt-BR"]["html"] == "<p>D</p>"
    assert api.delete("/templates/welcome/draft/pt-BR").status_code == 204
    assert api.get("/templates/welcome").json()["draft_locales"] == ["default"]
    assert api.delete("/templates/welcome/draft").status_code == 204
    assert api.get("/templates/welcome/versions/draft").status_code == 404


def test_a_text_that_was_read_can_be_sent_back(api: Api) -> None:
    made(api)
    text = api.get("/templates/welcome/versions/draft").json()["texts"]["de"]
    assert api.put("/templates/welcome/draft/de", text).status_code == 200
    again = api.get("/templates/welcome/versions/draft").json()["texts"]["de"]
    assert {**again, "updated_at": 0} == {**text, "updated_at": 0}


def test_a_text_saved_by_somebody_else_meanwhile_is_not_overwritten(api: Api) -> None:
    made(api)
    read = api.get("/templates/welcome/versions/draft").json()["texts"]["de"]
    text = {"subject": "Neu", "text": "x", "unchanged_since": read["updated_at"]}
    assert api.put("/templates/welcome/draft/de", text).status_code == 200
    refused = api.put("/templates/welcome/draft/de", text)
    assert (refused.status_code, refused.json()["code"]) == (409, "draft_changed")
    assert "unchanged_since" in faults_of(
        api.put("/templates/welcome/draft/de", text | {"unchanged_since": "yesterday"})
    )


def test_a_published_text_that_was_read_begins_the_next_draft(api: Api) -> None:
    published(api)
    for _ in range(2):
        texts = api.get("/templates/welcome/versions/published").json()["texts"]
        for locale in ("default", "de"):
            text = {"subject": "New", "text": "x", "unchanged_since": texts[locale]["updated_at"]}
            assert api.put(f"/templates/welcome/draft/{locale}", text).status_code == 200
            again = api.put(f"/templates/welcome/draft/{locale}", text)
            assert (again.status_code, again.json()["code"]) == (409, "draft_changed")
        assert api.post("/templates/welcome/publish").status_code == 200
    number = {"number": 1}
    assert api.post("/templates/welcome/roll-back", number).status_code == 200
    text = api.get("/templates/welcome/versions/published").json()["texts"]["de"]
    changed = {"subject": "Neu", "text": "x", "unchanged_since": text["updated_at"]}
    assert api.put("/templates/welcome/draft/de", changed).status_code == 200


@pytest.mark.parametrize(
    ("text", "field", "line", "column", "words"),
    [
        ({"html": "<p>\n  {{ name | upcas }}"}, "html", 2, 13, "did you mean 'upcase'"),
        ({"subject": "{% if x %}", "text": "x"}, "subject", 1, 11, "expected tag endif"),
        ({"mjml": "<mjml>\n<mj-txt></mj-txt></mjml>"}, "mjml", 2, 1, "did you mean 'mj-text'"),
        ({"text": 'a\n{% render "fooder" %}'}, "text", 2, 1, "no published partial 'fooder'"),
    ],
)
def test_a_fault_in_a_text_has_line_and_column(
    api: Api, text: dict[str, str], field: str, line: int, column: int, words: str
) -> None:
    made(api, texts=None)
    details = faults_of(api.put("/templates/welcome/draft/default", {"subject": "x"} | text))
    (fault,) = details[field]
    assert fault["code"] == "template_syntax"
    assert (fault["line"], fault["column"]) == (line, column), fault
    assert words in fault["message"]


def test_unknown_members_of_a_text_are_refused(api: Api) -> None:
    made(api)
    details = faults_of(api.put("/templates/welcome/draft/de", {"sbject": "x", "html": "y"}))
    assert "did you mean 'subject'" in details["sbject"][0]["message"]
    details = faults_of(
        api.put("/templates/welcome/draft/de", {"subject": "x", "html": "y", "mjml": "z"})
    )
    assert details.keys() == {"mjml"}
    assert faults_of(api.put("/templates/welcome/draft/d.e", {})).keys() == {"locale"}


def test_publish_roll_back_history_and_diff(api: Api) -> None:
    made(api)
    first = api.post("/templates/welcome/publish", {"note": "Première"})
    assert (first.status_code, first.json()["version"]) == (200, 1)
    again = api.post("/templates/welcome/publish")
    assert (again.status_code, again.json()["code"]) == (409, "no_draft")
    api.put("/templates/welcome/draft/de", {"subject": "Servus", "html": "<p>Tag {{ name }}</p>\n"})
    diff = api.get("/templates/welcome/diff").json()
    assert (diff["from"], diff["to"]) == (1, 2)
    (change,) = diff["changes"]
    assert (change["locale"], change["part"]) == ("de", "subject")
    assert "-Hallo {{ name }}\n+Servus\n" in change["diff"]
    assert api.get("/templates/welcome/diff?locale=default").json()["changes"] == []
    api.post("/templates/welcome/publish")
    back = api.post("/templates/welcome/roll-back", {"number": 1})
    assert (back.status_code, back.json()["version"]) == (200, 3)
    found = api.get("/templates/welcome/versions").json()["results"]
    assert [(one["version"], one["note"]) for one in found] == [
        (3, "Version 1 again"),
        (2, ""),
        (1, "Première"),
    ]
    page = api.get("/templates/welcome/versions?limit=2").json()
    assert page["next"] == "2"
    last = api.get("/templates/welcome/versions?limit=2&cursor=2").json()
    assert [one["version"] for one in last["results"]] == [1]
    one = api.get("/templates/welcome/versions/2?locale=de").json()
    assert one["texts"]["de"]["subject"] == "Servus"
    assert list(one["texts"]) == ["de"]
    assert api.get("/templates/welcome/versions/2?locale=fr").status_code == 404
    assert api.get("/templates/welcome/versions/9").status_code == 404


@pytest.mark.parametrize("number", [None, "1", True, 0, 2**40, 1.5])
def test_roll_back_wants_a_number(api: Api, number: Any) -> None:
    published(api)
    assert "number" in faults_of(api.post("/templates/welcome/roll-back", {"number": number}))


def test_a_draft_that_no_longer_fits_names_the_language(api: Api) -> None:
    published(
        api,
        slug="foot",
        kind="partial",
        texts={"default": {"html": "<p>Foot</p>"}},
    )
    made(api, texts={"default": {"subject": "x", "text": "y"}, "de": {"subject": "x", "text": "y"}})
    html = '<p>\n{% render "foot" %}</p>'
    api.put("/templates/welcome/draft/de", {"subject": "x", "html": html})
    Template.objects.filter(slug="foot").update(slug="footer")
    details = faults_of(api.post("/templates/welcome/publish"))
    (fault,) = details["draft.de.html"]
    assert (fault["line"], fault["column"]) == (2, 1)
    assert "'footer'" in fault["message"]
    assert not fault["message"].startswith("de:")


def test_a_draft_without_a_default_is_not_published(api: Api) -> None:
    texts = {tag: {"subject": "Hi", "text": "x"} for tag in ("ar", "de")}
    made(api, language="en", texts=texts)
    faults = faults_of(api.post("/templates/welcome/publish"))
    assert [(name, one[0]["code"]) for name, one in faults.items()] == [
        ("draft.default", "required")
    ]
    assert "or one in the template's language (en)." in faults["draft.default"][0]["message"]
    assert api.patch("/templates/welcome", {"language": "de"}).status_code == 200
    assert api.post("/templates/welcome/publish").status_code == 200
    sent = api.post("/templates/welcome/render", {"locale": "fr", "version": "published"}).json()
    assert sent["locale"] == "de"


def test_publishing_a_partial_republishes_the_mails_that_use_it(api: Api) -> None:
    foot = {"slug": "foot", "kind": "partial", "texts": {"default": {"html": "<p>Foot</p>"}}}
    published(api, **foot)
    published(api, texts={"default": {"subject": "x", "html": '<p>Hi</p>{% render "foot" %}'}})
    assert api.get("/templates/foot").json()["used_by"] == ["welcome"]
    api.put("/templates/foot/draft/default", {"html": "<p>Boot</p>"})
    body = api.post("/templates/foot/publish", {"republish": True}).json()
    assert body["republished"] == [{"slug": "welcome", "version": 2}]
    assert body["failed"] == []
    assert "Boot" in api.post("/templates/welcome/render").json()["html"]
    assert "republish" in faults_of(api.post("/templates/welcome/publish", {"republish": True}))
