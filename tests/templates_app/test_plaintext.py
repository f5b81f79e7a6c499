"""The text part made from HTML, before or after the template is filled."""

import pytest

from templates_app.rendering.plaintext import html_to_text, text_template, tidy

LAYOUT = """<!doctype html><html><head><title>{{ title }}</title><style>p{color:red}</style></head>
<body><!-- {{ note }} -->{% comment %}{{ x }}{% endcomment %}<div><table role="presentation">
<tr><td><h1>Hi {{ name | escape }}</h1></td></tr>
<tr><td><p>Read <a
href="{{ base }}/o?i={{ id | url_encode }}&amp;u=1">order {{ id }}</a>.</p>
<table>{% for item in items %}<tr><td>{{ item.name }}</td>
<td style="c:{{ c }}">{{ item.price }}</td></tr>
{% endfor %}</table>{% if vip %}<p>VIP</p>{% else %}<p>{{ offer }}</p>{% endif %}</td></tr>
</table></div>
</body></html>"""


def test_a_template_in_tables_becomes_a_text_template():
    template = text_template(LAYOUT)
    assert template is not None
    context = {
        "name": "A & B",
        "base": "https://s.example",
        "id": "7/8",
        "items": [{"name": "Tea <1>", "price": 2}, {"name": "Mug", "price": 3}],
        "vip": None,
        "offer": "10 %",
    }
    assert tidy(template.render(context)).split("\n") == [
        "Hi A & B",
        "",
        "Read [order 7/8](https://s.example/o?i=7%2F8&u=1).",
        "",
        "Tea <1> 2",
        "Mug 3",
        "",
        "10 %",
    ]


@pytest.mark.parametrize(
    "html",
    [
        "{% raw %}{{ a }}{% endraw %}",
        "<{{ tag }}>x</{{ tag }}>",
        "{{ a | escape_once }}",
        "{% capture a %}<b>x</b>{% endcapture %}{{ a }}",
        "{{ a | default: '<b>none</b>' }}",
        "{{ a | append: '&nbsp;' }}",
        "<style>{% assign c = a %}</style>{{ c }}",
        '<p class="{% if a %}b{% endif %}">x</p>',
        "{{ a | escape | upcase }}",
        "&#123;{ a }}",
        "<p>\ue0001\ue001{{ a }}</p>",
        "{% if a %}<p>",
    ],
)
def test_what_might_change_its_meaning_is_left_to_each_mail(html):
    assert text_template(html) is None


def test_line_breaks_made_by_a_filter_need_no_tags_in_text():
    template = text_template("<p>{{ note | newline_to_br }}</p>")
    assert template is not None
    assert template.render({"note": "a\nb < c"}) == "a\nb < c"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("<p>a</p><p>b &amp; c</p>", "a\n\nb & c"),
        ("<ul><li>1<li>2</ul>", "  * 1\n  * 2"),
        ("<a href='https://x.example'>x</a>", "[x](https://x.example)"),
        ("<script>x</script><style>y</style><p>z\0\x01</p>", "z"),
        ("<!-- only -->", ""),
        ("a\ud800", "a"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a  b"),
    ],
)
def test_html_to_text(html, text):
    assert html_to_text(html) == text
