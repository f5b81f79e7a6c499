"""Where marks of tracking stand in an HTML part, and where they must not."""

from __future__ import annotations

import re
import time
from base64 import b64decode
from binascii import a2b_qp
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.compose import ContentSource, MailFields, Marks, compile_content
from delivery.compose.bodies import _quoted_line, encode_pieces
from delivery.compose.marks import MAX_LINKS, marked_pieces, places_in
from delivery.links import KeyRing
from delivery.links.tracks import MAX_URL_BYTES, read_click, read_open
from mailservice.core.addresses import Address

RING = KeyRing({0: b"k" * 32})
MESSAGE = UUID(int=7)
BASE = "https://m.example.com"
MARKS = Marks(BASE, RING, MESSAGE, b"abcd", opens=True, clicks=True)
CLICKS = replace(MARKS, opens=False)
OPENS = replace(MARKS, clicks=False)
_TOKEN = re.compile(re.escape(BASE) + r"/c/([\w-]+)")


def mark(html: str, marks: Marks = CLICKS) -> str:
    return "".join(marked_pieces(html, places_in(html), marks))


def led_through(html: str, marks: Marks = CLICKS) -> list[str]:
    """Return where the tracked links of an HTML lead, in order."""
    found = [read_click(RING, token) for token in _TOKEN.findall(mark(html, marks))]
    return [track.url for track in found if track is not None]


@pytest.mark.parametrize(
    ("html", "url"),
    [
        ('<a href="https://x.example/">x</a>', "https://x.example/"),
        ("<a href='http://x.example/?a=1&amp;b=2'>x</a>", "http://x.example/?a=1&b=2"),
        ("<A HREF=HTTPS://X.example/a>x</A>", "HTTPS://X.example/a"),
        ("<a\n  class=b\n  href = \n 'https://x.example'\n>", "https://x.example"),
        ('<area shape="rect" href="https://x.example/m">', "https://x.example/m"),
        ('<a href="https&#58;//x.example/&quot;q">', 'https://x.example/"q'),
        ('<a href=" https://x.example/\n  long/path ">', "https://x.example/  long/path"),
        ('<a href="https://x.example/1" href="https://y.example/">', "https://x.example/1"),
        ('<a title="a > b" href="https://x.example/">', "https://x.example/"),
        ("<a/href=https://x.example/>x", "https://x.example/"),
        ('<p a="x"" b="y"><a href=\'https://x.example/\'>', "https://x.example/"),
        ("<p class=it's><a href='https://x.example/'>it's", "https://x.example/"),
        ('a < b <a href="https://x.example/">', "https://x.example/"),
        ('<!-- c --><a href="https://x.example/">', "https://x.example/"),
        ('<!--[if !mso]><!--><a href="https://x.example/"><!--<![endif]-->', "https://x.example/"),
        ('<!----><!--> --><a href="https://x.example/">', "https://x.example/"),
        ('<style>a{b:"<a"}</style><a href="https://x.example/">', "https://x.example/"),
        ('<a href="https://bücher.example/ä">', "https://bücher.example/ä"),
        ('<abbr title=1><article><a href="https://x.example/">', "https://x.example/"),
        ("<\u017fcript><a href='https://x.example/'></script>", "https://x.example/"),
        ('<textarea></textarea><a href="https://x.example/">', "https://x.example/"),
        ('<a href="https://x.example/" data-track="on">', "https://x.example/"),
    ],
)
def test_a_link_of_the_web_leads_through_us(html: str, url: str) -> None:
    assert led_through(html) == [url]


