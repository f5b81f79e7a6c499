"""Parsing, wire form, look-up form and output of email addresses."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailservice.core.addresses import (
    MAX_EMAIL_OCTETS,
    Address,
    AddressError,
    domain_of,
    format_address,
    normalized,
    parse_address,
    parse_email,
)

LOCAL = st.from_regex(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\.[A-Za-z0-9+_-]{1,10}){0,2}", fullmatch=True
)
DOMAIN = st.from_regex(
    r"([A-Za-z0-9]{1,10}(-[A-Za-z0-9]{1,5})?\.){1,3}[A-Za-z]{2,6}", fullmatch=True
)
NAME = st.text(
    st.characters(codec="utf-8", categories=("L", "M", "N", "P", "S", "Zs")), max_size=40
).map(lambda name: name.strip(" "))


@pytest.mark.parametrize(
    ("given_value", "email", "name"),
    [
        ("a@b.c", "a@b.c", ""),
        ("  a@b.example ", "a@b.example", ""),
        ("Info@Example.COM", "Info@example.com", ""),
        ("Info+Ä@Example.COM", "Info+Ä@example.com", ""),
        ("<a@b.example>", "a@b.example", ""),
        ("Jane Doe <jane@b.example>", "jane@b.example", "Jane Doe"),
        ("Jane Doe<jane@b.example>", "jane@b.example", "Jane Doe"),
        ('"Doe, Jane" <jane@b.example>', "jane@b.example", "Doe, Jane"),
        ("Doe, Jane <jane@b.example>", "jane@b.example", "Doe, Jane"),
        (r'"Jane \"J\" Doe\\" <jane@b.example>', "jane@b.example", 'Jane "J" Doe\\'),
        ('"jane@work" <jane@b.example>', "jane@b.example", "jane@work"),
        ("=?utf-8?B?SsO8cmdlbg==?= <j@b.example>", "j@b.example", "Jürgen"),
        ("=?iso-8859-1?Q?J=FCrgen?= Q <j@b.example>", "j@b.example", "Jürgen Q"),
        ("=?nonsense?B?SsO8?= <j@b.example>", "j@b.example", "=?nonsense?B?SsO8?="),
        ("Łukasz 日本 <j@b.example>", "j@b.example", "Łukasz 日本"),
        ("jürgen@bücher.example", "jürgen@xn--bcher-kva.example", ""),
        ("ju\u0308rgen@b.example", "jürgen@b.example", ""),
        ("用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v", ""),
        ("a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example", ""),
        ('"john doe"@b.example', '"john doe"@b.example', ""),
        ('"john"@b.example', "john@b.example", ""),
        ("root@localhost", "root@localhost", ""),
        ("a@relay.LOCAL", "a@relay.local", ""),
        ("ü@relay.test", "ü@relay.test", ""),
        ({"email": "A@B.example", "name": "=?x?= & Co"}, "A@b.example", "=?x?= & Co"),
        ({"email": "a@b.example", "name": None}, "a@b.example", ""),
        ({"address": "a@b.example"}, "a@b.example", ""),
        ("a" * 64 + "@b.example", "a" * 64 + "@b.example", ""),
    ],
)
def test_accepted_forms(given_value, email, name):
    assert parse_address(given_value) == Address(email, name)


@pytest.mark.parametrize(
    ("value", "code", "field"),
    [
        ("", "required", ""),
        ("   ", "required", ""),
        ("<>", "required", ""),
        ("plain", "invalid_email", ""),
        ("@b.example", "invalid_email", ""),
        ("a@", "invalid_email", ""),
        ("a@b@c.example", "invalid_email", ""),
        ("a b@c.example", "invalid_email", ""),
        ("a@b c.example", "invalid_email", ""),
        ("a..b@c.example", "invalid_email", ""),
        (".a@c.example", "invalid_email", ""),
        ("a.@c.example", "invalid_email", ""),
        ("a@c.example.", "invalid_email", ""),
        ("a@-c.example", "invalid_email", ""),
        ("a@c_d.example", "invalid_email", ""),
        ("a@gmail", "invalid_email", ""),
        ("a@127.0.0.1", "invalid_email", ""),
        ("a@[127.0.0.1]", "invalid_email", ""),
        ("a@b.example, c@d.example", "invalid_email", ""),
        ("a@b.example,c@d.example", "invalid_email", ""),
        ("a@b.example; c@d.example", "invalid_email", ""),
        ("x <a@b.example> <c@d.example>", "invalid_email", ""),
        ("a@b.example, X <c@d.example>", "invalid_email", ""),
        ("a@b.example>", "invalid_email", ""),
        ("<a@b.example", "invalid_email", ""),
        ("a@b.example (Jane)", "invalid_email", ""),
        ('"Jane <a@b.example>', "invalid_name", ""),
        ('"Jane" Doe <a@b.example>', "invalid_name", ""),
        ("N" * 257 + " <a@b.example>", "too_long", ""),
        ("a" * 65 + "@b.example", "too_long", ""),
        ("ü" * 33 + "@b.example", "too_long", ""),
        ("a@" + "b" * 64 + ".example", "invalid_email", ""),
        ("a" * 64 + "@" + ("b" * 61 + ".") * 3 + "example", "too_long", ""),
        ("a@b.example" + " " * 10_000, "too_long", ""),
        ("a@\ud800.example", "invalid_email", ""),
        (None, "invalid_type", ""),
        (7, "invalid_type", ""),
        (True, "invalid_type", ""),
        (["a@b.example"], "invalid_type", ""),
        ({}, "required", "email"),
        ({"name": "x"}, "required", "email"),
        ({"email": ""}, "required", "email"),
        ({"email": 7}, "invalid_type", "email"),
        ({"email": "N <a@b.example>"}, "invalid_email", "email"),
        ({"email": "a@b.example", "address": "c@d.example"}, "conflict", "email"),
        ({"email": "a@b.example", "nmae": "x"}, "unknown_field", "email"),
        ({"email": "a@b.example", "name": 7}, "invalid_type", "name"),
        ({"email": "a@b.example", "name": "x\r\nBcc: e@f.example"}, "invalid_name", "name"),
        ({"email": "a@b.example", "name": "x" * 257}, "too_long", "name"),
    ],
)
def test_refused_forms(value, code, field):
    with pytest.raises(AddressError) as caught:
        parse_address(value)
    assert (caught.value.code, caught.value.field) == (code, field)


@pytest.mark.parametrize("control", [*map(chr, range(32)), "\x7f", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("pattern", ["a{}@b.example", "a@b.example{}", "x{}y <a@b.example>"])
def test_no_line_end_or_control_character_passes(pattern, control):
    with pytest.raises(AddressError):
        parse_address(pattern.format(control))


@pytest.mark.parametrize("word", ["=?utf-8?B?eA0KQmNjOiBlQGYuZXhhbXBsZQ==?=", "=?utf-8?Q?a=00?="])
def test_line_ends_hidden_in_encoded_words_are_refused(word):
    with pytest.raises(AddressError) as caught:
        parse_address(f"{word} <a@b.example>")
    assert caught.value.code == "invalid_name"


def test_several_addresses_in_one_string_are_explained():
    with pytest.raises(AddressError, match="give several as a list"):
        parse_address("a@b.example, c@d.example")


def test_longest_address_is_accepted():
    email = "a" * 64 + "@" + ("b" * 63 + ".") * 2 + "b" * 57 + ".xyz"
    assert len(email) == MAX_EMAIL_OCTETS
    assert parse_address(email).email == email
    with pytest.raises(AddressError, match="too long"):
        parse_address(email + "z")


@given(LOCAL, DOMAIN)
@example("a", "b-c.example")
def test_fast_and_full_check_agree(local, domain):
    email = f"{local}@{domain}"
    # Spaces around it send the same address the slow way.
    assert parse_email(email) == parse_email(f" {email} ") == f"{local}@{domain.lower()}"


@given(LOCAL, DOMAIN, NAME)
@example("a", "b.example", "=?utf-8?Q?a?=")
@example("a", "b.example", 'back\\slash "quote"')
@example("a", "b.example", "\xa0")
def test_formatted_address_parses_back(local, domain, name):
    address = Address(f"{local}@{domain.lower()}", name)
    assert parse_address(format_address(address)) == address


@given(st.text() | st.text(alphabet='a@.<>", \\=?\r\nü'))
def test_parser_raises_nothing_but_address_error(text):
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert address.email.isprintable()
    assert parse_email(address.email) == address.email
    assert domain_of(address.email).isascii()
    assert len(address.email.encode()) <= MAX_EMAIL_OCTETS


@pytest.mark.parametrize(
    ("email", "expected"),
    [
        ("Jane.Doe@B.Example", "jane.doe@b.example"),
        ("JÜRGEN@Bücher.example", "jürgen@xn--bcher-kva.example"),
        ("JU\u0308RGEN@b.example", "jürgen@b.example"),
        ("no address Ü", "no address ü"),
        ("", ""),
    ],
)
def test_lookup_form(email, expected):
    assert normalized(email) == expected


@given(st.text())
def test_lookup_form_is_stable(text):
    assert normalized(normalized(text)) == normalized(text)


def test_domain_is_what_follows_the_last_at_sign():
    assert domain_of('"a@b"@c.example') == "c.example"
