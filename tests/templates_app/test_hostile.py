"""Templates made to slow a worker: each is stopped within its budget.

Bounds are counted wherever they can be, so that an attack ends at the same place on any machine.
The CPU time here is many times what a quiet machine needs: it tells linear from quadratic, no more.
"""

from contextlib import suppress
from time import process_time

import pytest

from templates_app.engine import TemplateRenderProblem, TemplateSyntaxProblem, compile_source, scan
from templates_app.engine.context import SandboxContext
from templates_app.rendering import FinishedMail, FinishProblem, MailSource, finish, render
from templates_app.rendering.inlining import check_css, inline_source
from templates_app.rendering.mjml import to_html
from templates_app.rendering.plaintext import html_to_text, text_template
from tests.templates_app.library import Shelf

CPU_SECONDS = 10.0

#: Each repeated to a megabyte; Liquid's own lexer takes hours for some.
ROWS = [
    "{{", "{%", "{", "}}", "{{ x", "{% raw %}", "{% doc %}", "{% comment %}", "{% # ", "{{ {{",
    "{%-", "{% raw %}{% comment %}", "{{ ' ", "{{ a" + " " * 150,
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_sources_of_a_megabyte_are_refused_or_read_in_linear_time(row):
    source = (row * (999_000 // len(row)))[:999_000]
    start = process_time()
    with suppress(TemplateSyntaxProblem):
        scan(source)
    with suppress(TemplateSyntaxProblem):
        compile_source(source, html=True)
    assert process_time() - start < CPU_SECONDS


def test_one_construct_is_bounded_in_length_and_spaces():
    for source in ("{{ " + "x" * 5_000 + " }}", "{{ a" + " " * 200 + "}}"):
        with pytest.raises(TemplateSyntaxProblem):
            compile_source(source, html=True)


LONG = "{% assign t = text %}{% for i in (1..9999) %}"
ATTACKS = [
    LONG + "{% assign u = t | upcase %}{% endfor %}",
    LONG + "{% assign u = t | url_encode %}{% endfor %}",
    LONG + "{% assign u = t | strip_html %}{% endfor %}",
    LONG + "{% assign u = t | escape | downcase | size %}{% endfor %}",
    LONG + "{% if t contains 'zzz' %}{% endif %}{% assign u = t | replace: 'zz', '' %}{% endfor %}",
    "{% for i in (1..9999) %}{% assign u = items | sort_natural %}{% endfor %}",
    "{% for i in (1..9999) %}{% assign u = items | uniq %}{% endfor %}",
    "{% for i in (1..9999) %}{% assign u = items | join: ',' | split: ',' %}{% endfor %}",
    "{% for i in (1..9999) %}{% assign u = nested | size %}{% endfor %}",
    "{% for i in (1..9999) %}{% assign u = items | map: 'x' %}{% endfor %}",
    "{% for i in (1..9999) %}{{ 'now' | date: 'full' | append: i }}{% endfor %}" * 3,
    "{% for i in (1..9999) %}{% for j in (1..9999) %}{{ i | times: j }}{% endfor %}{% endfor %}",
    "{% for i in (1..9999) %}{% isolate a: i %}{{ a | plus: 1 | plus: 1 | plus: 1 }}"
    "{% endisolate %}{% endfor %}" * 6,
    "{% for i in (1..9999) %}{% assign u = 5.5 | money: 'EUR' %}{{ i | number }}{% endfor %}" * 2,
]


@pytest.mark.parametrize("source", ATTACKS)
def test_work_is_counted_and_ends(source, monkeypatch):
    # Without the clock: what stops them is the count.
    monkeypatch.setattr(SandboxContext, "check_time", lambda _: None)
    context = {
        "text": "a<b> " * 15_000,
        "items": [f"item {n}" for n in range(1_000)],
        "nested": [[1] * 1_000] * 90,
    }
    start = process_time()
    with pytest.raises(TemplateRenderProblem) as caught:
        compile_source(source, html=True).render(context)
    assert caught.value.code == "template_limit"
    assert caught.value.line == 1
    assert process_time() - start < CPU_SECONDS


def test_an_ordinary_newsletter_uses_a_fraction_of_its_work():
    source = (
        "{% for i in items %}{{ i.name | upcase | truncate: 20 }}{{ i.price | money: 'EUR' }}"
        "{{ 'now' | date: 'long' }}{% endfor %}"
    )
    items = [{"name": "Article", "price": 12.5}] * 1_000
    assert len(compile_source(source, html=True).render({"items": items})) > 10_000


@pytest.mark.parametrize(
    "row", ["<a ", "<a '", '<a "', "<!--", "<style>", "<p ", "<", "</", "<a b=c "]
)
def test_markup_of_any_kind_is_walked_in_linear_time(row):
    source = "<style>p{}</style>" + row * (300_000 // len(row)) + ">"
    start = process_time()
    with suppress(TemplateSyntaxProblem):
        check_css(source)
        inline_source(source)
    with suppress(TemplateSyntaxProblem):
        to_html(source, language="en", direction="ltr")
    assert process_time() - start < CPU_SECONDS


@pytest.mark.parametrize("row", ["<div>", "<b><i>", "<table><tr><td>", "<a>", "<style>p{}"])
def test_deep_markup_is_refused_or_finished_in_time(row):
    start = process_time()
    with suppress(FinishProblem):
        finish(MailSource(subject="s", html="<style>p{}</style>" + row * 20_000), Shelf())
    assert process_time() - start < CPU_SECONDS


TEXT_ROWS = [
    "<!--", "<style>", "<title>", "<head>", "<script>", "</p>", " ", "\n", "<p>", "<li>", "&",
    "<b>", "<table><tr><td>", "{{ a }}", "{% if a %}{% endif %}",
    "{{ '<!--' }}-->", "\x01", "<!-- -->",
]  # fmt: skip


@pytest.mark.parametrize("row", TEXT_ROWS)
def test_a_text_part_is_made_of_any_html_in_linear_time(row):
    html = row * (200_000 // len(row))
    start = process_time()
    text_template(html)
    html_to_text(html)
    assert process_time() - start < CPU_SECONDS


def test_a_loop_that_nests_elements_does_not_reach_a_parser_that_would_crash():
    source = "<style>{{ css }}</style>{% for i in (1..9999) %}<div>{% endfor %}" * 2
    mail = FinishedMail(subject="s", html=source, inlines_css=True)
    done = render(mail, {"css": "div{margin:0}"})
    assert done.html.count("<div>") == 19_998


@pytest.mark.parametrize("path", ["__class__", "x.__class__", "x.format", "self", "env", "x.keys"])
def test_attributes_of_python_objects_are_out_of_reach(path):
    with pytest.raises(TemplateRenderProblem, match="is missing"):
        compile_source(f"{{{{ {path}.y }}}}", html=True).render({"x": {"a": "b"}})


LISTS = [[""] * 9_000] * 9
STRAIGHT = [
    ("{{ a }}" * 4_900, {"a": LISTS}),
    ("{% if a == b %}{% endif %}" * 2_400, {"a": LISTS, "b": [*LISTS[1:], [""] * 8_999 + [1]]}),
    ("{% unless a contains 1 %}{% endunless %}" * 2_400, {"a": [""] * 80_000}),
    ("{% case a %}{% when b %}{% endcase %}" * 1_600, {"a": LISTS, "b": LISTS[1:]}),
    ("{% assign x = a | concat: a %}" * 2_400, {"a": [""] * 5_000}),
    ("{% cycle a, a, a %}" * 2_400, {"a": LISTS}),
]


@pytest.mark.parametrize(("source", "context"), STRAIGHT)
def test_heavy_values_are_stopped_without_any_loop(source, context):
    start = process_time()
    with suppress(TemplateRenderProblem):
        compile_source(source, html=True).render(context, seconds=0.5)
    assert process_time() - start < CPU_SECONDS


def test_a_rendering_that_runs_out_of_time_says_so_and_where():
    source = "x\n{% for i in (1..9999) %}" + "{% if a == b %}{% endif %}" * 100 + "{% endfor %}"
    context = {"a": "x" * 100_000, "b": "x" * 99_999 + "y"}
    with pytest.raises(TemplateRenderProblem, match="takes too long") as caught:
        compile_source(source, html=True).render(context, seconds=0.05)
    assert (caught.value.is_timeout, caught.value.line) == (True, 2)


def test_numbers_beyond_all_bounds_are_refused_in_words():
    for value in ("9e99999999", "1e999999", "NaN", "-Infinity"):
        for name in ("money: 'EUR'", "percent", "number", "plural: other: '#'", "times: 2"):
            with suppress(TemplateRenderProblem):
                compile_source(f"{{{{ n | {name} }}}}", html=True).render({"n": value})
            with pytest.raises(TemplateRenderProblem) as caught:
                compile_source("{{ n | money: 'EUR' }}", html=True).render({"n": value})
            assert "<class" not in caught.value.message
