"""Figures and words in explanations: coarse, short and the same for the same."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from providers.routing import (
    Conditions,
    Snapshot,
    Strategy,
    choose,
    conditions_in_words,
    parse_domain_pattern,
    price_text,
    rule_in_words,
    success_rate,
)
from providers.routing.scores import failure_percent, stepped_latency
from tests.providers.test_routing import FACTS, NOW, account
from tests.providers.test_routing_rules import KEY, rule


def test_a_new_account_is_neither_perfect_nor_hopeless() -> None:
    assert success_rate(0, 0) == 0.95
    assert success_rate(0, 1) == pytest.approx(19 / 21)
    assert success_rate(980, 980) == pytest.approx(0.999)


@pytest.mark.parametrize(
    ("rate", "shown"), [(1.0, 0.1), (0.999, 0.1), (0.9989, 0.2), (0.99, 1), (0.95, 5), (0, 100)]
)
def test_failures_are_stepped(rate: float, shown: float) -> None:
    assert failure_percent(rate) == shown


@pytest.mark.parametrize(
    ("exact", "shown"),
    [(0, 1), (1, 1), (1.01, 1.5), (10, 10), (11, 15), (99, 100), (7_001, 10_000)],
)
def test_latencies_are_stepped(exact: float, shown: float) -> None:
    assert stepped_latency(exact) == shown


@pytest.mark.parametrize(
    ("price", "text"),
    [("0", "0.00"), ("0.1", "0.10"), ("1.25", "1.25"), ("0.000125", "0.000125"), ("12", "12.00")],
)
def test_prices_have_two_decimals_or_as_many_as_it_takes(price: str, text: str) -> None:
    assert price_text(Decimal(price)) == text


def test_explanations_do_not_change_with_every_mail() -> None:
    def digest(**fields: Any) -> UUID:
        states = [account(1, **fields), account(2)]
        balanced = rule(1, 2, strategy=Strategy.BALANCED)
        return choose(FACTS, Snapshot(NOW, states, [balanced])).digest

    first = digest(success_rate=0.9911, latency_p50_ms=210, remaining=900)
    assert digest(success_rate=0.9949, latency_p50_ms=299, remaining=1) == first
    assert digest(success_rate=0.9949, latency_p50_ms=301, remaining=1) != first


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("Example.COM", "example.com"),
        (" *.example.com ", "*.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("mail.test", "mail.test"),
    ],
)
def test_domain_patterns_are_read(text: str, pattern: str) -> None:
    assert parse_domain_pattern(text) == pattern


@pytest.mark.parametrize(
    "text", ["", "*", "*.", "*.*.com", "a b.com", "@example.com", "ann@example.com", "a..b", "com."]
)
def test_what_is_no_domain_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_domain_pattern(text)


def test_conditions_read_as_words() -> None:
    assert conditions_in_words(Conditions(), {}) == "all mail"
    full = Conditions(
        email_types=frozenset({"marketing"}),
        sender_domains=frozenset({"example.com"}),
        recipient_domains=frozenset({"*.example.org", "gmail.com"}),
        tags=frozenset({"a", "b", "c"}),
        api_key_ids=frozenset({KEY}),
    )
    assert conditions_in_words(full, {KEY: "shop"}) == (
        "marketing mail from example.com to *.example.org or gmail.com only tagged a, b or c "
        "sent with “shop”"
    )
    assert conditions_in_words(Conditions(api_key_ids=frozenset({KEY})), {}) == (
        "mail sent with “a deleted key”"
    )


def test_a_rule_reads_as_a_sentence() -> None:
    names = {UUID(int=1): "SES", UUID(int=2): "Relay"}
    weighted = rule((1, 7), (2, 3), strategy=Strategy.WEIGHTED_SPLIT, is_exclusive=False)
    assert rule_in_words(weighted, provider_names=names, key_names={}) == (
        "All mail: split among SES (7), Relay (3); else the usual order."
    )
    assert rule_in_words(rule(1), provider_names=names, key_names={}) == (
        "All mail: through SES; no other account."
    )