@pytest.mark.parametrize(
    "html",
    [
        '<a href="mailto:a@b.example">',
        '<a href="tel:+4989">',
        '<a href="sms:+4989">',
        '<a href="cid:logo">',
        '<a href="data:text/html,x">',
        '<a href="javascript:alert(1)">',
        '<a href="#top">',
        '<a href="/path">',
        '<base href="https://x.example/"><a href="path">',
        '<a href="//x.example/">',
        '<a href="https://">',
        '<a href="ftp://x.example/">',
        "<a href>",
        "<a href=''>",
        '<a name="x">',
        "<a>",
        '<link href="https://x.example/x.css">',
        '<img src="https://x.example/">',
        '<abbr href="https://x.example/">',
        '<a data-href="https://x.example/">',
        '<a\u00a0href="https://x.example/">',
        '<a href="https://x.example/" data-track="off">',
        "<a data-track=OFF href=https://x.example/>",
        '<a href="https://m.example.com/u/abc">',
        '<a href="https://m.example.com/c/abc">',
        '<a href="https://m.example.com/verify/abc">',
        '<!-- <a href="https://x.example/"> -->',
        '<!--[if mso]><a href="https://x.example/">x</a><![endif]-->',
        '<!-- <a href="https://x.example/">',
        '<script>"<a href=https://x.example/>"</script>',
        '<SCRIPT>x</scripty><a href="https://x.example/"></SCRIPT >',
        '<style><a href="https://x.example/"></style>',
        '<title><a href="https://x.example/"></title>',
        '<textarea><a href="https://x.example/">',
        "<img alt='<a href=\"https://x.example/\">'>",
        '<img alt="x > <a href=https://x.example/>">',
        '<p title="<a href=https://x.example/>',
        '<a href="https://x.example/',
        '<a href="https://x.example/" ',
        "</a href='https://x.example/'>",
        "<!doctype <a href='https://x.example/'",
        '<a href="https://x.example/\x01">',
        '<a href="https://x.example/\ud800">',
        f'<a href="https://x.example/&#{"9" * 5_000};">',
        f'<a href="https://x.example/{"x" * MAX_URL_BYTES}">',
    ],
)
def test_nothing_else_is_touched(html: str) -> None:
    assert mark(html) == html


def test_only_the_address_is_replaced() -> None:
    html = '<p><a class="b" href="https://x.example/?a=1&amp;b=2" style=\'c\'>go</a> &amp; <b>x</b>'
    assert (
        _TOKEN.sub("TO", mark(html))
        == '<p><a class="b" href="TO" style=\'c\'>go</a> &amp; <b>x</b>'
    )


def test_a_token_tells_mail_recipient_place_and_the_number_of_links() -> None:
    html = (
        '<a href="https://x.example/1"><a href="https://x.example/2"><a href="https://x.example/1">'
    )
    tokens = _TOKEN.findall(mark(html))
    assert tokens[0] == tokens[2] != tokens[1]
    track = read_click(RING, tokens[1])
    assert track is not None
    assert (track.message_id, track.recipient, track.link_count) == (MESSAGE, b"abcd", 2)


def test_of_very_many_links_the_first_are_tracked() -> None:
    html = "".join(f'<a href="https://x.example/{n}">' for n in range(MAX_LINKS + 50)) + "</body>"
    urls = led_through(html)
    assert (len(urls), urls[-1]) == (MAX_LINKS, f"https://x.example/{MAX_LINKS - 1}")
    assert mark(html, OPENS).endswith("></body>")


def test_addresses_for_unsubscribing_are_spared() -> None:
    spared = replace(CLICKS, spared=frozenset({"https://x.example/bye?a=1&b=2"}))
    html = '<a href="https://x.example/bye?a=1&amp;b=2"><a href="https://x.example/">'
    assert led_through(html, spared) == ["https://x.example/"]


