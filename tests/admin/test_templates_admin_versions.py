"""Versions of templates in the console: history, differences, publishing, going back, tests."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from templates_app.admin.diffs import asked_versions, diff_lines
from templates_app.admin.previews import has_dark_colours, in_colours, keep, kept
from templates_app.models import Kind, Template
from templates_app.services import create_template, publish, save_draft

DARK_RULE = "<style>@media (prefers-color-scheme: dark) { p { color: #fff } }</style>"


@pytest.fixture
def template(db: None) -> Template:
    return create_template(owner_id=None, slug="welcome", sample={"name": "Ada"})


def url(page: str, *args: object) -> str:
    return reverse(f"admin:templates_template_{page}", args=args)


def draft(template: Template, **fields: Any) -> None:
    given = {"locale": "", "subject": "Hi {{ name }}", "html": "<p>Hi</p>", "text": "", **fields}
    save_draft(template_id=template.pk, **given)


def published(template: Template, **fields: Any) -> int:
    draft(template, **fields)
    return publish(template_id=template.pk)


def test_publishing_tells_what_changes_and_keeps_who_and_why(
    root: Client, superuser: User, template: Template
) -> None:
    published(template)
    draft(template, subject="New")
    draft(template, subject="Neu", locale="de")
    page = root.get(url("publish", template.pk)).content.decode()
    assert "default (changed: subject): New" in page
    assert "de (new): Neu" in page
    root.post(url("publish", template.pk), {"note": "Shorter"})
    version = template.versions.get(number=2, locale="")
    assert (version.note, version.published_by) == ("Shorter", superuser)
    history = root.get(url("change", template.pk)).content.decode()
    assert "Shorter" in history
    assert superuser.email in history


def test_publishing_warns_of_what_the_sample_data_lack(root: Client, template: Template) -> None:
    draft(template, html="<p>{{ name }}, {{ nmae }}</p>")
    page = root.get(url("publish", template.pk)).content.decode()
    assert "With the sample data: The variable &#x27;nmae&#x27; is missing" in page
    draft(template, html="<p>{{ name }}</p>")
    assert "With the sample data" not in root.get(url("publish", template.pk)).content.decode()


def test_a_layouts_mails_are_named_and_published_anew_if_wished(root: Client, db: None) -> None:
    layout = create_template(owner_id=None, slug="base", kind=Kind.LAYOUT.value)
    published(layout, subject="", html="<div>{{ content }}</div>")
    letter = create_template(owner_id=None, slug="letter")
    published(letter, subject="S", html='{% layout "base" %}<p>Body</p>')
    draft(layout, subject="", html="<section>{{ content }}</section>")
    page = root.get(url("publish", layout.pk)).content.decode()
    assert "Used by 1 published template: letter" in page
    root.post(url("publish", layout.pk), {"republish": "on"})
    newest = letter.versions.order_by("-number").first()
    assert newest is not None
    assert newest.number == 2
    assert "<section" in newest.final_html
    assert "letter" in root.get(url("change", layout.pk)).content.decode()


def test_mails_behind_a_layout_are_told_and_published_anew(
    root: Client, superuser: User, db: None
) -> None:
    layout = create_template(owner_id=None, slug="base", kind=Kind.LAYOUT.value)
    published(layout, subject="", html="<div>{{ content }}</div>")
    letter, note = (create_template(owner_id=None, slug=slug) for slug in ("letter", "note"))
    for one in (letter, note):
        published(one, subject="S", html='{% layout "base" %}<p>Body</p>')
    assert "Behind" not in root.get(url("change", letter.pk)).content.decode()
    published(layout, subject="", html="<section>{{ content }}</section>")
    assert "before the newest base" in root.get(url("change", letter.pk)).content.decode()
    page = root.get(url("change", layout.pk)).content.decode()
    assert "older version of it: letter, note." in page
    asked = root.get(url("republish", letter.pk)).content.decode()
    assert "Take in the newest base?" in asked
    assert letter.versions.count() == 1
    root.post(url("republish", letter.pk))
    newest = letter.versions.get(number=2)
    assert "<section" in newest.final_html
    assert (newest.note, newest.published_by) == ("Republished with the new base", superuser)
    root.post(url("republish", layout.pk))
    assert [one.versions.count() for one in (letter, note)] == [2, 2]
    assert "Behind" not in root.get(url("change", layout.pk)).content.decode()
    again = root.post(url("republish", letter.pk), follow=True).content.decode()
    assert "Nothing is behind" in again


def test_whoever_drops_the_default_is_told_what_that_means(
    root: Client, template: Template
) -> None:
    for locale in ("", "ar"):
        draft(template, locale=locale)
    page = root.get(f"{url('language', template.pk)}?locale=ar").content.decode()
    assert "get the next best language" in page
    page = root.get(f"{url('language', template.pk)}?locale=").content.decode()
    assert "Nothing stands for the default then" in page
    root.post(url("language", template.pk), {"locale": ""})
    page = root.get(url("publish", template.pk)).content.decode()
    assert "This cannot be published yet. Readers of other languages need a text" in page
    answer = root.post(url("publish", template.pk), follow=True)
    assert "Readers of other languages need a text" in answer.content.decode()
    draft(template, locale="en")
    root.post(url("publish", template.pk))
    assert template.versions.filter(published_at__isnull=False).count() == 2


def test_a_language_opens_however_its_tag_is_spelled(root: Client, template: Template) -> None:
    draft(template, locale="pt-BR", format="mjml", html="<mjml><mj-body></mj-body></mjml>")
    for page in ("draft", "design"):
        answer = root.get(f"{url(page, template.pk)}?locale=PT_br")
        initial = answer.context["form"].initial
        assert (initial["locale"], initial["subject"]) == ("pt-BR", "Hi {{ name }}")
        assert "unchanged_since" in initial
    root.post(url("language", template.pk), {"locale": "pt-br"})
    assert "needs a text" in root.get(url("change", template.pk)).content.decode()


def test_previews_of_one_person_stay_few_and_his_own(db: None) -> None:
    tokens = [keep(f"<p>{number}</p>", user_id="ann") for number in range(20)]
    shown = [kept(token, user_id="ann") for token in tokens if token is not None]
    assert shown == [None] * 4 + [f"<p>{number}</p>" for number in range(4, 20)]
    assert tokens[-1] is not None
    assert kept(tokens[-1], user_id="eve") is None
    keep("<p>hers</p>", user_id="eve")
    assert kept(tokens[-1], user_id="ann") == "<p>19</p>"


def test_a_layouts_mails_keep_their_version_otherwise(root: Client, db: None) -> None:
    layout = create_template(owner_id=None, slug="base", kind=Kind.LAYOUT.value)
    published(layout, subject="", html="<div>{{ content }}</div>")
    letter = create_template(owner_id=None, slug="letter")
    published(letter, subject="S", html='{% layout "base" %}<p>Body</p>')
    draft(layout, subject="", html="<section>{{ content }}</section>")
    root.post(url("publish", layout.pk))
    assert letter.versions.count() == 1


def test_an_old_version_comes_back_as_the_newest(root: Client, template: Template) -> None:
    published(template, subject="One")
    published(template, subject="Two")
    assert root.get(url("rollback", template.pk, 1)).status_code == 200
    assert template.versions.count() == 2
    answer = root.post(url("rollback", template.pk, 1), {"note": "Two was wrong"}, follow=True)
    assert "Version 1 is back, as version 3." in answer.content.decode()
    newest = template.versions.get(number=3)
    assert (newest.subject, newest.note) == ("One", "Two was wrong")


def test_going_back_to_what_is_in_use_or_not_there_is_refused(
    root: Client, template: Template
) -> None:
    published(template)
    for number in (1, 7):
        root.post(url("rollback", template.pk, number))
    assert template.versions.count() == 1


def test_a_difference_is_shown_line_by_line_and_escaped(root: Client, template: Template) -> None:
    published(template, html="<p>one</p>\n<b>same</b>")
    published(template, html="<p>two</p>\n<b>same</b>")
    answer = root.get(url("diff", template.pk), {"old": "1", "new": "2"})
    (diff,) = answer.context["diffs"]
    assert (diff.part, diff.added, diff.removed) == ("html", 1, 1)
    assert [(line.kind, line.old, line.new) for line in diff.lines] == [
        ("skip", None, None),
        ("del", 1, None),
        ("add", None, 1),
        ("same", 2, 2),
    ]
    assert "&lt;p&gt;two&lt;/p&gt;" in answer.content.decode()


def test_a_difference_of_versions_that_are_not_there_is_not_found(
    root: Client, template: Template
) -> None:
    assert root.get(url("diff", template.pk)).status_code == 404
    published(template)
    assert root.get(url("diff", template.pk), {"old": "9", "new": "1"}).status_code == 404
    assert root.get(url("diff", template.pk), {"old": "9" * 5000}).status_code == 200


def test_a_test_mail_goes_to_the_person_who_asks(
    root: Client, superuser: User, template: Template
) -> None:
    draft(template)
    draft(template, locale="de", subject="Hallo {{ name }}")
    assert root.get(url("test", template.pk)).status_code == 200
    assert mail.outbox == []
    root.post(url("test", template.pk), {"locale": "de"})
    (sent,) = mail.outbox
    assert (sent.subject, sent.to) == ("[Test] Hallo Ada", [superuser.email])


def test_a_test_mail_without_a_default_text_needs_a_language(
    root: Client, template: Template
) -> None:
    draft(template, locale="de")
    answer = root.post(url("test", template.pk))
    assert answer.status_code == 200
    assert "This field is required." in answer.content.decode()
    assert mail.outbox == []


def test_a_name_that_mails_use_is_kept_and_the_page_says_why(root: Client, db: None) -> None:
    layout = create_template(owner_id=None, slug="base", kind=Kind.LAYOUT.value)
    published(layout, subject="", html="<div>{{ content }}</div>")
    draft(create_template(owner_id=None, slug="letter"), html='{% layout "base" %}<p>Body</p>')
    fields = {"slug": "basis", "kind": "layout", "sample": "{}", "schema": "{}"}
    answer = root.post(url("change", layout.pk), fields, follow=True)
    assert "Used by letter: they would not find it" in answer.content.decode()
    layout.refresh_from_db()
    assert layout.slug == "base"


def test_a_test_mail_needs_data_that_fill_it(root: Client, template: Template) -> None:
    draft(template, html="<p>{{ missing }}</p>")
    answer = root.post(url("test", template.pk), follow=True)
    assert "Not sent: " in answer.content.decode()
    assert mail.outbox == []


def test_a_version_is_shown_with_what_it_becomes(root: Client, template: Template) -> None:
    published(template)
    answer = root.get(url("version", template.pk, template.versions.get().pk))
    assert answer.context["look"].subject == "Hi Ada"


def test_the_history_asks_as_much_for_many_versions_as_for_few(
    root: Client, template: Template, django_assert_max_num_queries: Any
) -> None:
    for number in range(6):
        published(template, subject=f"S{number}")
    with django_assert_max_num_queries(20):
        root.get(url("change", template.pk))


# --- pure -----------------------------------------------------------------------------------------

lines = st.lists(st.sampled_from(["", "a", "b", "-c", "+d", "@@ x", "--- e"]), max_size=12)


@given(lines, lines)
def test_lines_of_a_difference_carry_the_numbers_of_their_side(
    old: list[str], new: list[str]
) -> None:
    diff = "\n".join(unified_diff(old, new, "v1", "v2", lineterm="")) + "\n"
    for line in diff_lines(diff):
        if line.kind != "skip":
            assert line.old is None or old[line.old - 1] == line.text
            assert line.new is None or new[line.new - 1] == line.text


@given(st.text(max_size=12), st.text(max_size=12))
def test_versions_asked_for_are_there_whatever_is_asked(old: str, new: str) -> None:
    assert asked_versions({"old": old, "new": new}, [3, 2, 1]) in {
        None,
        *((a, b) for a in (1, 2, 3) for b in (1, 2, 3)),
    }


def test_dark_rules_apply_in_dark_and_only_there() -> None:
    html = f"<html><head>{DARK_RULE}</head><body><p>x</p></body></html>"
    assert "@media (min-width:0)" in in_colours(html, is_dark=True)
    assert "@media (max-width:0)" in in_colours(html, is_dark=False)
    assert "filter:" not in in_colours(html, is_dark=True)


def test_a_mail_without_dark_colours_is_inverted_in_dark() -> None:
    html = "<!doctype html><html><head></head><body><p>x</p></body></html>"
    assert not has_dark_colours(html)
    dark = in_colours(html, is_dark=True)
    assert dark.startswith("<!doctype html><html><head><base ")
    assert "filter:invert" in dark
    assert "filter:" not in in_colours(html, is_dark=False)
