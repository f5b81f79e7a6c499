"""Layouts and partials are worked into one source."""

import pytest

from templates_app.engine import TemplateSyntaxProblem, compile_source
from templates_app.rendering.bundle import bundle
from tests.templates_app.library import Shelf


def bundled(source, *, part="html", format_="html", own_id="", text=None, **html):
    library = Shelf(text=text, **html)
    return bundle(source, part=part, library=library, format_=format_, own_id=own_id)


def rendered(source, context=None, **html):
    return compile_source(bundled(source, **html).source, html=True).render(context or {})


def fault(source, **options):
    with pytest.raises(TemplateSyntaxProblem) as caught:
        bundled(source, **options)
    return caught.value


def test_a_layout_stands_around_content_and_blocks():
    base = "<h1>{% block title %}T{% endblock %}</h1><main>{{ content }}</main>"
    source = '{% layout "base" %}\n{% block title %}New{% endblock %}\n<p>{{ x }}</p>\n'
    assert rendered(source, {"x": "<"}, base=base) == "<h1>New</h1><main><p>&lt;</p></main>"


def test_a_block_that_is_not_filled_keeps_what_the_layout_says():
    assert rendered('{% layout "base" %}', base="a{% block b %}B{% endblock %}c") == "aBc"


def test_a_block_may_keep_what_stood_there():
    base = "{% block b %}1{% endblock %}"
    source = '{% layout "base" %}{% block b %}{{ block.super }}2{{ block.super }}{% endblock %}'
    assert rendered(source, base=base) == "121"


def test_a_layout_may_stand_in_a_layout():
    shelf = {
        "base": "[{% block a %}a{% endblock %}|{% block b %}b{% endblock %}|{{ content }}]",
        "base_two": '{% layout "base" %}{% block a %}A{{ block.super }}{% block in %}{% endblock %}'
        "{% endblock %}({{ content }})",
    }
    source = (
        '{% layout "base-two" %}{% block a %}<{{ block.super }}>{% endblock %}'
        "{% block b %}B{% endblock %}{% block in %}i{% endblock %}text"
    )
    assert rendered(source, **shelf) == "[<Aai>|B|(text)]"


def test_blocks_may_be_nested_and_filled_inside():
    base = "{% block a %}x{% block b %}y{% endblock %}z{% endblock %}"
    assert rendered('{% layout "base" %}{% block b %}Y{% endblock %}', base=base) == "xYz"


def test_assignments_outside_of_blocks_reach_them():
    base = "{% block a %}{% endblock %}"
    source = '{% layout "base" %}{% assign x = 1 %}{% block a %}{{ x }}{% endblock %}'
    assert rendered(source, base=base).strip() == "1"


def test_a_partial_knows_its_arguments_and_the_context_only():
    partial = "{{ name }}{{ shop }}{{ local | default: '-' }}{% assign name = 'z' %}{{ name }}"
    source = '{% assign local = 1 %}{% assign name = "n" %}{% render "p", name: x %}{{ name }}'
    assert rendered(source, {"x": "X", "shop": "S"}, p=partial) == "XS-zn"


def test_a_partial_is_rendered_with_one_or_for_each():
    partial = "({{ line.n }}{{ forloop.index | default: '-' }})"
    source = '{% render "line" with first %}{% render "line" for lines as line, extra: 1 %}'
    context = {"first": {"n": "a"}, "lines": [{"n": "b"}, {"n": "c"}]}
    assert rendered(source, context, line=partial) == "(a-)(b1)(c2)"


def test_partials_in_partials_and_in_loops():
    source = '{% for i in (1..2) %}{% render "outer", n: i %}{% endfor %}'
    shelf = {"outer": '<{% render "inner", m: n %}>', "inner": "{{ m }}{% break %}x"}
    assert rendered(source, **shelf) == "<1><2>"


def test_white_space_control_stays_with_the_tag():
    assert rendered('a {%- render "p" -%} b', p=" x ") == "a x b"


def test_what_is_written_verbatim_stays():
    source = '{% raw %}{% render "p" %}{% endraw %}{% comment %}{% render "q" %}{% endcomment %}'
    assert rendered(source) == '{% render "p" %}'


