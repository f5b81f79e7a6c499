"""The template editor: saving, preview beside the source, starters, and who may do what."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse

from templates_app.models import Kind, Template
from templates_app.services import create_template, publish, save_draft
from templates_app.starters import all_starters, remarks, rendered

NEWSLETTER = next(one for one in all_starters() if one.format == "mjml")
STARTER_MJML, NEWS = NEWSLETTER.html, {**NEWSLETTER.sample, "name": "Ada"}
SAMPLE = {"name": "Ada", "order": {"total": 5}}


@pytest.fixture
def template(db: None) -> Template:
    return create_template(owner_id=None, slug="welcome", sample=SAMPLE)


def url(page: str, *args: object) -> str:
    return reverse(f"admin:templates_template_{page}", args=args)


def text(**fields: Any) -> dict[str, Any]:
    return {"locale": "", "subject": "Hi {{ name }}", "html": "<p>Hi</p>", "text": "", **fields}


def look(client: Client, template: Template, **fields: Any) -> Any:
    answer = client.post(url("preview", template.pk), text(**fields))
    assert answer.status_code == 200
    return answer.context["look"]


# --- preview --------------------------------------------------------------------------------------


def test_a_preview_is_what_the_unsaved_text_becomes_with_the_sample_data(
    root: Client, template: Template
) -> None:
    found = look(root, template, html="<p>{{ order.total }}</p>", preheader="For {{ name }}")
    assert found.subject == "Hi Ada"
    assert found.preheader == "For Ada"
    assert found.text.strip().endswith("5")
    assert found.problems == ()
    assert not template.versions.exists()


def test_a_preview_takes_the_sample_data_as_they_stand_in_the_editor(
    root: Client, template: Template
) -> None:
    assert look(root, template, sample='{"name": "Grace"}').subject == "Hi Grace"
    template.refresh_from_db()
    assert template.sample == SAMPLE


def test_the_frame_serves_the_html_under_a_policy_that_lets_nothing_run(
    root: Client, template: Template
) -> None:
    found = look(root, template, html="<p>Hi</p><script>alert(1)</script>")
    answer = root.get(url("frame", found.token, "light"))
    assert answer["Content-Security-Policy"] == (
        "sandbox; default-src 'none'; img-src https: data:; style-src 'unsafe-inline'; "
        "frame-ancestors 'self'"
    )
    assert answer["X-Frame-Options"] == "SAMEORIGIN"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "<p" in answer.content.decode()


def test_a_frame_is_its_authors_alone(root: Client, template: Template, staff_with) -> None:
    token = look(root, template, html="<p>secret</p>").token
    other = staff_with("templates.view_template")
    assert "secret" not in other.get(url("frame", token, "light")).content.decode()
    assert staff_with().get(url("frame", token, "light")).status_code in {403, 404}
    assert Client().get(url("frame", token, "light")).status_code == 302


def test_a_frame_that_is_gone_says_so(root: Client, template: Template) -> None:
    assert "is gone" in root.get(url("frame", uuid4(), "dark")).content.decode()


def test_a_missing_variable_is_shown_at_its_place_with_what_was_meant(
    root: Client, template: Template
) -> None:
    (problem,) = look(root, template, html="<p>\n  {{ order.totl }}</p>").problems
    assert (problem.field, problem.line) == ("html", 2)
    assert problem.suggestion == "order.total"
    assert problem.known == ("total",)


@pytest.mark.parametrize(
    ("fields", "field", "line"),
    [
        ({"html": "<p>\n{% if %}</p>"}, "html", 2),
        ({"subject": "{{ x"}, "subject", 1),
        ({"text": "a\nb\n{% nope %}"}, "text", 3),
        ({"preheader": "{{ nme }}"}, "preheader", 1),
        ({"format": "mjml", "html": "<mjml>\n<mj-boddy></mj-boddy></mjml>"}, "html", 2),
    ],
)
def test_a_fault_is_shown_in_the_part_and_line_it_is_in(
    root: Client, template: Template, fields: dict[str, str], field: str, line: int
) -> None:
    problem = look(root, template, **fields).problems[0]
    assert (problem.field, problem.line) == (field, line)


@pytest.mark.parametrize(
    "sample",
    ["{", "[]", '{"a": NaN}', '{"a": "\\u0000"}', '{"a": "\\ud800"}', "[" * 100_000],
    ids=["no json", "list", "nan", "nul", "half a character", "deep"],
)
def test_sample_data_that_cannot_be_kept_are_refused_by_preview_and_save(
    root: Client, template: Template, sample: str
) -> None:
    (problem,) = look(root, template, sample=sample).problems
    assert problem.field == "sample"
    answer = root.post(url("draft", template.pk), text(sample=sample))
    assert "sample" in answer.context["form"].errors
    assert not template.versions.exists()


def test_marketing_mail_is_told_to_offer_a_way_out(root: Client, template: Template) -> None:
    ticked = look(root, template, knows_marketing="1", marketing="1")
    assert "no_unsubscribe" in [one.code for one in ticked.findings]
    assert "no_unsubscribe" not in [one.code for one in look(root, template).findings]


def test_remarks_come_with_the_line_to_go_to(root: Client, template: Template) -> None:
    answer = root.post(
        url("preview", template.pk), text(html='<p>\n<img src="https://example.com/a.png"></p>')
    )
    assert "no_alt" in [one.code for one in answer.context["look"].findings]
    assert 'data-line="2"' in answer.content.decode()


def test_what_an_author_writes_is_escaped_in_the_panel(root: Client, template: Template) -> None:
    hostile = "<script>alert(1)</script>"
    answer = root.post(
        url("preview", template.pk),
        text(subject=hostile, preheader=f"<{hostile}", html="<p>x</p>", text=hostile),
    )
    assert hostile not in answer.content.decode()


def test_html_too_large_for_any_mail_program_is_not_kept(root: Client, template: Template) -> None:
    html = "{% for a in (1..9000) %}" + "x" * 200 + "{% endfor %}"
    found = look(root, template, html=html, text="short")
    assert found.token is None
    assert [one.message for one in found.problems] == [
        "The HTML is too large to be shown; no mail program would show it."
    ]


def test_a_dead_cache_leaves_the_text_and_the_remarks(
    root: Client, template: Template, settings: Any
) -> None:
    dead = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1"}
    settings.CACHES = {"default": dead}
    found = look(root, template)
    assert (found.subject, found.token) == ("Hi Ada", None)
    assert [one.message for one in found.problems] == [
        "The cache does not answer, so no HTML can be shown."
    ]
    assert "is gone" in root.get(url("frame", uuid4(), "light")).content.decode()


def test_an_endless_template_is_stopped_and_said_so(root: Client, template: Template) -> None:
    html = "{% for a in (1..9999) %}{% for b in (1..9999) %}x{% endfor %}{% endfor %}"
    (problem,) = look(root, template, html=html).problems
    assert "loop" in problem.message.lower() or "limit" in problem.message.lower()


def test_lines_as_browsers_post_them_are_the_lines_the_author_wrote(
    root: Client, template: Template
) -> None:
    posted = text(format="mjml", html=STARTER_MJML.replace("\n", "\r\n"), text="a\r\nb")
    assert look(root, template, **posted, sample=json.dumps(NEWS)).problems == ()
    assert root.post(url("draft", template.pk), posted).status_code == 302
    version = template.versions.get()
    assert (version.html, version.text) == (STARTER_MJML, "a\nb")


# --- saving ---------------------------------------------------------------------------------------


def test_the_editor_works_as_a_plain_form_with_local_assets_only(
    root: Client, template: Template
) -> None:
    save_draft(template_id=template.pk, locale="", subject="S", html="<p>body</p>", text="")
    page = root.get(url("draft", template.pk)).content.decode()
    assert "&lt;p&gt;body&lt;/p&gt;" in page
    assert "<textarea" in page
    assert "mailservice/vendor/ace/ace.js" in page
    assert "https://" not in page.partition('class="te"')[0].partition("vendor/ace")[2]


def test_every_asset_of_the_editor_is_ours(root: Client, template: Template) -> None:
    page = root.get(url("draft", template.pk)).content.decode()
    assets = re.findall(r'(?:src|href)="/static/([^"]+\.(?:js|css))"', page)
    assert sum(one.startswith("mailservice/vendor/ace/") for one in assets) == 10
    assert [one for one in assets if finders.find(one) is None] == []
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(?!\s*</script>)", page) == []


def test_the_script_saves_without_leaving_the_page(root: Client, template: Template) -> None:
    answer = root.post(
        url("draft", template.pk),
        text(sample=json.dumps({"name": "Grace"})),
        headers={"X-Requested-With": "fetch"},
    )
    version = template.versions.get()
    assert answer.json() == {"unchanged_since": version.updated_at.isoformat(), "locale": ""}
    template.refresh_from_db()
    assert template.sample == {"name": "Grace"}


def test_the_script_is_told_which_field_is_wrong(root: Client, template: Template) -> None:
    answer = root.post(
        url("draft", template.pk), text(subject=""), headers={"X-Requested-With": "fetch"}
    )
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["faults"]] == ["subject"]
    assert not template.versions.exists()


def test_a_draft_saved_by_somebody_else_is_not_written_over_unasked(
    root: Client, template: Template
) -> None:
    old = save_draft(template_id=template.pk, **text())
    save_draft(template_id=template.pk, **text(subject="Theirs"))
    mine = text(subject="Mine", unchanged_since=old.updated_at.isoformat())
    answer = root.post(url("draft", template.pk), mine, headers={"X-Requested-With": "fetch"})
    assert answer.status_code == 422
    assert template.versions.get().subject == "Theirs"
    again = {**mine, "unchanged_since": answer.json()["unchanged_since"]}
    assert root.post(url("draft", template.pk), again).status_code == 302
    assert template.versions.get().subject == "Mine"


def test_a_new_language_begins_from_the_default_text(root: Client, template: Template) -> None:
    save_draft(template_id=template.pk, **text())
    answer = root.get(url("draft", template.pk), {"locale": "fa"})
    assert answer.context["form"].initial["subject"] == "Hi {{ name }}"
    assert answer.context["form"].initial["locale"] == "fa"
    assert [(tag, is_new) for tag, _, _, is_new in answer.context["tabs"]] == [
        ("", False),
        ("fa", True),
    ]


def test_a_language_is_dropped_from_the_draft_after_a_question(
    root: Client, template: Template
) -> None:
    save_draft(template_id=template.pk, **text())
    save_draft(template_id=template.pk, **text(locale="de"))
    assert root.get(url("language", template.pk), {"locale": "de"}).status_code == 200
    assert template.versions.count() == 2
    root.post(url("language", template.pk), {"locale": "de"})
    assert [one.locale for one in template.versions.all()] == [""]


def test_who_may_only_look_sees_and_tries_everything_and_changes_nothing(
    template: Template, staff_with
) -> None:
    save_draft(template_id=template.pk, **text())
    client = staff_with("templates.view_template")
    page = client.get(url("draft", template.pk)).content.decode()
    assert "Save draft" not in page
    assert look(client, template).subject == "Hi Ada"
    assert client.get(url("diff", template.pk)).status_code == 200
    assert client.get(url("version", template.pk, template.versions.get().pk)).status_code == 200
    for name in ("draft", "publish", "discard", "language", "test"):
        assert client.post(url(name, template.pk), text()).status_code == 403, name
    assert client.post(url("rollback", template.pk, 1)).status_code == 403
    assert template.versions.get().published_at is None
    assert not LogEntry.objects.exists()


def test_a_preview_needs_the_right_to_look_and_a_post(template: Template, staff_with) -> None:
    address = url("preview", template.pk)
    assert staff_with().post(address, text()).status_code == 403
    assert staff_with("templates.view_template").get(address).status_code == 405


def test_changing_texts_does_not_include_publishing_them(template: Template, staff_with) -> None:
    client = staff_with("templates.view_template", "templates.change_template")
    assert client.post(url("draft", template.pk), text()).status_code == 302
    assert client.post(url("publish", template.pk)).status_code == 403
    assert template.versions.get().published_at is None


# --- beginning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", all_starters(), ids=lambda one: one.name)
def test_every_starter_passes_the_lint(one: Any) -> None:
    assert remarks(one) == []
    assert rendered(one).text.strip()


@pytest.mark.parametrize("one", all_starters(), ids=lambda one: one.name)
def test_every_starter_becomes_a_draft_that_can_be_published(root: Client, one: Any) -> None:
    address = f"{url('add')}?starter={one.name}"
    initial = root.get(address).context["adminform"].form.initial
    data = {**initial, "sample": json.dumps(initial["sample"]), "schema": "", "owner": ""}
    assert root.post(address, data).status_code == 302
    made = Template.objects.get(slug=one.name)
    assert made.sample == one.sample
    assert made.versions.get().html == one.html.replace("\r\n", "\n")
    assert publish(template_id=made.pk) == 1


def test_the_gallery_shows_every_starter_in_a_frame(root: Client, db: None) -> None:
    page = root.get(url("add")).content.decode()
    for one in all_starters():
        assert url("starter", one.name) in page
        assert root.get(url("starter", one.name))["Content-Security-Policy"].startswith("sandbox")
    assert root.get(url("starter", "nonesuch")).status_code == 404


def test_a_layout_begins_blank_and_is_previewed_around_a_line(root: Client, db: None) -> None:
    data = {"slug": "base", "kind": "layout", "sample": "", "schema": "", "owner": ""}
    root.post(f"{url('add')}?kind=layout", data)
    made = Template.objects.get(slug="base")
    assert made.kind == Kind.LAYOUT
    found = look(root, made, subject="", html="<div>{{ content }}</div>")
    assert found.problems == ()
    assert "…" in found.text
