"""MJML on its way to the visual editor and back: nothing that nobody touched may change."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates_app.admin.canvas import difference, from_canvas, to_canvas
from templates_app.engine import TemplateSyntaxProblem
from templates_app.starters import all_starters

NEWSLETTER = next(one.html for one in all_starters() if one.format == "mjml")


def mail(body: str, head: str = "") -> str:
    return f"<mjml>\n  {head}<mj-body>\n{body}\n  </mj-body>\n</mjml>\n"


def row(inner: str) -> str:
    lines = "\n".join(f"        {line}" for line in inner.split("\n"))
    return (
        f"    <mj-section>\n      <mj-column>\n{lines}\n"
        f"      </mj-column>\n    </mj-section>"
    )  # fmt: skip


def back(source: str) -> str:
    return from_canvas(to_canvas(source).markup, source)


def test_a_starter_comes_back_to_the_octet() -> None:
    assert back(NEWSLETTER) == NEWSLETTER


@pytest.mark.parametrize(
    "inner",
    [
        "<mj-text>Hi {{ name | default: \"you\" }} &amp; {{ 'a' | append: '&amp;<b>' }}</mj-text>",
        '<mj-button href="{{ url | default: "https://example.com/?a=1&b=2" }}">Go</mj-button>',
        '<mj-image src="{{ picture }}" alt="" />',
        "<mj-text>{% if vip %}<b>Dear</b>{% else %}Hello{% endif %} {{ name }}</mj-text>",
        "{% for one in items %}\n<mj-text>{{ one.name }}</mj-text>\n{% endfor %}",
        "{% if a > 1 and b %}<mj-text>x</mj-text>{% else %}<mj-divider />{% endif %}",
        '{% render "footer", a: 1 %}',
        "{% assign a = 1 %}",
        "{% comment %}<mj-nonsense>{% endcomment %}",
        "{% raw %}{{ kept }}{% endraw %}",
        "<mj-raw><table>{% for a in b %}<tr><td>{{ a }}</td></tr>{% endfor %}</table></mj-raw>",
        "<mj-table><tr><td>1</td></tr></mj-table>",
        "<mj-text><table><tr><td>1</td></tr></table></mj-text>",
        "<!-- for those who come later -->",
        "<mj-text>مرحبا {{ name }} 👋</mj-text>",
    ],
)
def test_what_stands_in_a_column_comes_back_as_it_was(inner: str) -> None:
    assert back(mail(row(inner))) == mail(row(inner))


def test_head_and_what_stands_before_it_never_reach_the_browser() -> None:
    head = "<mj-head><mj-style>a { color: {{ colour }} }</mj-style></mj-head>\n  "
    source = "{% assign colour = 'red' %}" + mail(row("<mj-text>x</mj-text>"), head)
    canvas = to_canvas(source)
    assert "assign" not in canvas.markup + canvas.css
    assert canvas.css == "a { color: {{ colour }} }"
    assert back(source) == source


def test_a_loop_travels_as_a_number_and_is_told_in_words() -> None:
    source = mail(row("{% for one in items %}<mj-text>{{ one }}</mj-text>{% endfor %}"))
    canvas = to_canvas(source)
    assert '<mj-column><ms-row n="0"></ms-row></mj-column>' in canvas.markup
    assert canvas.kept[0].label == "For each one in items"
    assert canvas.kept[0].shown == "<mj-text>{{ one }}</mj-text>"


def test_whole_rows_in_a_condition_are_a_block_of_the_body() -> None:
    source = mail("    {% if vip %}" + row("<mj-text>x</mj-text>").strip() + "{% endif %}")
    assert '<mj-body><ms-block n="0"></ms-block></mj-body>' in to_canvas(source).markup
    assert back(source) == source


def test_kept_pieces_can_be_moved_copied_and_dropped() -> None:
    source = mail(row("{{ a }}\n<mj-divider />\n{{ b }}"))
    edited = (
        to_canvas(source)
        .markup.replace('<ms-row n="0"></ms-row>', "")
        .replace('<ms-row n="1"></ms-row>', '<ms-row n="1"></ms-row><ms-row n="1"></ms-row>')
    )
    assert from_canvas(edited, source) == mail(row("<mj-divider />\n{{ b }}\n{{ b }}"))


def test_what_a_person_types_is_written_as_an_author_would() -> None:
    source = mail(row("<mj-text>x</mj-text>"))
    typed = "Tom &amp; {{\xa0name | default: &quot;a\xa0b&quot;\xa0}} &lt;3"
    edited = to_canvas(source).markup.replace(">x<", f">{typed}<")
    written = 'Tom &amp; {{ name | default: "a\xa0b" }} &lt;3'
    assert from_canvas(edited, source) == mail(row(f"<mj-text>{written}</mj-text>"))


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("<p>Hi</p>", 1, "MJML begins with <mjml>"),
        ('{% layout "base" %}\n<mj-section></mj-section>', 1, "it stands in a layout"),
        ("<mjml><mj-head></mj-head></mjml>", 1, "there is no <mj-body>"),
        ("<mjml><mj-body>\n{{ x }</mj-body></mjml>", 2, "never closed"),
        (
            mail(
                "<mj-section><mj-column>\n{% if a %}</mj-column><mj-column>{% endif %}\n"
                "</mj-column></mj-section>"
            ),
            4,
            "begins inside of an element and ends outside of it",
        ),
        ("<mjml>\n<mj-body {{ attributes }}></mj-body></mjml>", 2, "between the attributes"),
        (mail("<mj-section>words</mj-section>"), 3, "text stands directly in <mj-section>"),
    ],
)
def test_what_cannot_be_shown_without_loss_is_refused_at_its_place(
    source: str, line: int, words: str
) -> None:
    with pytest.raises(TemplateSyntaxProblem) as caught:
        to_canvas(source)
    assert words in caught.value.problem
    assert caught.value.line == line


@pytest.mark.parametrize(
    "markup",
    [
        "",
        "<p>no mail</p>",
        '<mjml><mj-body><ms-row n="7"></ms-row></mj-body></mjml>',
        '<mjml><mj-body><ms-row n="-1"></ms-row></mj-body></mjml>',
        "<mjml><mj-body><ms-row></ms-row></mj-body></mjml>",
        "<mjml><mj-body></mj-body><mj-body></mj-body></mjml>",
        "<mjml><mj-body>{{ never</mj-body></mjml>",
        "<mjml><mj-body>" + "<mj-section>" * 5_000 + "</mj-body></mjml>",
    ],
)
def test_what_the_editor_cannot_have_made_is_refused(markup: str) -> None:
    with pytest.raises(TemplateSyntaxProblem):
        from_canvas(markup, NEWSLETTER)


@pytest.mark.parametrize(
    ("sent", "returned"),
    [
        ("<a href='x' id=\"y\">1</a>", '<a id="y" href="x">1</a>'),
        ('<a style="color:red">1</a>', '<a style="color: red;">1</a>'),
        ("<br /><mj-divider />", "<br><mj-divider></mj-divider>"),
        ("a &copy;\n b", "a © b"),
        ('<a class=" x  y ">1</a>', '<a class="x y">1</a>'),
    ],
)
def test_two_ways_to_write_the_same_are_no_difference(sent: str, returned: str) -> None:
    assert difference(sent, returned) == ""


@pytest.mark.parametrize(
    ("sent", "returned", "lost"),
    [
        ('<a onclick="x()">1</a>', "<a>1</a>", '<a onclick="x()">'),
        ("a <b>b</b> c", "a <b>b</b>c", " c"),
        ('<img alt="">', "<img>", '<img alt="">'),
        ("<p>1</p><!-- x -->", "<p>1</p>", "<!-- x -->"),
        ("<p>{{ a }}</p>", "<p></p>", "{{ a }}"),
    ],
)
def test_the_first_thing_lost_is_named(sent: str, returned: str, lost: str) -> None:
    assert difference(sent, returned) == lost


WORDS = st.text(
    st.characters(
        codec="utf-8", exclude_characters="<>&{}%\r\x00\ue000", exclude_categories=["Cs", "Cc"]
    )
).filter(lambda text: text.strip() == text and text)
LIQUID = st.sampled_from(
    [
        "{{ a }}",
        "{{ a | default: \"<b> & 'c'\" }}",
        "{{- a -}}",
        "{% if a < 1 %}x{% endif %}",
        '{% assign b = "&amp;" %}',
    ]
)
TEXTS = st.lists(st.one_of(WORDS, LIQUID), min_size=1, max_size=4).map(" ".join)
PARTS = st.one_of(
    TEXTS.map(lambda text: f"<mj-text>{text}</mj-text>"),
    LIQUID,
    st.sampled_from(["<mj-divider />", "<mj-raw><i>x</i></mj-raw>", "<!-- x -->"]),
)


@given(st.lists(PARTS, min_size=1, max_size=6))
def test_any_mail_comes_back_as_it_was(parts: list[str]) -> None:
    source = mail(row("\n".join(parts)))
    # Line ends inside of a text are its own; those of the frame are indented by `row`.
    source = re.sub(r"[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", " ", source)
    canvas = to_canvas(source)
    assert from_canvas(canvas.markup, source) == source
    assert difference(canvas.markup, canvas.markup) == ""