@pytest.mark.parametrize(
    ("html", "before", "after"),
    [
        ("<body><p>x</body></html>", "<body><p>x", "</body></html>"),
        ("<p>x", "<p>x", ""),
        ("", "", ""),
        ("<body>1</body><BODY>2</BODY >", "<body>1</body><BODY>2", "</BODY >"),
        ("<body>x<!-- </body> --></body>", "<body>x<!-- </body> -->", "</body>"),
        ("<body>x</body><!-- </body> -->", "<body>x", "</body><!-- </body> -->"),
        ("<body>x<script>'</body>'</script>", "<body>x<script>'</body>'</script>", ""),
        ("<p>x<!-- left open", "<p>x", "<!-- left open"),
        ('<p>x<a href="left open', "<p>x", '<a href="left open'),
    ],
)
def test_the_pixel_stands_before_the_end_of_the_body(html: str, before: str, after: str) -> None:
    text = mark(html, OPENS)
    found = re.fullmatch(
        re.escape(before) + rf'<img src="{BASE}/o/([\w-]+)\.gif" width="1" height="1" alt="" '
        r'style="[^"]*">' + re.escape(after),
        text,
    )
    assert found is not None
    track = read_open(RING, found[1])
    assert track is not None
    assert (track.message_id, track.recipient) == (MESSAGE, b"abcd")


def test_links_behind_the_body_keep_the_pixel_behind_them() -> None:
    text = mark('<body>x</body><a href="https://x.example/">y</a>', MARKS)
    assert text.startswith('<body>x</body><a href="https://m.example.com/c/')
    assert text.endswith('border:0">')


