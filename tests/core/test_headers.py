"""Which custom header fields are let through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailservice.core.headers import HeaderError, check_header, protected_reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Order", "17"),
        ("List-Unsubscribe", "<https://a.example/u>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("In-Reply-To", "<a@b.example>"),
        ("X-Name", "Grüße"),
        ("X" * 76, "v"),
        ("X-A", "v" * (998 - len("X-A: "))),
    ],
)
def test_allowed_headers(name, value):
    assert check_header(name, value) == value


def test_outer_spaces_are_dropped():
    assert check_header("X-A", "  v ") == "v"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("", "v", "invalid_header_name"),
        ("X A", "v", "invalid_header_name"),
        ("X-A:", "v", "invalid_header_name"),
        ("X-A\r\nBcc", "v", "invalid_header_name"),
        ("X-A\n", "v", "invalid_header_name"),
        ("X-Ä", "v", "invalid_header_name"),
        ("X" * 77, "v", "too_long"),
        ("X-A", "v\r\nBcc: a@b.example", "invalid_header_value"),
        ("X-A", "v\n", "invalid_header_value"),
        ("X-A", "v\r", "invalid_header_value"),
        ("X-A", "v\x00", "invalid_header_value"),
        ("X-A", "v\x0b", "invalid_header_value"),
        ("X-A", "v\x85", "invalid_header_value"),
        ("X-A", "v\u2028", "invalid_header_value"),
        ("X-A", "v\ud800", "invalid_header_value"),
        ("X-A", "", "required"),
        ("X-A", "  ", "required"),
        ("X-A", 7, "invalid_type"),
        ("X-A", None, "invalid_type"),
        ("X-A", "v" * (999 - len("X-A: ")), "too_long"),
        ("X-A", "ü" * 497, "too_long"),
        ("From", "v", "protected_header"),
        ("bcc", "v", "protected_header"),
        ("MESSAGE-ID", "v", "protected_header"),
        ("Content-Type", "v", "protected_header"),
        ("content-anything", "v", "protected_header"),
        ("Resent-To", "v", "protected_header"),
        ("DKIM-Signature", "v", "protected_header"),
        ("Return-Path", "v", "protected_header"),
        ("MIME-Version", "v", "protected_header"),
        ("Received", "v", "protected_header"),
        ("Sender", "v", "protected_header"),
        ("Date", "v", "protected_header"),
    ],
)
def test_refused_headers(name, value, code):
    with pytest.raises(HeaderError) as caught:
        check_header(name, value)
    assert caught.value.code == code


def test_reason_names_the_field_to_use_instead():
    assert protected_reason("Reply-To") == 'Use the field "reply_to" instead of this header.'
    assert protected_reason("Message-ID") == "This header is set by the service."
    assert protected_reason("X-Mine") == ""


@given(st.text(max_size=100), st.text(max_size=1100))
def test_what_passes_is_one_line(name, value):
    try:
        kept = check_header(name, value)
    except HeaderError:
        return
    line = f"{name}: {kept}"
    assert len(line.splitlines()) == 1
    assert len(line.encode()) <= 998
