"""What authors can say in a template, and what they are told when it is wrong."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from liquid import Environment

from templates_app.engine import (
    TemplateRenderProblem,
    TemplateSyntaxProblem,
    compile_source,
)


def render(source, *, html=True, now=None, **context):
    return compile_source(source, html=html).render(context, now=now)


def problem(source, **context):
    with pytest.raises(TemplateRenderProblem) as caught:
        render(source, **context)
    return caught.value


def fault(source):
    with pytest.raises(TemplateSyntaxProblem) as caught:
        compile_source(source, html=True)
    return caught.value


def test_values_are_escaped_in_html_and_left_alone_in_text():
    assert render("{{ name }}", name="<b>&'\"") == "&lt;b&gt;&amp;&#39;&#34;"
    assert render("{{ name }}", html=False, name="<b>&'\"") == "<b>&'\""


def test_captured_markup_is_not_escaped_twice():
    source = "{% capture line %}<b>{{ name }}</b>{% endcapture %}{{ line }}{{ line | upcase }}"
    assert render(source, name="<") == "<b>&lt;</b><B>&LT;</B>"


def test_loops_conditions_and_helpers_read_as_in_liquid():
    source = (
        "{% for item in items %}{{ forloop.index }}{% cycle 'a', 'b' %}{{ item.name | upcase }}"
        "{% unless forloop.last %}, {% endunless %}{% else %}none{% endfor %}"
        "{% if items.size > 1 and vip %}!{% elsif vip %}?{% else %}.{% endif %}"
    )
    items = [{"name": "x&"}, {"name": "y"}]
    assert render(source, items=items, vip=True) == "1aX&amp;, 2bY!"
    assert render(source, items=[], vip=True) == "none?"


def test_break_and_continue_stay_in_their_loop():
    source = (
        "{% for a in (1..3) %}{% for b in (1..9) %}{% if b == 2 %}{% continue %}{% endif %}"
        "{% if b > 3 %}{% break %}{% endif %}{{ a }}{{ b }} {% endfor %}{% endfor %}"
    )
    assert render(source) == "11 13 21 23 31 33 "


def test_case_echo_raw_comment_and_assign():
    source = (
        "{% case kind %}{% when 1 %}one{% when 2, 3 %}few{% else %}many{% endcase %}"
        "{% echo name %}{% assign twice = name | append: name %}{{ twice }}"
        "{% raw %}{{ raw }}{% endraw %}{% comment %}{{ gone }}{% endcomment %}"
    )
    assert render(source, kind=3, name="<") == "few&lt;&lt;&lt;{{ raw }}"


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (None, ""), (7, "7"), (1.5, "1.5"), ([1, "<", [2]], "1&lt;2")],
)
def test_plain_values_print(value, text):
    assert render("{{ value }}", value=value) == text


def test_an_object_cannot_be_printed():
    error = problem("a\n{{ order }}", order={"total": 1})
    assert str(error) == "An object cannot be printed, print one of its fields (line 2, column 1)"
    assert error.code == "template_value"


@pytest.mark.parametrize(
    ("source", "variable"),
    [
        ("{{ name }}", "name"),
        ("{{ order.lines.total }}", "order.lines.total"),
        ("{{ name | upcase }}", "name"),
        ("{{ name | plus: 1 }}", "name"),
        ("{{ 1 | plus: name }}", "name"),
        ("{{ 'a' | append: name }}", "name"),
        ("{{ 'now' | date: name }}", "name"),
        ("{% for item in name %}{% endfor %}", "name"),
        ("{% for item in (1..name) %}{% endfor %}", "name"),
        ("{% assign other = name %}{{ other }}", "name"),
        ("{{ order[name] }}", "name"),
    ],
)
def test_a_missing_variable_is_named(source, variable):
    error = problem(source, order={"lines": {}})
    assert (error.code, error.variable, error.line) == ("missing_variable", variable, 1)


def test_a_default_or_a_condition_handles_a_missing_variable():
    source = (
        "{{ name | default: 'you' }}{{ a.b.c | default: 'x' | upcase }}"
        "{% if name %}1{% else %}2{% endif %}{% if name == nil %}3{% endif %}"
        "{% unless a.b > 4 %}4{% endunless %}{% if name contains 'x' %}5{% endif %}"
    )
    assert render(source) == "youX234"


def test_now_is_what_the_caller_says():
    moment = datetime(2026, 5, 4, 3, 2, tzinfo=UTC)
    assert render("{{ 'now' | date: '%Y-%m-%d %H:%M' }}", now=moment) == "2026-05-04 03:02"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2026-05-04T10:00:00Z", "04.05.2026"),
        ("May 4, 2026", "04.05.2026"),
        ("2026-05-04", "04.05.2026"),
        ("20260504", "04.05.2026"),
        ("20260504T103000Z", "04.05.2026"),
        ("202605041030", "04.05.2026"),
        ("20260504103000", "04.05.2026"),
        ("2026-W19-1", "04.05.2026"),
        (" 4 May 2026", "04.05.2026"),
        ("2026", "01.01.2026"),
        (0, "01.01.1970"),
        (1_777_888_999, "04.05.2026"),
        (1_777_888_999.5, "04.05.2026"),
        ("1777888999", "04.05.2026"),
    ],
)
def test_dates_are_read_as_they_are_written(value, text):
    assert render("{{ value | date: '%d.%m.%Y' }}", value=value) == text


@pytest.mark.parametrize(
    "value",
    ["abc", "soon", "2026-02-30", "20260230", "202613", "12,50", "1.5", "", "7", None, True, [1]],
)
@pytest.mark.parametrize("name", ["date", "time", "datetime"])
def test_what_is_no_date_is_told(value, name):
    assert problem(f"{{{{ value | {name} }}}}", value=value).problem == "That is no date"


@pytest.mark.parametrize("value", [1_777_888_999_000, "1777888999000", 10**400, -(10**15)])
def test_seconds_since_1970_are_no_milliseconds(value):
    words = "A date that is a number is in seconds since 1970, this one is too large"
    assert problem("{{ value | date }}", value=value).problem == words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2026-05-04", "04 00:00"),
        ("20260504", "04 00:00"),
        ("May 4, 2026", "04 00:00"),
        ("2026-05-04T00:00", "03 20:00"),
        ("May 4, 2026 00:00", "03 20:00"),
        ("May 4, 2026 1:00", "03 21:00"),
        ("202605040000", "03 20:00"),
        (1_777_888_999, "04 06:03"),
    ],
)
def test_a_day_without_a_time_is_that_day_everywhere(value, text):
    source = "{{ value | date: '%d %H:%M', tz: 'America/New_York' }}"
    assert render(source, value=value) == text


@pytest.mark.parametrize(
    ("source", "line", "column", "words"),
    [
        ("a\n{{ x |", 2, 1, "expected '}}': an output is never closed"),
        ("a\nbc {% include 'x' %}", 2, 7, "the tag 'include' is not available"),
        ("{% render 'x' %}", 1, 4, "the tag 'render' is available in stored templates only"),
        ("{% nonsense %}", 1, 4, "unexpected tag 'nonsense'"),
        ("{% asign x = 1 %}", 1, 4, "unexpected tag 'asign', did you mean 'assign'?"),
        ("{{ x | upcaes }}", 1, 8, "unknown filter 'upcaes', did you mean 'upcase'?"),
        ("a {% raw %} b", 1, 3, "`{% raw %}` is never closed"),
        ("{% comment %} b", 1, 1, "`{% comment %}` is never closed"),
        ("{% %}", 1, 1, "missing tag name"),
        ("{{ x | safe }}", 1, 8, "unknown filter 'safe'"),
        ("{{ x | base64_encode }}", 1, 8, "unknown filter 'base64_encode'"),
        ("{% if x | foo %}{% endif %}", 1, 9, "expected end of expression"),
        ("{% if x %}", 1, 11, "expected tag endif"),
        ("{% for i in (1..10001) %}{% endfor %}", 1, 13, "at most 10,000 numbers"),
    ],
)
def test_a_syntax_problem_says_where_and_why(source, line, column, words):
    error = fault(source)
    assert (error.line, error.column) == (line, column)
    assert words in error.problem
    assert error.details["line"] == line


@pytest.mark.parametrize(
    ("source", "column"),
    [
        ("{% break %}", 4),
        ("{% if a %}{% continue %}{% endif %}", 14),
        ("{% for i in a %}{% else %}{% break %}{% endfor %}", 30),
        ("{% for i in a %}{% endfor %}{% break %}", 32),
    ],
)
def test_interrupts_outside_a_loop_are_refused(source, column):
    error = fault(source)
    assert error.problem in {f"'{name}' stands outside a loop" for name in ("break", "continue")}
    assert (error.line, error.column) == (1, column)


def test_a_partial_may_end_early():
    source = "{{ a }}{% if a %}{% break %}{% endif %}b"
    assert compile_source(source, html=True, is_piece=True).render({"a": 1}) == "1"
    around = "{% isolate a: 1 %}" + source + "{% endisolate %}c"
    assert render(around) == "1c"


def test_the_same_source_is_compiled_once():
    assert compile_source("{{ a }}", html=True) is compile_source("{{ a }}", html=True)
    assert compile_source("{{ a }}", html=True) is not compile_source("{{ a }}", html=False)


TEXTS = st.text(st.sampled_from("ab <>&\"'\n\u00e9\U0001f600{}%"), max_size=12)


@given(name=TEXTS, items=st.lists(TEXTS, max_size=4), flag=st.booleans(), html=st.booleans())
def test_fast_nodes_write_what_liquid_itself_writes(name, items, flag, html):
    source = (
        "A {{ name }} {% if flag %}{{ name | upcase }}{% elsif name == 'a' %}e{% else %}\n"
        "{% endif %}"
        "{% for item in items %}{{ forloop.rindex }}{{ item }}{% cycle 'x', 'y' %}"
        "{% if forloop.first %}{% continue %}{% endif %}{{ item | size | plus: 1.5 }}"
        "{% for other in items reversed %}{{ other }}{{ forloop.parentloop.index }}{% endfor %}"
        "{% if flag %}   {% endif %}{% endfor %}{{ items }}{{ flag }}"
        "{% for item in items limit: 2 offset: 1 %} {% endfor %}"
    )
    context = {"name": name, "items": items, "flag": flag}
    expected = Environment(autoescape=html).from_string(source).render(context)
    assert compile_source(source, html=html).render(context) == expected


ORDERS = {
    "items": [{"name": "tea", "parts": [{"no": 1}]}],
    "order": {"total": 3, "lines": [1]},
    "key": "totl",
}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{% for i in items %}{{ i.nmae }}{% endfor %}",
         "The variable 'i.nmae' is missing, did you mean 'i.name'?"),
        ("{% for i in items %}{{ i.price }}{% endfor %}",
         "The variable 'i.price' is missing; known here: name, parts"),
        ("{% for i in items %}{% for p in i.parts %}{{ p.on }}{% endfor %}{% endfor %}",
         "The variable 'p.on' is missing; known here: no"),
        ("{% for item in items %}{{ itm.name }}{% endfor %}",
         "The variable 'itm.name' is missing, did you mean 'item'?"),
        ("{% assign o = order %}{{ o.totl }}",
         "The variable 'o.totl' is missing, did you mean 'o.total'?"),
        ("{% assign sum = 3 %}{{ zzz }}",
         "The variable 'zzz' is missing; known here: items, key, order, sum"),
        ("{{ items[0].nmae }}",
         "The variable 'items[0].nmae' is missing, did you mean 'items[0].name'?"),
        ("{{ items.first.nmae }}",
         "The variable 'items.first.nmae' is missing, did you mean 'items.first.name'?"),
        ("{{ items[-1].parts[0].on }}",
         "The variable 'items[-1].parts[0].on' is missing; known here: no"),
        ("{{ items[9].name }}", "The variable 'items[9].name' is missing"),
        ("{{ order[key] }}", "The variable 'order[key]' is missing, did you mean 'order.total'?"),
        ("{{ order[order] }}", "The variable 'order[order]' is missing"),
        ("{{ order.total.cents }}", "The variable 'order.total.cents' is missing"),
        ("{% for i in items %}{{ forloop.indx }}{% endfor %}",
         "The variable 'forloop.indx' is missing, did you mean 'forloop.index'?"),
        ("{% isolate line: items[0] %}{{ line.nmae }}{% endisolate %}",
         "The variable 'line.nmae' is missing, did you mean 'line.name'?"),
        ("{% isolate line: order.line %}{{ line }}{% endisolate %}",
         "The variable 'order.line' is missing, did you mean 'order.lines'?"),
        ("{{ items[0].nmae | upcase }}",
         "The variable 'items[0].nmae' is missing, did you mean 'items[0].name'?"),
    ],
)  # fmt: skip
def test_a_missing_variable_is_looked_for_where_it_would_stand(source, words):
    assert problem(source, **ORDERS).problem == words


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ 'x' | concat: n }}", "A list is needed, not a number"),
        ("{{ l | concat: s }}", "A list is needed, not a text"),
        ("{{ o | map: 'nmae' }}", "`map` asks for a field that an item lacks"),
        ("{{ l | where: 'a' }}", "A number has no fields"),
        ("{{ s | truncate: 'a' }}", "A whole number is needed, not a text"),
        ("{{ s | upcase: 1 }}", "`upcase` takes fewer arguments"),
        ("{{ s | append }}", "`append` needs more arguments"),
        ("{{ s | strip_html: a: 1 }}", "`strip_html` takes no argument 'a'"),
        ("{{ l | compact: 'a' }}", "An item has no field 'a'"),
        ("{% if s > n %}{% endif %}",
         "'<' and '>' compare two numbers or two texts, not a number and a text"),
        ("{% if n contains s %}{% endif %}",
         "'contains' looks into a text or a list, not into a number"),
        ("{{ blank }}", "`blank` and `empty` are to compare with, not to print"),
        ("{% for i in (1..2) %}{{ forloop }}{% endfor %}",
         "`forloop` cannot be printed, print one of its fields"),
    ],
)  # fmt: skip
def test_faults_are_told_in_the_words_of_an_author(source, words):
    assert problem(source, n=3, s="x", l=[1, 2], o=[{"name": 1}, {}]).problem == words


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ items.0.name }}", "an item of a list is written in brackets, such as items[0]"),
        ("{{ items.0 }}", "an item of a list is written in brackets, such as items[0]"),
        ("{{ | upcase }}", "expected a value, found pipe"),
        ("{{ s | }}", "expected a name, found end of expression"),
        ("{% for a.b in l %}{% endfor %}", "expected a name without dots"),
        ("{{ l[ }}", "expected a name or a number in the brackets"),
    ],
)
def test_faults_of_a_source_are_told_in_the_words_of_an_author(source, words):
    assert fault(source).problem == words
