"""The visual editor's page: what opens, what is refused, and that it saves as the source editor."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse

from templates_app.admin.canvas import to_canvas
from templates_app.models import Kind, Template
from templates_app.services import create_template, publish, roll_back, save_draft
from templates_app.starters import all_starters

NEWSLETTER = next(one for one in all_starters() if one.format == "mjml")

CROSSED = (
    "<mjml><mj-body><mj-section><mj-column>{% if a %}</mj-column><mj-column>{% endif %}"
    "</mj-column></mj-section></mj-body></mjml>"
)


@pytest.fixture
def template(db: None) -> Template:
    made = create_template(owner_id=None, slug="news", sample=NEWSLETTER.sample)
    save_draft(
        template_id=made.pk, locale="", subject="News", html=NEWSLETTER.html, text="", format="mjml"
    )
    return made


def url(page: str, *args: object) -> str:
    return reverse(f"admin:templates_template_{page}", args=args)


def data_of(answer: Any) -> dict[str, Any]:
    found = re.search(
        r'<script id="td-data" type="application/json">(.*?)</script>', answer.content.decode()
    )
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def canvas_of(source: str) -> str:
    return to_canvas(source).markup


def posted(template: Template, **fields: str) -> dict[str, str]:
    draft = template.versions.get()
    return {
        "locale": "",
        "unchanged_since": draft.updated_at.isoformat(),
        "subject": "News",
        "format": "mjml",
        "html": draft.html,
        "canvas": canvas_of(draft.html),
        **fields,
    }


def test_the_page_brings_the_draft_under_a_policy_without_eval(
    root: Client, template: Template
) -> None:
    answer = root.get(url("design", template.pk))
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe-eval" not in policy
    data = data_of(answer)
    assert data["markup"] == canvas_of(NEWSLETTER.html)
    assert data["kept"][0]["label"] == "For each story in stories"
    assert "prefers-color-scheme" not in data["css"]


def test_every_asset_of_the_page_is_ours_and_there(root: Client, template: Template) -> None:
    page = root.get(url("design", template.pk)).content.decode()
    sources = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="([^"]+)"', page)
    assert len(sources) >= 12
    for source in sources:
        assert source.startswith("/static/")
        assert finders.find(source.removeprefix("/static/")), source
    assert not re.search(r"<script(?![^>]+src=)(?![^>]+application/json)", page)
    assert not re.search(r"\son\w+=", page)


def test_vendored_scripts_name_no_source_map() -> None:
    for name in ("grapesjs/grapes.min.js", "grapesjs-mjml/grapesjs-mjml.min.js"):
        path = finders.find(f"mailservice/vendor/{name}")
        assert isinstance(path, str)
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - one line
            assert not any(line.startswith("//# sourceMappingURL") for line in file)


def test_saving_writes_the_canvas_into_the_same_draft(root: Client, template: Template) -> None:
    edited = canvas_of(NEWSLETTER.html).replace("Read on", "Read &amp; {{ issue.number }}")
    answer = root.post(
        url("draft", template.pk),
        posted(template, canvas=edited, subject="Edited"),
        headers={"X-Requested-With": "fetch"},
    )
    assert answer.status_code == 200
    draft = template.versions.get()
    assert draft.html == NEWSLETTER.html.replace("Read on", "Read &amp; {{ issue.number }}")
    assert (draft.subject, draft.format) == ("Edited", "mjml")
    assert answer.json()["unchanged_since"] == draft.updated_at.isoformat()


def test_a_draft_saved_meanwhile_is_not_written_over_unasked(
    root: Client, template: Template
) -> None:
    opened = posted(template, canvas=canvas_of(NEWSLETTER.html).replace("Read on", "Mine"))
    html = NEWSLETTER.html.replace("Read on", "Theirs")
    save_draft(
        template_id=template.pk, locale="", subject="News", html=html, text="", format="mjml"
    )
    answer = root.post(url("draft", template.pk), opened, headers={"X-Requested-With": "fetch"})
    assert answer.status_code == 422
    assert "Somebody saved this draft meanwhile." in answer.json()["faults"][0]["message"]
    assert template.versions.get().html == html
    opened["unchanged_since"] = answer.json()["unchanged_since"]
    assert root.post(url("draft", template.pk), opened).status_code == 302
    assert "Mine" in template.versions.get().html


@pytest.mark.parametrize("page", ["draft", "design"])
@pytest.mark.parametrize("headers", [{}, {"X-Requested-With": "fetch"}])
def test_what_is_published_or_brought_back_can_be_edited(
    root: Client, template: Template, page: str, headers: dict[str, str]
) -> None:
    html = NEWSLETTER.html
    save_draft(
        template_id=template.pk, locale="de", subject="Neues", html=html, text="", format="mjml"
    )
    publish(template_id=template.pk)

    def save(locale: str, word: str) -> Any:
        opened = root.get(f"{url(page, template.pk)}?locale={locale}").context["form"].initial
        fields = {name: opened[name] for name in ("locale", "subject", "format", "html")}
        if page == "design":
            fields["canvas"] = canvas_of(html).replace("Read on", word)
        else:
            fields["html"] = html.replace("Read on", word)
        fields |= {"unchanged_since": opened["unchanged_since"], "preheader": "", "text": ""}
        return root.post(url("draft", template.pk), fields, headers=headers)

    answers = [save("de", "Weiter"), save("", "Further"), save("de", "Mehr")]
    assert {answer.status_code for answer in answers} == {200 if headers else 302}
    drafts = {one.locale: one.html for one in template.versions.filter(number=2)}
    assert ("Mehr" in drafts["de"], "Further" in drafts[""]) == (True, True)
    publish(template_id=template.pk)
    roll_back(template_id=template.pk, number=1)
    assert save("", "Again").status_code == (200 if headers else 302)
    assert "Again" in template.versions.get(number=4, locale="").html


def test_a_preview_is_made_of_the_canvas(root: Client, template: Template) -> None:
    canvas = canvas_of(NEWSLETTER.html).replace("Read on", "Go {{ nmae }}")
    look = root.post(url("preview", template.pk), posted(template, canvas=canvas)).context["look"]
    assert "'nmae'" in look.problems[0].message


@pytest.mark.parametrize("canvas", ["<p>no mail</p>", '<mjml><mj-body><ms-row n="9"></ms-row>'])
def test_what_the_editor_cannot_have_made_changes_nothing(
    root: Client, template: Template, canvas: str
) -> None:
    fields = posted(template, canvas=canvas)
    answer = root.post(url("draft", template.pk), fields)
    assert answer.status_code == 422
    assert answer.json()["faults"][0]["message"]
    assert answer.json()["unchanged_since"] == fields["unchanged_since"], "kept for the next try"
    assert template.versions.get().html == NEWSLETTER.html
    look = root.post(url("preview", template.pk), posted(template, canvas=canvas)).context["look"]
    assert look.problems


def test_what_the_browser_lost_is_named(root: Client, template: Template) -> None:
    fine = root.post(url("design_check", template.pk), posted(template))
    assert fine.json() == {"lost": ""}
    canvas = canvas_of(NEWSLETTER.html).replace('align="left" ', "")
    lost = root.post(url("design_check", template.pk), posted(template, canvas=canvas)).json()
    assert lost["lost"].startswith('<mj-button align="left" href="{{ issue.url }}"')
    assert root.get(url("design_check", template.pk)).status_code == 405


@pytest.mark.parametrize(
    ("html", "text_format", "reason"),
    [
        ("<p>Hi</p>", "html", "This text is written in HTML."),
        (
            CROSSED,
            "mjml",
            "begins inside of an element",
        ),
    ],
)
def test_what_cannot_be_opened_says_why_and_leads_to_the_source(
    root: Client, template: Template, html: str, text_format: str, reason: str
) -> None:
    template.versions.update(html=html, format=text_format)
    page = root.get(url("design", template.pk)).content.decode()
    assert reason in page
    assert f'href="{url("draft", template.pk)}?locale="' in page
    assert "td-data" not in page


def test_a_new_template_begins_with_an_empty_sheet(root: Client, db: None) -> None:
    made = create_template(owner_id=None, slug="empty")
    data = data_of(root.get(url("design", made.pk)))
    assert "<mj-text>Write here.</mj-text>" in data["markup"]
    assert not made.versions.exists()


def test_what_an_author_writes_cannot_leave_its_place(root: Client, template: Template) -> None:
    hostile = "</textarea></script><script>alert(1)</script>"
    html = NEWSLETTER.html.replace("Read on", f"<mj-x>{hostile}")
    template.versions.update(html=html, subject=hostile)
    template.title = hostile
    template.save()
    assert "<script>alert" not in root.get(url("design", template.pk)).content.decode()
    template.versions.update(html=NEWSLETTER.html.replace("Read on", "<b title='</script>'>x</b>"))
    page = root.get(url("design", template.pk)).content.decode()
    assert "<script>alert" not in page
    assert page.count("</script>") == page.count("<script")


def test_who_may_only_look_can_open_and_not_save(template: Template, staff_with) -> None:
    reader = staff_with("templates.view_template")
    page = reader.get(url("design", template.pk)).content.decode()
    assert "data-can-save" not in page
    assert "data-save" not in page
    assert reader.post(url("draft", template.pk), posted(template)).status_code == 403
    assert staff_with().get(url("design", template.pk)).status_code == 403
    assert Client().get(url("design", template.pk)).status_code == 302


def test_the_source_editor_leads_here_for_mjml_alone(root: Client, template: Template) -> None:
    link = f'href="{url("design", template.pk)}'
    assert link in root.get(url("draft", template.pk)).content.decode()
    template.versions.update(format="html", html="<p>Hi</p>")
    assert link not in root.get(url("draft", template.pk)).content.decode()


def test_a_layout_in_mjml_opens_with_its_content_in_place(root: Client, db: None) -> None:
    made = create_template(owner_id=None, slug="base", kind=Kind.LAYOUT)
    html = "<mjml><mj-body>{{ content }}</mj-body></mjml>"
    save_draft(template_id=made.pk, locale="", subject="", html=html, text="", format="mjml")
    data = data_of(root.get(url("design", made.pk)))
    assert data["kept"] == [{"label": "{{ content }}", "shown": "{{ content }}"}]
