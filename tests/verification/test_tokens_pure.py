"""Secrets, redirects and languages."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailservice.core.masking import mask_secrets
from verification.services.letters import duration
from verification.tokens.languages import choose_language
from verification.tokens.redirects import (
    RedirectError,
    is_allowed,
    read_prefix,
    read_target,
    with_outcome,
)
from verification.tokens.secret import TOKEN_CHARS, digest_of, new_token
from verification.tokens.shown import shown_address

PREFIXES = ["https://app.example.com/welcome", "https://other.example:8443/"]


def test_a_token_has_256_bits_and_is_stored_as_its_sha256():
    token = new_token()
    assert len(token) == TOKEN_CHARS == 43
    assert digest_of(token) == hashlib.sha256(token.encode()).digest()
    assert len({new_token() for _ in range(100)}) == 100


@pytest.mark.parametrize("text", ["", "x", "a" * 42, "a" * 44, "a" * 42 + "ä", "a" * 42 + "\n"])
def test_what_is_no_token_has_no_digest(text):
    assert digest_of(text) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com/welcome",
        "https://APP.example.com/welcome/",
        "https://app.example.com:443/welcome/a/b?x=1#top",
        "https://other.example:8443/",
        "https://other.example:8443/anything",
        "https://other.example:8443",
    ],
)
def test_a_redirect_at_or_below_an_entry_is_allowed(url):
    assert is_allowed(read_target(url), PREFIXES)


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com/",
        "https://app.example.com/welcomes",
        "https://app.example.com/Welcome",
        "http://app.example.com/welcome",
        "https://app.example.com:444/welcome",
        "https://app.example.com.evil.example/welcome",
        "https://evil.example/https://app.example.com/welcome",
        "https://other.example/",
        "https://xapp.example.com/welcome",
    ],
)
def test_a_redirect_elsewhere_is_not_allowed(url):
    assert not is_allowed(read_target(url), PREFIXES)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/welcome",
        "//app.example.com/welcome",
        "javascript:alert(1)",
        "data:text/html,x",
        "https:app.example.com/welcome",
        "https:///app.example.com/welcome",
        "https://app.example.com@evil.example/welcome",
        "https://user:pw@app.example.com/welcome",
        "https://app.example.com\\@evil.example/welcome",
        "https://app.example.com/welcome/../admin",
        "https://app.example.com/welcome/%2e%2E/admin",
        "https://app.example.com/welcome/..;/admin",
        "https://app.example.com/welcome/..%2fadmin",
        "https://app.example.com/welcome/%252e%252e/admin",
        "https://app.example.com/welcome%00",
        "https://app.example.com/welcome\r\nSet-Cookie: a=b",
        "https://app.example.com/wel come",
        "https://app.exämple.com/welcome",
        "https://app.example.com:99999/welcome",
        "https://app.example.com:x/welcome",
        "https://-app.example.com/",
        "https://[::1/",
        "https://app.example.com/" + "a" * 2000,
        "ftp://app.example.com/welcome",
    ],
)
def test_a_url_that_programs_read_differently_is_refused(url):
    with pytest.raises(RedirectError):
        read_target(url)


def test_an_entry_has_one_form_and_no_query():
    assert read_prefix(" HTTPS://App.Example.com:443 ") == "https://app.example.com/"
    assert read_prefix("http://[::1]:3000/cb") == "http://[::1]:3000/cb"
    for text in ("https://a.example/?x=1", "https://a.example/#x", "a.example"):
        with pytest.raises(RedirectError):
            read_prefix(text)


def test_the_outcome_joins_the_query_and_cannot_be_forged():
    target = read_target("https://a.example/cb?x=1&status=confirmed&x=%26#part")
    url = with_outcome(target, {"verification_id": "7", "status": "pending"})
    assert url == "https://a.example/cb?x=1&x=%26&verification_id=7&status=pending#part"


@given(st.text(max_size=80))
def test_no_text_leads_outside_the_list(text):
    for url in (text, f"https://app.example.com{text}", f"https://app.example.com/welcome{text}"):
        try:
            target = read_target(url)
        except RedirectError:
            continue
        if is_allowed(target, PREFIXES[:1]):
            sent = urlsplit(with_outcome(target, {"status": "confirmed"}))
            assert (sent.scheme, sent.netloc) == ("https", "app.example.com")
            assert sent.path == "/welcome" or sent.path.startswith("/welcome/")
            assert ("status", "confirmed") in parse_qsl(sent.query)


@pytest.mark.parametrize(
    ("wishes", "header", "language"),
    [
        ([], "", "en"),
        (["de"], "fr", "de"),
        (["", "pt-BR"], "fr-CA, de;q=0.9", "fr"),
        (["FA_ir"], "", "fa"),
        ([], "pt, ar;q=0.5, es;q=0.8", "es"),
        ([], "de;q=0, *", "en"),
        ([], "de;q=x, es;q=2, fa;q=0.1", "fa"),
        ([], ";;,,=q;q=" * 500, "en"),
    ],
)
def test_the_language_is_the_best_one_there_is(wishes, header, language):
    assert choose_language(wishes, header) == language


@given(st.text(max_size=50), st.text(max_size=200))
def test_any_header_leads_to_a_language(wish, header):
    assert choose_language([wish], header) in {"en", "de", "fr", "es", "fa", "ar"}


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("ann@acme.io", "ann@acme.io"),
        ("jürgen@xn--mller-kva.de", "jürgen@müller.de"),
        ("a@xn--fsqu00a.xn--4rr70v", "a@例子.广告"),
        ("a@xn--a.com", "a@xn--a.com"),
    ],
)
def test_addresses_are_shown_as_people_write_them(email, shown):
    assert shown_address(email) == shown


@given(st.text())
def test_any_text_can_be_shown(text):
    assert shown_address(f"a@xn--{text}").startswith("a@") or "@" in text


def test_links_are_masked_in_any_text():
    token = new_token()
    path = f"/verify/{token}"
    escaped = f"%2Fverify%2F{token}"
    line = f'"GET {path}?lang=de HTTP/1.1" 200 "https://a.example{path}" {escaped}'
    assert mask_secrets(line) == (
        '"GET /verify/…?lang=de HTTP/1.1" 200 "https://a.example/verify/…" %2Fverify%2F…'
    )


@pytest.mark.parametrize(
    ("seconds", "language", "words"),
    [
        (60, "en", "1 minute"),
        (90, "en", "1 minute"),
        (3600, "en", "1 hour"),
        (5400, "de", "90 Minuten"),
        (7200, "ar", "ساعتين"),
        (3 * 86_400, "es", "3 días"),
        (86_400, "fa", "\N{EXTENDED ARABIC-INDIC DIGIT ONE} روز"),
        (3600, "pt-BR", "1 hora"),
        (90 * 60, "ja_JP", "90 分"),
        (3600, "de-AT", "1 Stunde"),
        (3600, "xx-Nope", "1 hour"),
        (3600, "", "1 hour"),
    ],
)
def test_time_spans_are_told_in_words(seconds, language, words):
    assert duration(seconds, language) == words