def test_the_text_part_uses_the_texts():
    text = {"base": "== {{ content }} ==", "foot": "bye"}
    source = '{% layout "base" %}hi {% render "foot" %}'
    shelf = {"base": "<p>", "foot": "<p>"}
    found = bundled(source, part="text", text=text, **shelf)
    assert compile_source(found.source, html=False).render({}) == "== hi bye =="
    assert found.used == {"id-base": 1, "id-foot": 1}
    assert "'foot' has no text" in fault('{% render "foot" %}', part="text", foot="<p>").problem


@pytest.mark.parametrize(
    ("source", "place", "words"),
    [
        ('\n {% layout "bsae" %}', (2, 2), "no published layout 'bsae', did you mean 'base'?"),
        ('{% render "foto" %}', (1, 1), "no published partial 'foto', did you mean 'foot'?"),
        ('{% render "base" %}', (1, 1), "no published partial 'base'"),
        ("{% render foot %}", (1, 1), 'write {% render "name" %}'),
        ("{% layout %}", (1, 1), 'write {% layout "name" %}'),
        ('a{% layout "base" %}', (1, 2), "`layout` stands before anything else"),
        ('{{ x }}{% layout "base" %}', (1, 8), "`layout` stands once, before anything else"),
        ('{% layout "base" %}{% block x %}{% endblock %}', (1, 1), "has no block 'x'"),
        ('{% layout "base" %}{% block haed %}{% endblock %}', (1, 1), "did you mean 'head'?"),
        ('{% layout "base" %}text', (1, 1), "the layout has no {{ content }}"),
        ("{% block a %}", (1, 1), "`block` is never closed"),
        ("{% endblock %}", (1, 1), "`endblock` without `block`"),
        ("{% block a b %}{% endblock %}", (1, 1), "write {% block name %}"),
        ('{% render "mj" %}', (1, 1), "'mj' is MJML, which fits into MJML only"),
        ('{% render "broken" %}', (1, 2), "in 'broken': expected '}}'"),
    ],
)
def test_a_fault_says_where_and_what_is_known(source, place, words):
    shelf = {
        "base": "{% block head %}{% endblock %}",
        "foot": "x",
        "mj": "<mj-text>x</mj-text>",
        "broken": "x{{ ",
    }
    found = fault(source, **shelf)
    assert (found.line, found.column) == place
    assert words in found.problem


def test_circles_are_refused_with_the_way():
    shelf = {"a": '{% render "b" %}', "b": '\n{% render "a" %}'}
    assert fault('{% render "a" %}', **shelf).problem == (
        "in 'b': 'a' would contain itself: a → b → a"
    )
    assert (
        "would contain itself" in fault('{% layout "base" %}', base='{% layout "base" %}').problem
    )
    assert "would contain itself" in fault('{% render "b" %}', own_id="id-a", **shelf).problem


def test_depth_number_and_size_are_bounded():
    deep = {f"p{n}": f'{{% render "p{n + 1}" %}}' for n in range(20)}
    assert "more than 8" in fault('{% render "p0" %}', **deep).problem
    assert "more than 500" in fault('{% render "p" %}' * 501, p="x").problem
    doubling = {f"p{n}": f'{{% render "p{n + 1}" %}}' * 60 for n in range(5)} | {"p5": "x" * 99}
    assert "at most 524,288 characters" in fault('{% render "p0" %}', **doubling).problem


def test_places_lead_back_to_what_the_author_wrote():
    found = bundled(
        '{% layout "base" %}\n\nText {{ a }}{% render "foot" %}',
        base="<h1>\n{{ content }}</h1>{{ b }}",
        foot="\n\n {{ c }}",
    )
    places = [tuple(found.place(found.source.index(f"{{{{ {name} }}}}"))) for name in "abc"]
    assert places == [("", 3, 6), ("base", 2, 19), ("foot", 3, 2)]
    assert found.used == {"id-base": 1, "id-foot": 1}


def test_mjml_needs_mjml_around_it():
    mail = '{% layout "base" %}<mj-text>x</mj-text>'
    assert "needs an MJML layout" in fault(mail, format_="mjml", base="{{ content }}").problem
    assert bundled('{% layout "base" %}x', base="<mjml>{{ content }}").format == "mjml"
