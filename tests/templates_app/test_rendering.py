"""From an author's sources to a mail: the one way for previews and for sending."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from templates_app.engine import TemplateRenderProblem
from templates_app.rendering import (
    FinishedMail,
    FinishProblem,
    MailSource,
    compile_mail,
    finish,
    render,
)
from tests.templates_app.library import Shelf

NOW = datetime(2026, 5, 4, tzinfo=UTC)
BASE = (
    "<html><head><style>p { color: {{ brand | default: 'red' }} }</style></head><body>"
    '{{ content }}{% render "foot", who: name %}</body></html>'
)
FOOT = "<p>Bye {{ who }}, {{ 'now' | date: 'long' }}</p>"


def finished(**source):
    return finish(MailSource(**{"subject": "Hi {{ name }}", **source}), Shelf(base=BASE, foot=FOOT))


def test_everything_is_worked_in_before_and_filled_after():
    done = finished(
        html='{% layout "base" %}<p>Hello {{ name }}</p>',
        preheader="For <{{ name }}>",
        language="de",
    )
    assert "{% render" not in done.mail.html
    assert done.used == {"id-base": 1, "id-foot": 1}
    assert done.notes == ()
    mail = render(done.mail, {"name": "Ä&B"}, now=NOW)
    assert mail.subject == "Hi Ä&B"
    assert mail.html == (
        '<html lang="de" dir="ltr"><head><style>p { color: red }</style></head><body>'
        '<div style="display:none;max-height:0;overflow:hidden;mso-hide:all" aria-hidden="true">'
        "For &lt;Ä&amp;B&gt;</div>"
        '<p style="color: red;">Hello Ä&amp;B</p>'
        '<p style="color: red;">Bye Ä&amp;B, 4. Mai 2026</p></body></html>'
    )
    assert mail.text == "Hello Ä&B\n\nBye Ä&B, 4. Mai 2026"


def test_a_fragment_becomes_a_document_of_its_language():
    done = finished(html="<p>x</p>", language="fa")
    assert done.mail.html.startswith('<!doctype html>\n<html lang="fa" dir="rtl"><head><meta')


def test_the_authors_language_and_direction_stay():
    done = finished(html='<html lang="en"><body>x</body></html>', language="ar")
    assert done.mail.html == '<html dir="rtl" lang="en"><body>x</body></html>'


def test_mjml_is_converted_once():
    source = (
        "<mjml><mj-body><mj-section><mj-column><mj-text>Hi {{ name }}</mj-text></mj-column>"
        "</mj-section></mj-body></mjml>"
    )
    done = finished(html=source, format="mjml", preheader="Pre", language="de")
    assert "<mj" not in done.mail.html
    assert 'aria-hidden="true">Pre</div>' in done.mail.html
    assert '<html lang="de" dir="ltr"' in done.mail.html
    mail = render(done.mail, {"name": "B"})
    assert "Hi B" in mail.html
    assert mail.text == "Hi B"


def test_what_must_be_inlined_for_each_mail_is_told_and_done():
    done = finished(html="<style>.a{margin:0}</style><p class='{{ c }}'>{{ name }}</p>")
    assert done.mail.inlines_css
    assert done.notes == (
        ("inlined_each", "CSS is inlined for each mail: Liquid makes the class of <p>."),
    )
    assert '<p class="a" style="margin: 0;">' in render(done.mail, {"c": "a", "name": "x"}).html
    assert '<p class="b">' in render(done.mail, {"c": "b", "name": "x"}).html


@pytest.mark.parametrize(
    ("source", "part", "origin", "place"),
    [
        ({"subject": "{{ x"}, "subject", "", (1, 1)),
        ({"preheader": "{{ x | nope }}"}, "preheader", "", (1, 8)),
        ({"html": "<p>\n{% if %}{% endif %}"}, "html", "", (2, 4)),
        ({"html": '{% render "bad" %}'}, "html", "bad", (2, 8)),
        ({"html": '{% layout "base" %}\n\n{{ x | nope }}'}, "html", "", (3, 8)),
        ({"html": "<mjml>\n<mj-bod></mj-bod></mjml>", "format": "mjml"}, "html", "", (2, 1)),
        ({"html": "x", "text": "\n{{ y | nope }}"}, "text", "", (2, 8)),
    ],
)
def test_a_fault_names_part_place_and_whose_it_is(source, part, origin, place):
    with pytest.raises(FinishProblem) as caught:
        finish(MailSource(**source), Shelf(base=BASE, foot=FOOT, bad="<b>\n{{ x | nope }}"))
    error = caught.value
    assert (error.part, error.origin, (error.line, error.column)) == (part, origin, place)


def test_a_missing_variable_is_told_before_with_what_is_known():
    mail = compile_mail(finished(html="<p>{{ order.totl }}</p>").mail)
    with pytest.raises(TemplateRenderProblem) as caught:
        mail.render({"name": "x", "order": {"total": 1, "id": 2}})
    error = caught.value
    assert error.details["known"] == ["id", "total"]
    assert error.details["suggestion"] == "order.total"
    assert "did you mean 'order.total'?" in error.message
    with pytest.raises(TemplateRenderProblem, match="known here: a, b"):
        mail.render({"b": 1, "a": 2})


def test_plain_strings_stay_as_they_are():
    mail = FinishedMail(subject=" {{ x }} ", html="<p>{{ y }}</p>", is_template=False)
    assert render(mail, None) == ("{{ x }}", "<p>{{ y }}</p>", "{{ y }}")


def test_a_mail_of_one_text_only_has_no_html():
    assert finished(text="Hi").mail.html == ""


def test_a_partial_that_ends_early_can_be_shown_alone():
    source = MailSource(html="{{ a }}{% if a %}{% break %}{% endif %}b", own_id="x")
    assert "1" in render(finish(source, Shelf()).mail, {"a": 1}).text
    with pytest.raises(FinishProblem, match="'break' stands outside a loop"):
        finish(replace(source, own_id=""), Shelf())
