"""Signed tokens of pixels and links."""

from __future__ import annotations

import string
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.links import KeyRing
from delivery.links.tracks import (
    MAX_TOKEN_CHARS,
    MAX_URL_BYTES,
    Track,
    click_head,
    click_token,
    open_token,
    read_click,
    read_open,
    recipient_mark,
)

OLD, NEW = b"o" * 32, b"n" * 32
RING = KeyRing({0: OLD})
LATER = KeyRing({0: OLD, 1: NEW})
ID = UUID(int=5)
LETTERS = string.ascii_letters + string.digits + "-_"


def token(url: str = "https://x.example/", ring: KeyRing = RING) -> str:
    return click_token(ring, click_head(ID, b"abcd", 3), url.encode())


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.integers(0, 400))
def test_what_is_signed_is_read(url: str, count: int) -> None:
    made = click_token(RING, click_head(ID, b"abcd", count), url.encode())
    assert set(made) <= set(LETTERS)
    assert read_click(RING, made) == Track(ID, b"abcd", url, min(count, 255))


def test_a_pixel_is_read() -> None:
    assert read_open(RING, open_token(RING, ID, b"abcd")) == Track(ID, b"abcd")


def test_any_other_letter_anywhere_makes_it_invalid() -> None:
    made = token()
    for place in range(len(made)):
        for letter in LETTERS:
            changed = made[:place] + letter + made[place + 1 :]
            assert (read_click(RING, changed) is None) == (changed != made)


@pytest.mark.parametrize("bad", ["", "A", "====", "\0", "é", "a/b", "A" * 40, "x" * 5000, " "])
def test_nonsense_is_no_token(bad: str) -> None:
    assert read_click(RING, bad) is None
    assert read_open(RING, bad) is None


def test_a_token_serves_one_purpose() -> None:
    assert read_open(RING, token()) is None
    assert read_click(RING, open_token(RING, ID, b"abcd")) is None
    assert RING.read_url(b"click", RING.seal(b"click", b"x" * 30)) is None


def test_tokens_outlive_their_key_and_need_it() -> None:
    assert read_click(LATER, token()) is not None
    fresh = token(ring=LATER)
    assert fresh != token()
    assert read_click(LATER, fresh) is not None
    assert read_click(RING, fresh) is None
    assert not RING.knows(fresh)
    assert read_click(KeyRing({0: NEW}), token()) is None


def test_the_longest_address_fits() -> None:
    longest = token("https://" + "x" * (MAX_URL_BYTES - 8))
    assert len(longest) <= MAX_TOKEN_CHARS
    assert read_click(RING, longest) is not None


def test_a_recipient_is_marked_differently_in_each_mail() -> None:
    marks = {recipient_mark(UUID(int=number), "bob@example.net") for number in range(50)}
    assert len(marks) == 50
    assert recipient_mark(ID, "bob@example.net") == recipient_mark(ID, "bob@example.net")
