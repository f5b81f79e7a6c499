"""MJML becomes HTML once, with Liquid in it."""

import pytest

from templates_app.engine import TemplateSyntaxProblem, compile_source
from templates_app.rendering.mjml import to_html

MAIL = (
    '<mjml><mj-body background-color="{{ bg }}">\n'
    "{% for item in items %}<mj-section><mj-column>\n"
    '{% if item.a < 3 and item.b > 1 %}<mj-text>Hi {{ item.name }}<br>&nbsp;{{ "<" }}</mj-text>'
    '{% else %}<mj-button href="{{ link }}">Go</mj-button>{% endif %}\n'
    "</mj-column></mj-section>{% endfor %}</mj-body></mjml>"
)


def converted(source):
    return to_html(source, language="fa", direction="rtl")


def test_liquid_survives_and_fills():
    html = converted(MAIL).html
    items = [{"a": 1, "b": 2, "name": "<Ö>"}, {"a": 3, "b": 2}]
    filled = compile_source(html, html=True).render(
        {"bg": "red", "items": items, "link": "https://x"}
    )
    assert "Hi &lt;Ö&gt;<br />&nbsp;<" in filled
    assert filled.count('href="https://x"') == 1
    assert "background-color:red" in filled
    assert '<html lang="fa" dir="rtl"' in filled
    assert "fonts.googleapis.com" not in filled


def test_the_authors_language_wins():
    assert (
        '<html lang="de" dir="rtl"' in converted('<mjml lang="de"><mj-body></mj-body></mjml>').html
    )


@pytest.mark.parametrize(
    ("source", "place", "words"),
    [
        ("<mjml>\n<mj-body><mj-sektion></mj-sektion></mj-body></mjml>", (2, 10), "'mj-section'?"),
        ("<mjml><mj-body><mj-text>a</mj-body></mjml>", (1, 26), "expected </mj-text>"),
        ("<mjml><mj-body>", (1, 7), "<mj-body> is never closed"),
        ("<p>x</p>", (1, 1), "MJML begins with <mjml>"),
        ("<mjml><mj-body><mj-text>\na < b</mj-text></mj-body></mjml>", (2, 3), "write &lt;"),
        ("<mjml></mj-body></mjml>", (1, 7), "unexpected </mj-body>, expected </mjml>"),
        (
            "<mjml><mj-head>{% if a %}{% endif %}</mj-head><mj-body></mj-body></mjml>",
            (1, 16),
            "no Liquid stands directly in <mj-head>",
        ),
    ],
)
def test_a_fault_has_a_place(source, place, words):
    with pytest.raises(TemplateSyntaxProblem) as caught:
        converted(source)
    assert (caught.value.line, caught.value.column) == place
    assert words in caught.value.problem


def test_outputs_that_mjml_drops_are_told():
    source = (
        '<mjml><mj-head><mj-attributes><mj-text color="{{ unused }}" /></mj-attributes></mj-head>'
        "<mj-body></mj-body></mjml>"
    )
    assert converted(source).lost == ("{{ unused }}",)


def test_files_are_never_included():
    source = '<mjml><mj-body><mj-include path="/etc/passwd" /></mj-body></mjml>'
    with pytest.raises(TemplateSyntaxProblem, match="no tag <mj-include>"):
        converted(source)


def test_assignments_may_stand_before_the_root():
    source = "{% assign a = 1 %}\n<mjml><mj-body><mj-raw>{{ a }}</mj-raw></mj-body></mjml>"
    assert converted(source).html.startswith("{% assign a = 1 %}\n<!doctype html>")


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_lines_may_end_as_in_browsers_and_old_editors(line_end):
    source = (
        "<mjml>\n<mj-head>\n<mj-title>Hi</mj-title>\n</mj-head>\n<mj-body>\n</mj-body>\n</mjml>"
    )
    assert converted(source.replace("\n", line_end)) == converted(source)
