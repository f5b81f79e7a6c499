"""Sources that would keep a worker busy: refused by what they hold, whatever the machine."""

import pytest

from delivery.services.texts import compiled_source
from mailservice.core.errors import InvalidInputError
from templates_app.engine import TemplateSyntaxProblem, compile_source, scan
from templates_app.engine.limits import MAX_CSS_RULES, MAX_ELEMENTS, MAX_SOURCE_CHARS
from templates_app.rendering import FinishedMail, FinishProblem, MailSource, finish, lint, render
from templates_app.rendering.css_bounds import css_excess
from templates_app.rendering.inlining import inline_filled
from templates_app.rendering.plaintext import html_to_text, text_template
from templates_app.services.sources import locale_faults
from tests.templates_app.library import Shelf


def styled(css, body):
    return f"<style>{css}</style>{body}"


def properties(count, start=""):
    return start + "".join(f"p{number}:1;" for number in range(count))


def mjml(body, head=""):
    column = f"<mj-section><mj-column>{body}</mj-column></mj-section>"
    return f"<mjml><mj-head>{head}</mj-head><mj-body>{column}</mj-body></mjml>"


SHARED = '<mj-attributes><mj-class name="a" color="{}" /></mj-attributes>'

REFUSED = {
    "rules": (styled("p{top:0}" * 2_001, "<p>"), "more than 2,000 CSS rules"),
    "rules in a comment": (styled("/*" + "p{top:0}" * 2_001 + "*/", "<p>"), "2,000 CSS rules"),
    "rules in two styles": (styled("p{top:0}" * 1_001, "<p>") * 2, "more than 2,000 CSS rules"),
    "rules without an end": ("<p><style>" + "p{top:0}" * 2_001, "more than 2,000 CSS rules"),
    "rules times elements": (styled("p{top:0}" * 1_500, "<p>" * 9_000), "1,500 selectors"),
    "selectors of one rule": (styled("p," * 9_999 + "p{top:0}", "<p>" * 2_000), "10,000 selectors"),
    "properties": (
        styled(f"*{{{properties(1_000)}}}", "<p>" * 500),
        "1,000 declarations of 1,000 properties",
    ),
    "properties of elements": (
        styled("p{top:0}" * 1_900, f'<p style="{properties(300)}">' * 150 + "<p>" * 500),
        "1,900 declarations of 302 properties",
    ),
    "properties without a colon": (
        styled(
            "p{top:0}" * 1_900,
            f"<p style='{properties(300)}'>".replace(":", "&#58;") * 90 + "<p>" * 500,
        ),
        "1,900 declarations of",
    ),
    "long values": (styled(f"*{{color:{'x' * 50_000}}}", "<p>" * 3_000), "50,010 characters"),
    "values that grow": (styled(f"*{{color:{'x' * 900}}}", "<p>" * 900), "with its CSS inlined"),
    "unclosed formatting": (
        styled("p{top:0}", "<p>" + "".join(f"<b a={n}>" for n in range(200)) + "<p>x" * 2_000),
        "never closed",
    ),
    "end tags that make elements": (styled("p{top:0}", "</p>" * 90_000), "more than 10,000"),
    "elements": ("<p>" * 10_001, "more than 10,000 elements"),
    "outputs": ("{{ a }}" * 5_001, "more than 5,000 outputs and tags"),
    "tags": ("{% if a %}{% endif %}" * 2_501, "more than 5,000 outputs and tags"),
    "filters": (("{{ a" + "|upcase" * 700 + "}}") * 21, "hold more than 100,000 characters"),
    "size": ("x" * (MAX_SOURCE_CHARS + 1), "at most 524,288 characters"),
    "MJML elements": (mjml("<mj-text>a</mj-text>" * 10_001), "more than 10,000 elements"),
    "MJML that grows": (mjml("<mj-text>a</mj-text>" * 5_000), "as HTML, it has"),
    "carousels": (
        mjml("<mj-carousel>" + '<mj-carousel-image src="a" />' * 101 + "</mj-carousel>"),
        "more than 100 images",
    ),
    "MJML classes": (
        mjml('<mj-text mj-class="a">a</mj-text>' * 2_000, SHARED.format("x" * 9_000)),
        "attributes are too long",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_source_that_would_take_long_is_refused_and_told_why(name):
    html, words = REFUSED[name]
    format_ = "mjml" if html.startswith("<mjml") else "html"
    with pytest.raises(FinishProblem) as caught:
        finish(MailSource(subject="s", html=html, format=format_), Shelf())
    assert caught.value.part == "html"
    assert words in caught.value.problem


def test_the_line_is_told():
    with pytest.raises(FinishProblem) as caught:
        finish(MailSource(subject="s", html="<p>\n" * 10_001), Shelf())
    assert (caught.value.line, caught.value.column) == (10_001, 1)
    with pytest.raises(FinishProblem) as caught:
        finish(MailSource(html="\n\n<i></i>" + styled("p{}" * 2_001, "<p>")), Shelf())
    assert (caught.value.line, caught.value.column) == (3, 8)


def test_a_partial_cannot_bring_in_what_a_mail_may_not_hold():
    shelf = Shelf(row="<p>x" * 100)
    finish(MailSource(subject="s", html='{% render "row" %}' * 99), shelf)
    with pytest.raises(FinishProblem, match="more than 10,000 elements"):
        finish(MailSource(subject="s", html='{% render "row" %}' * 101), shelf)


def test_good_mails_of_generous_size_pass():
    rules = "".join(
        f".c{n}{{color:#333;font-family:Arial,sans-serif;margin:0 {n}px}}" for n in range(500)
    )
    rows = "".join(f'<tr><td class="c{n % 500}"><b>{{{{ a }}}}</b></td></tr>' for n in range(500))
    html = styled(rules, f"<table>{rows}</table>")
    done = finish(MailSource(subject="s", html=html), Shelf())
    assert done.mail.html.count('style="color: #333;') == 500
    assert css_excess(html) is None


@pytest.mark.parametrize("name", ["outputs", "tags", "filters", "size", "elements"])
def test_mail_that_brings_its_own_template_is_bounded_alike(name):
    html, words = REFUSED[name]
    source = {"subject": "s", "html": html, "text": "", "is_template": True}
    with pytest.raises(InvalidInputError) as caught:
        compiled_source(source)
    assert words in caught.value.details["html"][0]["message"]


def test_elements_count_in_html_only():
    source = "<p>" * (MAX_ELEMENTS + 1)
    assert compile_source(source, html=False).is_constant
    with pytest.raises(TemplateSyntaxProblem):
        compile_source(source, html=True)
    assert compile_source("< " * 20_000 + "<p>" * MAX_ELEMENTS, html=True).is_constant


def test_what_is_commented_out_or_verbatim_counts_once():
    assert len(scan("{% comment %}" + "{{ a }}" * 9_000 + "{% endcomment %}")) == 1
    assert len(scan("{% raw %}" + "{{ a }}" * 20_000 + "{% endraw %}")) == 1


@pytest.mark.parametrize("name", ["rules", "properties", "unclosed formatting", "long values"])
def test_a_filled_mail_that_would_take_long_keeps_its_rules_where_they_are(name):
    html, _ = REFUSED[name]
    assert inline_filled(html) == html
    assert render(FinishedMail("s", html, "t", inlines_css=True), {}).html == html


def test_rules_at_the_bound_are_inlined():
    html = styled("p{top:0}" * MAX_CSS_RULES, "<p>x</p>")
    assert '<p style="top: 0;">x</p>' in inline_filled(html)


def test_text_of_more_elements_than_a_mail_has_is_what_stands_between_tags():
    html = "<style>p{}</style><!-- c --><p>a &amp; b</p>" * 20_001
    assert html_to_text(html).splitlines()[0].split() == ["a", "&", "b"] * 20_001
    assert text_template(html.replace("a", "{{ a }}")[: 5_000 * 40] + "<p>" * 20_001) is None


def test_columns_are_not_padded_to_the_width_of_a_hostile_one():
    html = f"<table><tr><td>{'x' * 30_000}</td></tr>{'<tr><td>a</td></tr>' * 900}</table>"
    assert len(html_to_text(html)) < 40_000


def test_remarks_are_cut_before_their_places_are_looked_up():
    done = finish(MailSource(subject="s", html=styled("gap:1;" * 50_000, "<p>x</p>")), Shelf())
    found = lint(done.bundles["html"], render(done.mail, {}))
    assert [one.code for one in found].count("css") == 20


@pytest.mark.parametrize("locale", ["default", "Default"])
def test_no_language_is_called_default(locale):
    [(field, code, message)] = locale_faults(locale)
    assert (field, code) == ("locale", "invalid")
    assert "leave it empty" in message


def test_a_text_finished_twice_is_worked_in_once():
    source = MailSource(subject="s", html=styled("p{top:0}", "<p>{{ once }}</p>"))
    first, second = finish(source, Shelf()), finish(source, Shelf())
    assert first.mail.html is second.mail.html
    other = finish(MailSource(subject="s", html=source.html, language="de"), Shelf())
    assert 'lang="de"' in other.mail.html
    assert 'lang="en"' in first.mail.html
