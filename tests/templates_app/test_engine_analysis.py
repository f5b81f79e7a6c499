"""What a template needs is known before anything is rendered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates_app.engine import (
    TemplateRenderProblem,
    compile_source,
    first_problem,
    missing_variables,
)


def compiled(source, *, html=True):
    return compile_source(source, html=html)


def test_required_paths_follow_loops_and_leave_out_what_may_be_missing():
    template = compiled(
        "{{ a.b }}{% for i in items %}{{ i.name }}{% for j in i.parts %}{{ j.no }}{% endfor %}"
        "{% endfor %}{{ q | default: w }}{% if c %}{{ d }}{% endif %}{{ 'x' | append: e }}"
    )
    assert template.required_paths == (
        ("a", "b"),
        ("items",),
        ("items", "[]", "name"),
        ("items", "[]", "parts"),
        ("items", "[]", "parts", "[]", "no"),
        ("w",),
        ("d",),
        ("e",),
    )
    assert template.is_exact


@pytest.mark.parametrize(
    "source",
    [
        "{{ a[b] }}",
        "{% assign x = a %}{{ x.y }}",
        "{% if a %}{% assign x = 1 %}{% endif %}{{ x }}",
        "{% assign l = a | sort %}{% for i in l %}{{ i.name }}{% endfor %}",
    ],
)
def test_what_cannot_be_told_from_the_source_is_not_exact(source):
    assert not compiled(source).is_exact


def test_missing_variables_are_listed_once_with_their_paths():
    templates = [
        compiled("{{ a.b }}{{ c }}"),
        compiled("{{ c }}{% for i in l %}{{ i.n }}{% endfor %}"),
    ]
    assert missing_variables(templates, {"a": {}, "l": [{"n": 1}, {}]}) == ["a.b", "c", "l[].n"]


def test_first_problem_names_the_variable_of_the_third_item():
    template = compiled("{% for i in l %}{{ i.n }}{% endfor %}")
    found = first_problem([template], {"l": [{"n": 1}, {"n": 2}, {}]})
    assert found is not None
    assert found.variable == "i.n"


def test_first_problem_is_none_if_the_absent_variable_is_optional():
    template = compiled("{% if coupon %}{{ coupon.code }}{% endif %}{{ name }}")
    assert missing_variables([template], {"name": "A"}) == ["coupon.code"]
    assert first_problem([template], {"name": "A"}) is None


VALUES = st.recursive(
    st.one_of(st.none(), st.integers(0, 3), st.text(max_size=2)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcn"), inner, max_size=3)
    ),
    max_leaves=12,
)
SOURCES = (
    "{{ a.b.c }}",
    "{{ a.size }}{{ b.first }}{{ c.last }}",
    "{% for i in a %}{{ i.n }}{% for j in i.b %}{{ j.c }}{{ b }}{% endfor %}{% endfor %}",
    "{% if a %}{{ a.b }}{% else %}{{ b }}{% endif %}",
    "{{ a | default: b }}{{ c | default: 'x' | append: n }}",
    "{% assign x = a %}{% for i in x %}{{ i.n }}{{ x }}{% endfor %}{{ x.b }}",
    "{% if a %}{% assign b = 1 %}{% endif %}{{ b }}",
    "{% for i in a %}{% assign n = i %}{{ n }}{% endfor %}{{ n }}",
    "{% case a %}{% when b %}{{ c }}{% else %}{{ n }}{% endcase %}",
    "{% unless a %}{{ n }}{% endunless %}",
    "{% for i in (1..n) %}{{ i }}{% endfor %}{{ a['b'] }}{{ a[b] }}",
    "{% capture a %}{{ b }}{% endcapture %}{{ a }}{% increment c %}{{ c }}",
)


@given(st.sampled_from(SOURCES), st.dictionaries(st.sampled_from("abcn"), VALUES))
def test_no_missing_variable_slips_past_the_cheap_check(source, context):
    template = compiled(source)
    expected = ""
    try:
        template.render(context)
    except TemplateRenderProblem as error:
        expected = error.variable
    found = first_problem([template], context)
    if expected:
        assert found is not None
        assert found.variable == expected
    elif found is not None:
        assert found.variable == ""
