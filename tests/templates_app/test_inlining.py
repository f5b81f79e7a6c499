"""CSS goes into the elements before filling, and says what it would have said after."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml.html import document_fromstring  # type: ignore[import-untyped]  # ships no types

from templates_app.engine import compile_source
from templates_app.rendering.inlining import inline_filled, inline_source


def test_rules_go_into_elements_and_nothing_else_changes():
    source = (
        "<style>td { color: red } .a:hover { color: blue } @media print { td { margin: 0 } }"
        "</style>\n<table>{% for i in l %}<tr ><td class='a'>{{ i }}</td></tr>{% endfor %}</table>"
    )
    expected = source.replace("<td class", '<td style="color: red;" class')
    assert inline_source(source) == (expected, "")


def test_liquid_in_values_stays_liquid():
    source = "<style>p{color:{{ c }};margin:{{ m }}px}</style><p style='top: {{ t }}'>{{ x }}</p>"
    found = inline_source(source)
    assert found.reason == ""
    assert '<p style="color: {{ c }};margin: {{ m }}px;top: {{ t }}">' in found.html.replace(
        "; ", ";"
    )


def test_without_rules_nothing_is_done():
    assert inline_source("<p {% if a %}b{% endif %}>") == ("<p {% if a %}b{% endif %}>", "")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("<style>{% if a %}p{}{% endif %}</style><p>", "Liquid makes rules in <style>"),
        ("<style>{{ rules }}</style><p>", "Liquid makes rules in <style>"),
        ("<style>p{ {{ x }}: 1 }</style><p>", "Liquid makes rules in <style>"),
        ("<style>p{}</style><p class='{{ c }}'>", "Liquid makes the class of <p>"),
        ("<style>p{}</style><p {{ c }}>", "Liquid makes attributes of <p>"),
        ("<style>p{}</style><p style='{{ s }}'>", "Liquid makes the style of <p>"),
        ("<style>p{}</style><{{ t }}>", "Liquid makes a tag name"),
        ("<style>tr:nth-child(2){}</style>{% for i in l %}<tr></tr>{% endfor %}", "beside"),
        ("<style>p + p{}</style>{% if l %}<p></p>{% endif %}<p></p>", "beside"),
        ("<style>a[href]{}</style>{{ x }}", "a rule asks for an attribute"),
        ("<style>p{}</style>{% if a %}<div class='x'>{% endif %}<p></p>", "a branch opens a tag"),
        ("<style>p{}</style>{% if a %}<b>{% else %}<i>{% endif %}", "a branch opens a tag"),
        ("<style>p{}</style>{% for a in l %}</div><div>{% endfor %}", "a branch opens a tag"),
    ],
)
def test_what_filling_may_change_is_inlined_later(source, reason):
    found = inline_source(source)
    assert found.html == source
    assert reason in found.reason


def test_filled_mails_are_inlined_or_left_alone():
    assert '<p style="margin: 0;">' in inline_filled("<style>p{margin:0}</style><p>x</p>")
    assert inline_filled("<p>x</p>") == "<p>x</p>"


RULES = [
    "p{color:{{ c }}}",
    ".a{margin:0}",
    "div p{top:1px}",
    "div>.b{left:0!important}",
    "p{top:2px}",
]
PIECES = st.recursive(
    st.sampled_from(
        ["{{ x }}", "t", "<br>", '<p class="a">{{ x }}</p>', "<p class=b style='top:9px'>u</p>"]
    ),
    lambda inner: st.builds(
        lambda frame, parts: frame % "".join(parts),
        st.sampled_from(
            [
                "<div>%s</div>",
                '<div class="a b">%s</div>',
                "{%% if f %%}%s{%% endif %%}",
                "{%% if f %%}a{%% else %%}%s{%% endif %%}",
                "{%% for i in l %%}%s{%% endfor %%}",
                "<table><tr>{%% for i in l %%}<td class=b>%s</td>{%% endfor %%}</tr></table>",
            ]
        ),
        st.lists(inner, max_size=3),
    ),
    max_leaves=8,
)


@given(
    rules=st.lists(st.sampled_from(RULES), min_size=1),
    pieces=st.lists(PIECES, max_size=3),
    flag=st.booleans(),
    count=st.integers(0, 2),
)
def test_inlining_before_filling_means_the_same_as_after(rules, pieces, flag, count):
    source = (
        f"<html><head><style>{''.join(rules)}</style></head><body>{''.join(pieces)}</body></html>"
    )
    context = {"x": "<&", "c": "red", "f": flag, "l": [1] * count}
    found = inline_source(source)
    assert found.reason == ""
    before = compile_source(found.html, html=True).render(context)
    after = inline_filled(compile_source(source, html=True).render(context))
    assert styles(before) == styles(after)


def styles(html):
    found = []
    for element in document_fromstring(html).iter("p", "div", "td"):
        declared = (element.get("style") or "").split(";")
        found.append((element.tag, [part.replace(" ", "") for part in declared if part.strip()]))
    return found
