"""What a template needs is known before anything is rendered."""

import pytest
from hypothesis import given, settings
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


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.just(1.5),
    st.text(st.sampled_from("a1-.'"), max_size=2),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcn"), inner, max_size=3)
    ),
    max_leaves=12,
)
NAMES = ("a", "b", "c", "n", "mail")
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
    "{{ a | upcase | append: b | truncate: 3, c }}{{ n | default: 'x' }}",
    "{{ a | times: 2 }}",
    "{{ a | date: 'long' }}",
    "{{ a | money: b }}",
    "{{ a | append }}",
    "{{ a | truncate: b }}",
    "{{ a | join: ', ' }}",
    "{% if a > 1 %}x{% endif %}",
    "{% if a <= b or a == c and n != blank %}x{% endif %}{% if a[b] %}{% endif %}",
    "{% if a contains b %}x{% endif %}",
    "{% for i in a limit: b %}x{% endfor %}",
    "{% for i in a limit: -1 %}x{% endfor %}{{ 'x' | number }}",
    "{% for i in a %}{{ forloop.index }}{% if forloop.index > 1 %}{{ i }}{% endif %}{% endfor %}",
    "{% for i in a %}{{ forloop.nonsense }}{% endfor %}",
    "{% for i in a %}{% else %}{{ i }}{% endfor %}",
    "{% for i in a %}{{ b }}{% assign b = i %}{% endfor %}",
    "{% assign x = a | upcase %}{{ x }}{% assign y = b %}{{ y }}",
    "{% assign x = 'a,b' | split: ',' %}{{ x }}{% for i in x %}{{ i }}{% endfor %}",
    "{% cycle a, b %}{{ mail.locale }}",
    "{{ mail.nonsense }}",
    "{{ mail }}",
    "{% isolate a: b, x: n %}{{ a }}{% if c %}{{ x.b }}{% endif %}{% endisolate %}",
    "{% for i in a %}{% isolate i: i, forloop: forloop %}{{ i.n }}{% endisolate %}{% endfor %}",
    "{% for i in a %}{% isolate forloop: forloop %}{{ forloop.last }}{% endisolate %}{% endfor %}",
    "{{ a.first }}{{ b.size }}{{ b.last.n }}",
)


@settings(max_examples=400)
@given(st.sampled_from(SOURCES), st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_what_cannot_be_written_is_found_without_rendering_the_rest(source, context):
    template = compiled(source)
    expected = None
    try:
        template.render(context)
    except TemplateRenderProblem as error:
        expected = str(error)
    found = first_problem([template], context)
    assert (found and str(found)) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ a }} {{ a.b | escape | upcase }} {{ a | default: 'x' }} {{ 'now' | date: '%Y' }}",
        "{% if a and b == 'x' %}{{ c }}{% elsif a <= 3 %}y{% endif %}",
        "{% for i in l %}{{ i.n }}{% unless forloop.last %}, {% endunless %}{% endfor %}",
        "{% for i in l %}{% if forloop.index > 1 %}{% break %}{% endif %}{% endfor %}",
        "{% for i in l %}{% for j in i.m %}{{ j }}{% cycle 'a', 'b' %}{% endfor %}{% endfor %}",
        "{% case a %}{% when 'x', b %}1{% endcase %}{% capture d %}{{ a }}{% endcapture %}{{ d }}",
        "{% assign x = a | append: '!' | truncate: 20 %}{{ x }}{{ mail.language }}",
        "{% isolate y: a, z: 1 %}{{ y }}{{ z }}{% endisolate %}",
    ],
)
def test_the_usual_mail_is_judged_by_its_source(source):
    assert compiled(source).is_exact


def test_a_path_of_any_length_is_judged():
    source = "{{ a" + ".a" * 2_000 + " }}"
    context = {"a": "x"}
    for _ in range(300):
        context = {"a": context}  # type: ignore[dict-item]
    assert not compiled(source).is_exact
    found = first_problem([compiled(source)], context)
    assert found is not None
    assert found.code == "missing_variable"


@pytest.mark.parametrize(
    ("context", "is_sure"),
    [
        ({"a": "x", "l": [{"n": 1}, {"n": None}]}, True),
        ({"a": {"x": 1}, "l": []}, False),
        ({"a": ["x"], "l": []}, False),
        ({"a": "x", "l": [{"n": {}}]}, False),
        ({"a": "x", "l": {"n": 1}}, False),
        ({"a": "x" * 10_001, "l": []}, False),
        ({"a": "x", "l": [{"n": 1}] * 101}, False),
        ({"a": "x", "l": [], "mail": {}}, False),
        ({"l": []}, False),
    ],
)
def test_only_plain_values_of_ordinary_length_need_no_rendering(context, is_sure):
    template = compiled("{{ a }}{% for i in l %}{{ i.n }}{% endfor %}{{ mail.locale }}")
    assert template.is_exact
    assert template.surely_takes(context) is is_sure


@pytest.mark.parametrize(
    ("source", "value", "words"),
    [
        ("{{ x | money: 'EUR' }}", "12,50", "that is no number"),
        ("{{ x | money: 'EUR' }}", None, "that is no number"),
        (
            "{{ x | date: 'long' }}",
            1_777_888_999_000,
            "in seconds since 1970, this one is too large",
        ),
        ("{% if x > 100 %}a{% endif %}", "120", "'<' and '>' compare two numbers or two texts"),
        ("{{ x }}", {"total": 1}, "an object cannot be printed"),
        ("{{ x }}", [{"total": 1}], "an object cannot be printed"),
    ],
)
def test_a_value_that_does_not_fit_is_found(source, value, words):
    found = first_problem([compiled(source)], {"x": value})
    assert found is not None
    assert words in str(found).lower()