class _Seen(HTMLParser):
    """The links that another reader of HTML sees."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.pixels = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"a", "area"}:
            self.urls += [value or "" for name, value in attrs if name == "href"]
        self.pixels += tag == "img"


_PIECES = st.sampled_from(
    [
        "<p>",
        "</p>",
        "text",
        "é",
        "\n",
        "<br/>",
        "&amp;",
        '<a href="https://x.example/1">',
        "<a href='http://y.example/?a&amp;b'>",
        "<A Href=https://z.example/>",
        "</a>",
        '<a href="mailto:x@y.example">',
        "<!-- x -->",
        "<!--[if mso]><a href='https://n.example/'><![endif]-->",
        "<style>p>a{}</style>",
        "<td style=\"a:'b'\" class=c>",
        "<b\n>",
        "< ",
    ]
)


@given(st.lists(_PIECES, max_size=30))
def test_another_reader_sees_the_same_links_all_tracked(pieces: list[str]) -> None:
    html = "".join(pieces)
    before, after = _Seen(), _Seen()
    before.feed(html)
    after.feed(mark(html, MARKS))
    ours = [read_click(RING, url.rpartition("/")[2]) for url in after.urls]
    assert [track.url if track else url for track, url in zip(ours, after.urls, strict=True)] == (
        before.urls
    )
    assert all((url[:4].lower() == "http") == url.startswith(BASE) for url in after.urls)
    assert after.pixels == 1


@given(st.text(alphabet="<>a hrefbody!-/='\"x\n", max_size=80))
def test_whatever_is_written_nothing_is_lost(text: str) -> None:
    html = mark(text, MARKS)
    assert re.sub(r"<img src=[^>]*>", "", html, count=1) == text or _TOKEN.search(html)


@pytest.mark.parametrize(
    "piece",
    ['<a "', "<a href=", "<!--", "<a ", "<p '", "<script>", "</", "<a =", "<a\n", "<x/", "<style "],
)
def test_hostile_text_takes_no_longer_than_its_length(piece: str) -> None:
    html = piece * (400_000 // len(piece))
    started = time.process_time()
    places_in(html)
    assert time.process_time() - started < 2


# --- in mails -------------------------------------------------------------------------------------


def content(**fields: Any) -> ContentSource:
    values = {
        "subject": "Hi",
        "html": '<body><p>Hi</p><a href="https://x.example/">go</a></body>',
        "text": "Hi https://x.example/",
        "from_email": "shop@example.com",
        "from_name": "",
    }
    return ContentSource(**(values | fields))


def fields(marks: Marks | None = MARKS, **changes: Any) -> MailFields:
    values: dict[str, Any] = {
        "message_id": MESSAGE,
        "date": datetime(2026, 11, 21, tzinfo=UTC),
        "to": (Address("bob@example.net"),),
        "marks": marks,
    }
    return MailFields(**(values | changes))


def bodies(data: bytes) -> tuple[str, str]:
    mail = message_from_bytes(data, policy=policy.default)
    html, text = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert text is not None
    shown, read = (part.get_content().replace("\r\n", "\n") for part in (html, text))
    return shown, read


LONG = "".join(
    f'<p style="color:#123">Paragraph {n} of many, as long as others</p>\n' for n in range(60)
)


@pytest.mark.parametrize("is_template", [False, True])
@pytest.mark.parametrize(
    "html",
    [
        '<body><p>Hi</p><a href="https://x.example/">go</a></body>',
        f'<body>{LONG}<a href="https://x.example/{{{{ n }}}}">go</a>{LONG}</body>',
        f'<body>{LONG}é{"漢" * 3000}<a href="https://x.example/">go</a></body>',
    ],
)
def test_all_ways_of_composing_give_the_same_marks(html: str, *, is_template: bool) -> None:
    compiled = compile_content(content(html=html, is_template=is_template))
    mail = fields(context={"n": "7"})
    data = bytes(compiled.compose(mail))
    assert data == bytes(compile_content(content(html=html, is_template=is_template)).compose(mail))
    shown, text = bodies(data)
    assert bodies(compiled.compose_general(mail)) == (shown, text)
    assert compiled.parts(mail).html == shown
    assert text == "Hi https://x.example/\n"
    assert len(_TOKEN.findall(shown)) == 1
    assert shown.count("/o/") == 1


def test_a_text_part_made_from_html_has_the_plain_addresses() -> None:
    _, text = bodies(bytes(compile_content(content(text="")).compose(fields())))
    assert "https://x.example/" in text
    assert BASE not in text


def test_a_mail_without_html_and_a_preview_have_no_marks() -> None:
    compiled = compile_content(content(html=""))
    assert compiled.compose(fields()) == compiled.compose(fields(None))
    assert compiled.parts(fields()) == compiled.parts(fields(None))
    assert BASE not in compile_content(content()).render_preview(fields()).html


def test_tracked_and_untracked_mails_of_a_content_do_not_mix() -> None:
    compiled = compile_content(content())
    plain = compiled.compose(fields(None))
    assert BASE.encode() not in bytes(plain)
    compiled.compose(fields())
    assert compiled.compose(fields(None)) == plain


_WORDS = st.text("AZaz09-_", min_size=1, max_size=400)
_TEXTS = st.text(st.sampled_from('ab =.\t~\né漢<>"') | st.characters(codec="ascii"), max_size=200)


@given(st.lists(st.tuples(_TEXTS, _WORDS), max_size=6), _TEXTS)
def test_pieces_are_encoded_to_what_they_say_together(
    pairs: list[tuple[str, str]], rest: str
) -> None:
    pieces = [part.replace("\r", "").replace("\0", "") for pair in pairs for part in pair]
    pieces.append(f"{rest.replace(chr(13), '').replace(chr(0), '')}\n")
    encoding, data = encode_pieces(pieces)
    decode = b64decode if encoding == "base64" else a2b_qp
    assert decode(data) == "".join(pieces).replace("\n", "\r\n").encode()
    lines = data.split(b"\r\n")
    assert max(map(len, lines)) <= 76
    assert not any(line.endswith((b" ", b"\t")) for line in lines)
    assert lines[-1] == b""
    assert b"\n" not in data.replace(b"\r\n", b"")


def test_lines_with_marks_do_not_crowd_out_lines_that_mails_share() -> None:
    compiled = compile_content(
        content(html=f'<body>{LONG}<a href="https://x.example/">go</a></body>')
    )
    _quoted_line.cache_clear()
    for number in range(50):
        compiled.compose(fields(replace(MARKS, message_id=UUID(int=number))))
    assert _quoted_line.cache_info().currsize == 61
