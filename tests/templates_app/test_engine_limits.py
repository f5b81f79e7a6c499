"""Templates that try to exhaust a worker are stopped."""

import pytest

from templates_app.engine import TemplateRenderProblem, TemplateSyntaxProblem, compile_source

GROW = "{% assign a = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' %}"
CAPTURE = "{% capture c %}" + "x" * 600 + "{% endcapture %}"
NUMBERS = "{% assign l = '1,2,3,4,5,6,7,8,9,10' | split: ',' %}"


@pytest.mark.parametrize(
    "source",
    [
        GROW + "{% assign a = a | replace: 'a', a %}" * 9,
        GROW + "{% assign a = a | replace: '', a %}" * 9,
        GROW + "{% assign a = a | append: a %}" * 40,
        GROW + "{% assign a = a | prepend: a %}" * 40,
        GROW + "{% assign a = a | newline_to_br | url_encode | append: a %}" * 40,
        GROW + "{% assign a = a | append: a %}{% assign l = a | split: '' | join: a %}" * 20,
        "{% for i in (1..9999) %}{% capture c %}{{ c | default: '' }}"
        + "x" * 200
        + "{% endcapture %}{% endfor %}",
        NUMBERS + "{% assign l = l | concat: l %}" * 20,
        NUMBERS + "{% assign l = l | concat: l %}" * 9 + "{{ l | uniq }}",
        "{% for i in (1..n) %}{% endfor %}",
        "{{ (1..n) | join }}",
        "{{ (1..n) | reverse | first }}",
        "{{ (1..n) | sort_natural | first }}",
        "{% if (1..n) contains 'a' %}{% endif %}",
        "{% for i in (1..9999) %}{% for j in (1..9999) %}{% endfor %}{% endfor %}",
        "{% for i in (1..9999) %}{% endfor %}" * 11,
        "{% for i in (1..9999) %}" + "x" * 600 + "{% endfor %}",
        CAPTURE + "{% for i in (1..9999) %}{{ c }}{% endfor %}",
        "{{ 999999999999999999 | times: 999999999999999999 }}",
        "{{ 1.5 | times: 1000000000000000000 | times: 1000000000000000000 }}",
        "{{ text | append: text }}",
        "{{ tags | strip_html }}",
        "{{ many | map: 'x' }}",
    ],
)
def test_nothing_grows_or_runs_without_bound(source):
    context = {
        "n": 100_000_000,
        "text": "x" * 600_000,
        "tags": "<" * 50_000 + ">",
        "many": [{"x": "y"}] * 10_001,
    }
    with pytest.raises(TemplateRenderProblem) as caught:
        compile_source(source, html=True).render(context)
    assert caught.value.code == "template_limit"


@pytest.mark.parametrize(
    "source",
    [
        "{{ '2026-01-01' | date: '%1000000000d' }}",
        "{{ '" + "9" * 500 + "' | date: '%Y' }}",
        "{{ 1 | divided_by: 0 }}",
        "{{ 99999999999999999999 | date: '%Y' }}",
        "{{ 'x' | truncate: 'y' }}",
        "{{ 'inf' | ceil }}",
        "{{ 'a' | slice: 1.5 }}",
        "{{ l | sort }}",
        "{{ l | where }}",
        "{{ 'a' | replace }}",
        "{{ l | map: 'x' | map: 'y' | first | upcase | date: l }}",
        "{% if 'a' < 3 %}{% endif %}",
    ],
)
def test_odd_values_are_the_authors_problem_not_a_crash(source):
    with pytest.raises(TemplateRenderProblem):
        compile_source(source, html=True).render({"l": [1, "a", {"x": {}}]})


@pytest.mark.parametrize(
    "source",
    [
        "x" * 1_000_001,
        "{{ " + "a[" * 3000 + "]" * 3000 + "}}",
        "{% if " + " and ".join(["a"] * 5000) + " %}{% endif %}",
        "{% if a %}" * 31 + "{% endif %}" * 31,
        "{% for i in (1..2) %}" * 31 + "{% endfor %}" * 31,
    ],
)
def test_sources_beyond_a_bound_are_refused_when_compiled(source):
    with pytest.raises(TemplateSyntaxProblem):
        compile_source(source, html=True)


def test_a_slow_template_is_stopped_by_the_clock():
    source = "{% for i in (1..5000) %}{% assign x = long | sort_natural %}{% endfor %}"
    with pytest.raises(TemplateRenderProblem, match="takes too long") as caught:
        compile_source(source, html=True).render(
            {"long": [f"item {n}" for n in range(9_000)]}, seconds=0.05
        )
    assert caught.value.code == "template_limit"


class Bomb:
    """An object whose every use is a fault."""

    def __str__(self):
        raise AssertionError

    def __getitem__(self, key):
        raise AssertionError(key)

    def delete(self):
        raise AssertionError


@pytest.mark.parametrize(
    "source", ["{{ bomb }}", "{{ bomb | upcase }}", "{{ bomb | append: 'a' }}"]
)
def test_foreign_objects_are_never_called(source):
    with pytest.raises(TemplateRenderProblem, match="type Bomb cannot be printed"):
        compile_source(source, html=True).render({"bomb": Bomb()})
