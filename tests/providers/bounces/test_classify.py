"""The table of bounce rules against replies as servers give them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.bounces import BounceClass, Side, classify, is_block, status_in
from providers.bounces.rules import RULES

_REPLY = re.compile(r"(\d{3})(?:[ -](?:#?(\d\.\d\.\d{1,3})(?: |\Z))?(.*))?\Z", re.DOTALL)


def corpus() -> list[tuple[str, str, str]]:
    text = (Path(__file__).parent / "replies.tsv").read_text()
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return [(row[0], row[1], row[2]) for row in rows]


def parts_of(reply: str) -> tuple[int, str, str]:
    found = _REPLY.match(reply)
    assert found is not None
    return int(found[1]), found[2] or "", found[3] or ""


def said(code: int, enhanced: str, text: str, *, is_permanent: bool) -> str:
    verdict = classify(code, enhanced, text, is_permanent=is_permanent)
    return verdict.bounce_class.value + "!" * verdict.is_hard


@pytest.mark.parametrize(("server", "word", "reply"), corpus())
def test_a_reply_is_understood(server: str, word: str, reply: str) -> None:
    code, enhanced, text = parts_of(reply)
    is_permanent = code >= 500
    assert said(code, enhanced, text, is_permanent=is_permanent) == word
    # As one text, the way events and diagnostic codes have it.
    assert said(0, "", f"smtp; {reply}", is_permanent=is_permanent) == word


def test_the_corpus_is_large_and_holds_every_class_that_servers_give() -> None:
    words = [word.rstrip("!") for _, word, _ in corpus()]
    assert len(words) >= 350
    assert set(BounceClass) - {BounceClass(word) for word in words} == {
        BounceClass.AUTO_REPLY,
        BounceClass.CHALLENGE,
    }


@given(
    code=st.integers(-1, 10_000),
    enhanced=st.text(max_size=12),
    text=st.text(max_size=3_000),
    is_permanent=st.booleans(),
)
def test_any_text_is_classified(code: int, enhanced: str, text: str, *, is_permanent: bool) -> None:
    verdict = classify(code, enhanced, text, is_permanent=is_permanent)
    assert is_permanent or not verdict.is_hard


@pytest.mark.parametrize(("server", "word", "reply"), corpus())
def test_nothing_is_hard_that_the_caller_does_not_call_final(
    server: str, word: str, reply: str
) -> None:
    assert not classify(*parts_of(reply), is_permanent=False).is_hard


@pytest.mark.parametrize(
    ("code", "enhanced"), [(450, "5.1.1"), (550, "4.1.1"), (451, ""), (0, "4.2.1")]
)
def test_a_code_that_says_later_is_never_hard(code: int, enhanced: str) -> None:
    assert said(code, enhanced, "User unknown", is_permanent=True) == "address"


@pytest.mark.parametrize(
    ("status", "text", "word"),
    [
        (422, "to[0].email: the provider calls the address invalid", "address!"),
        (400, "The to email parameter does not contain a valid address.", "address!"),
        (406, "You tried to send to recipients that have been marked as inactive.", "policy"),
        (400, "the provider does not send to it", "unknown"),
    ],
)
def test_the_words_of_an_api_count_whatever_its_status(status: int, text: str, word: str) -> None:
    assert said(status, "", text, is_permanent=True) == word


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Out of office: I am back on Monday", "auto_reply"),
        ("Abwesenheitsnotiz", "auto_reply"),
        ("Please confirm that you sent this message", "challenge"),
        ("This mailbox is protected by Boxbe", "challenge"),
    ],
)
def test_a_machine_that_answers_is_told_by_words_without_codes(text: str, word: str) -> None:
    assert said(0, "", text, is_permanent=True) == word


@pytest.mark.parametrize(
    ("reply", "side", "blames_account"),
    [
        ("550 5.1.1 User unknown", "recipient", False),
        ("552 5.2.2 Mailbox full", "recipient", False),
        ("550 5.7.1 Service unavailable; blocked using zen.spamhaus.org", "sender", True),
        ("550 5.7.26 This mail is unauthenticated: SPF did not pass", "sender", True),
        ("554 5.7.1 Spam message rejected", "sender", False),
        ("552 5.3.4 Message too large", "sender", False),
        ("550 I do not feel like it", None, False),
    ],
)
def test_a_reply_says_whose_side_it_is_about(
    reply: str, side: str | None, *, blames_account: bool
) -> None:
    verdict = classify(*parts_of(reply), is_permanent=True)
    assert verdict.data.get("side") == side
    assert is_block(verdict.data) is blames_account


def test_nothing_that_concerns_the_sender_is_hard() -> None:
    assert [rule for rule in RULES if rule.is_hard and rule.side is Side.SENDER] == []
    assert {rule.bounce_class for rule in RULES if rule.is_hard} == {
        BounceClass.ADDRESS,
        BounceClass.ROUTING,
    }


def test_rules_are_written_in_lower_case_as_texts_are_compared() -> None:
    for rule in RULES:
        words = re.sub(r"\\.", "", rule.words.pattern) if rule.words else ""
        assert words == words.lower()


def test_words_in_an_address_are_not_the_servers() -> None:
    text = "<quota-exceeded.spamhaus@blacklisted.example>: User unknown"
    assert said(550, "", text, is_permanent=True) == "address!"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("550 5.1.1 no", "5.1.1"),
        ("x (#5.7.26).", "5.7.26"),
        ("host 10.5.1.1 said 550", ""),
        ("Exim 4.94.2 refused", ""),
        ("dsn=4.2.2, stat", "4.2.2"),
        ("5.1.1.5", ""),
        ("2.0.0 ok", "2.0.0"),
        ("", ""),
    ],
)
def test_an_enhanced_code_is_found_in_a_reply(text: str, code: str) -> None:
    assert status_in(text) == code


def test_a_status_that_tells_nothing_gives_way_to_the_replys() -> None:
    assert said(0, "5.0.0", "smtp; 550 5.1.1 rejected", is_permanent=True) == "address!"
