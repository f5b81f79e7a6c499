"""What will not look or work as meant is told with its place."""

import pytest

from templates_app.rendering import Rendered, lint
from templates_app.rendering.bundle import bundle
from tests.templates_app.library import Shelf


def findings(source, *, html=None, subject="s", text="t", is_marketing=False, **shelf):
    bundled = bundle(source, part="html", library=Shelf(**shelf))
    html = '<html lang="en">' + source if html is None else html
    return lint(bundled, Rendered(subject, html, text), is_marketing=is_marketing)


def codes(source, **options):
    return [one.code for one in findings(source, **options)]


def test_a_sound_mail_has_no_findings():
    source = (
        '<a href="https://x.example/?q={{ q }}">a</a><a href="{{ url }}">b</a>'
        '<a href="mailto:a@b.example">c</a><a href="#top">d</a><a href="https://{{ host }}/x">e</a>'
        '<img src="https://x.example/a.png" alt=""><img {{ image }}><td style="color:red">'
    )
    assert findings(source) == []


@pytest.mark.parametrize(
    ("source", "code", "severity", "words"),
    [
        ('<img src="cid:a">', "no_alt", "warning", "no alt text"),
        ('<img alt="a">', "no_src", "error", "no src"),
        ('<img alt="a" src="http://x/a.png">', "http_image", "warning", "http"),
        ('<img alt="a" src="data:image/png;base64,AA">', "data_image", "warning", "data:"),
        ('<a href="">', "link", "warning", "leads nowhere"),
        ('<a href="#">', "link", "warning", "leads nowhere"),
        ('<a href="www.example.com">', "link", "error", "works on no page but its own"),
        ('<a href="javascript:alert(1)">', "link", "error", "works on no page"),
        ('<a href="https://">', "link", "error", "names no host"),
        ('<a href="https://[x">', "link", "error", "is none"),
        ('<a href="https://a.example:99999/">', "link", "error", "is none"),
        ('<a href="https://a.example/b c">', "link", "error", "holds a space"),
        ('<a href="http://a.example/">', "link", "info", "not encrypted"),
        ("<script>x</script>", "element", "warning", "<script> does not work"),
        ('<p style="display:flex">', "css", "info", "ignore `display: flex`"),
        ("<style>p{position : absolute}</style>", "css", "info", "`position: absolute`"),
        ("<style>@import 'x';</style>", "css", "info", "`@import`"),
        ("<p style='background-image:url(http://x)'>", "css", "info", "Outlook on Windows ignore"),
    ],
)
def test_a_remark_says_what_and_where(source, code, severity, words):
    found = next(one for one in findings(f"<p>\n {source}") if one.code == code)
    assert (found.severity, found.line) == (severity, 2)
    assert words in found.message
    assert found.hint


def test_places_in_layouts_are_named():
    found = findings(
        '{% layout "base" %}\n<img src="cid:a">', base='\n\n<img src="cid:b">{{ content }}'
    )
    assert [(one.name, one.line, one.column) for one in found] == [("", 2, 1), ("base", 3, 1)]


def test_gmail_clips_at_102_kilobytes():
    page = '<html lang="en">{}'
    assert codes("x", html=page.format("é" * 45_000)) == ["gmail_clips"]
    assert findings("x", html=page.format("é" * 45_000))[0].severity == "info"
    assert findings("x", html=page.format("é" * 52_224))[0].severity == "warning"
    assert codes("x", html=page.format("é" * 40_000)) == []


def test_marketing_needs_a_way_out():
    assert codes("<p>x</p>", is_marketing=True) == ["no_unsubscribe"]
    assert codes('<a href="{{ unsubscribe_url }}">x</a>', is_marketing=True) == []
    assert codes('<a href="https://x.example/unsubscribe">x</a>', is_marketing=True) == []
    assert codes("<p>unsubscribe by prayer</p>", is_marketing=True) == ["no_unsubscribe"]


def test_the_whole_mail_is_looked_at():
    assert codes("x", html="<p>x") == ["no_lang"]
    assert codes("x", html='<html lang="und">') == ["no_lang"]
    assert codes("x", subject=" ") == ["no_subject"]
    assert codes("x", subject="x" * 91) == ["long_subject"]
    assert codes("x", text=" \n") == ["no_text"]
    assert codes("x", text="https://s.example\n\n[](https://x.example)") == ["no_text"]
    assert codes("x", text="[Go](https://x.example)") == []


def test_errors_come_first_and_one_kind_is_cut():
    found = findings('<img src="cid:a">' * 30 + '<a href="x y">')
    assert found[0].code == "link"
    assert len(found) == 21


def test_commented_and_verbatim_markup_is_not_looked_at():
    assert codes("<!-- <img> -->{% comment %}<img>{% endcomment %}") == []
