"""The text part made from HTML, before or after the template is filled."""

import pytest

from templates_app.rendering import MailSource, finish, render
from templates_app.rendering.plaintext import html_to_text, text_template, tidy
from tests.templates_app.library import Shelf

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


S = "https://shop.example/sale"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (f'<a href="{S}"><img alt="Big sale"></a>', f"[Big sale]({S})"),
        (f'<a href="{S}"><img alt="Big" style="display:block"> sale </a>', f"[Big sale]({S})"),
        ('<p>a <img alt="Our\n logo" style="display:block"> b</p>', "a Our logo b"),
        ('<p><img alt="A"><img alt="B"></p>', "A B"),
        ('<p>a<img alt=""><img src="x"><img alt="x" style="display: none">b</p>', "ab"),
        (f'<a href="{S}"><img src="x"></a>', S),
        (f'<a href="{S}">{S}</a>', S),
        (f'<a href="{S}/"> {S} </a>', S),
        (f'<a href="{S}">sale</a>', f"[sale]({S})"),
        ('<a href="mailto:a@b.example">a@b.example</a>', "a@b.example"),
        ('<a href="MAILTO:a@b.example"></a>', "a@b.example"),
        ('<a href="mailto:a@b.example?subject=x">a@b.example</a>',
         "[a@b.example](mailto:a@b.example?subject=x)"),
        ('<a href="tel:+431234">+431234</a>', "+431234"),
        ('<a href="#top">up</a><a href="#x"><img></a>', "up"),
        (f'<a href="{S}"><h2>Tea</h2><p>now<br>or <b>nev</b>er</p></a>',
         f"[Tea now or never]({S})"),
        (f'<a href="{S}">Tea<span style="display:none">x</span><style>p{{}}</style></a>',
         f"[Tea]({S})"),
    ],
)  # fmt: skip
def test_images_and_links_are_put_into_words(html, text):
    assert html_to_text(html) == text
    template = text_template(html)
    assert template is not None
    assert template.render({}) == text


def test_images_of_mjml_are_put_into_words():
    source = (
        "<mjml><mj-body><mj-section><mj-column>"
        f'<mj-image src="https://shop.example/i.png" alt="Big sale" href="{S}"/>'
        '<mj-image src="https://shop.example/j.png" alt="Tea"/>'
        "</mj-column></mj-section></mj-body></mjml>"
    )
    done = finish(MailSource(subject="s", html=source, format="mjml"), Shelf())
    lines = render(done.mail, {}).text.split("\n\n")
    assert [line.strip() for line in lines] == [f"[Big sale]({S})", "Tea"]


def test_a_template_s_images_and_links_are_put_into_words():
    html = (
        '<a href="{{ u }}"><img alt="{{ t }}"></a> <a href="{{ u | escape }}">{{ u }}</a> '
        '<a href="mailto:{{ m }}">{{ m }}</a><img alt="{% if t %}yes{% endif %}">'
    )
    template = text_template(html)
    assert template is not None
    context = {"u": "https://s.example/?a&b", "t": "A <b>", "m": "a@b.example"}
    assert template.render(context) == (
        "[A <b>](https://s.example/?a&b) https://s.example/?a&b a@b.exampleyes"
    )
