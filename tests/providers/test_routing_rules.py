"""Rules and strategies, as pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from providers.routing import (
    Balance,
    Conditions,
    MessageFacts,
    ProviderState,
    Rule,
    Skip,
    Snapshot,
    Strategy,
    Target,
    WhatIf,
    choose,
    suppose,
)
from tests.providers.test_routing import ANN, BEN, FACTS, LATER, NOW, account

KEY = UUID(int=77)


def rule(*targets: int | tuple[int, int], **fields: Any) -> Rule:
    """Return a rule of everybody with these accounts, weighted if given as pairs."""
    pairs = [target if isinstance(target, tuple) else (target, 1) for target in targets]
    defaults: dict[str, Any] = {
        "rule_id": UUID(int=500),
        "name": "receipts",
        "owner_id": None,
        "position": 100,
        "strategy": Strategy.FIXED_ORDER,
        "targets": tuple(Target(UUID(int=number), weight) for number, weight in pairs),
    }
    return Rule(**defaults | fields)


def taken(states: Iterable[ProviderState], *rules: Rule, facts: MessageFacts = FACTS) -> int | None:
    decision = choose(facts, Snapshot(NOW, list(states), rules))
    return decision.provider_id.int if decision.provider_id else None


def ids(count: int) -> list[UUID]:
    return [UUID(int=0x0192_0000_0000_7000_8000_0000_0000_0000 + number) for number in range(count)]


# --- which rule counts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "is_met"),
    [
        (Conditions(), True),
        (Conditions(email_types=frozenset({"marketing", "transactional"})), True),
        (Conditions(email_types=frozenset({"marketing"})), False),
        (Conditions(sender_domains=frozenset({"example.com"})), True),
        (Conditions(sender_domains=frozenset({"*.example.com"})), False),
        (Conditions(sender_domains=frozenset({"*.com"})), True),
        (Conditions(recipient_domains=frozenset({"example.net"})), False),
        (Conditions(recipient_domains=frozenset({"*.net", "*.org"})), True),
        (Conditions(recipient_domains=frozenset({"example.net", "mail.example.org"})), True),
        (Conditions(tags=frozenset({"vip", "other"})), True),
        (Conditions(tags=frozenset({"VIP"})), False),
        (Conditions(api_key_ids=frozenset({KEY})), True),
        (Conditions(api_key_ids=frozenset({ANN})), False),
        (Conditions(tags=frozenset({"vip"}), api_key_ids=frozenset({ANN})), False),
    ],
)
def test_a_rule_counts_if_all_its_conditions_are_met(
    conditions: Conditions, *, is_met: bool
) -> None:
    facts = replace(
        FACTS,
        recipient_domains=frozenset({"example.net", "mail.example.org"}),
        tags=frozenset({"vip", "first"}),
        api_key_id=KEY,
    )
    assert conditions.match(facts) is is_met


def test_a_mail_of_unknown_recipients_does_not_meet_a_condition_on_them() -> None:
    assert not Conditions(recipient_domains=frozenset({"*.net"})).match(FACTS)


def test_the_first_rule_in_order_counts() -> None:
    states = [account(1), account(2), account(3)]
    marketing = rule(1, conditions=Conditions(email_types=frozenset({"marketing"})))
    assert taken(states, marketing, rule(2), rule(3)) == 2
    assert taken(states, marketing, rule(3), rule(2)) == 3


def test_a_rule_of_somebody_else_does_not_count() -> None:
    states = [account(1), account(2)]
    assert taken(states, rule(2, owner_id=BEN)) == 1
    assert taken(states, rule(2, owner_id=ANN)) == 2


def test_a_pinned_account_goes_before_any_rule() -> None:
    facts = replace(FACTS, pinned_provider_id=UUID(int=1))
    assert taken([account(1), account(2)], rule(2), facts=facts) == 1


def test_an_exclusive_rule_waits_for_its_targets() -> None:
    states = [account(1), account(2, paused_until=LATER)]
    decision = choose(FACTS, Snapshot(NOW, states, [rule(2)]))
    assert (decision.provider_id, decision.retry_at, decision.is_hopeless) == (None, LATER, False)
    assert decision.reason == (
        "every account that may take this mail is closed for now, by the rule “receipts”"
    )
    assert [found.skipped for found in decision.candidates] == [Skip.PAUSED, Skip.NOT_A_TARGET]


def test_another_rule_falls_back_on_the_usual_order() -> None:
    states = [account(1), account(2, paused_until=LATER), account(3, position=1)]
    decision = choose(FACTS, Snapshot(NOW, states, [rule(2, is_exclusive=False)]))
    assert decision.provider_id == UUID(int=3)
    assert decision.reason == (
        "every target of the rule “receipts” is closed, so the usual order counts"
    )
    assert [found.provider_id.int for found in decision.candidates] == [2, 3, 1]


def test_a_rule_whose_targets_are_gone_is_hopeless() -> None:
    decision = choose(FACTS, Snapshot(NOW, [account(1)], [rule(9)]))
    assert (decision.provider_id, decision.is_hopeless) == (None, True)
    assert decision.reason == "no account may take this mail, by the rule “receipts”"


def test_a_rule_for_all_that_names_somebodys_account_does_not_show_it() -> None:
    states = [account(1, owner_id=BEN), account(2)]
    decision = choose(FACTS, Snapshot(NOW, states, [rule(1, 2)]))
    assert [found.provider_id.int for found in decision.candidates] == [2]


# --- strategies -----------------------------------------------------------------------------------


def test_in_fixed_order_the_first_open_target_is_taken() -> None:
    states = [account(1), account(2), account(3, is_active=False)]
    assert taken(states, rule(3, 2, 1)) == 2


def test_the_cheapest_target_is_taken_and_the_rules_order_decides_between_equals() -> None:
    states = [
        account(1, price=Decimal("0.10")),
        account(2, price=Decimal("0.09")),
        account(3, price=Decimal("0.09")),
    ]
    assert taken(states, rule(1, 3, 2, strategy=Strategy.CHEAPEST)) == 3


def test_the_most_reliable_target_is_taken() -> None:
    states = [account(1, success_rate=0.97), account(2, success_rate=0.999), account(3)]
    most_reliable = rule(1, 2, 3, strategy=Strategy.MOST_RELIABLE)
    assert taken(states, most_reliable) == 2


def test_figures_that_look_equal_are_equal() -> None:
    states = [account(1, success_rate=0.9912), account(2, success_rate=0.9946)]
    decision = choose(FACTS, Snapshot(NOW, states, [rule(1, 2, strategy=Strategy.MOST_RELIABLE)]))
    assert decision.provider_id == UUID(int=1)
    assert [(found.score, found.note) for found in decision.candidates] == [
        (99.0, "99 % reliable"),
        (99.0, "99 % reliable"),
    ]


def test_the_fastest_target_is_taken_by_its_median_then_its_slow_mails() -> None:
    states = [
        account(1, latency_p50_ms=120, latency_p95_ms=900),
        account(2, latency_p50_ms=149, latency_p95_ms=301),
        account(3, latency_p50_ms=1_501, latency_p95_ms=1_600),
    ]
    decision = choose(FACTS, Snapshot(NOW, states, [rule(1, 2, 3, strategy=Strategy.FASTEST)]))
    assert [(found.provider_id.int, found.note) for found in decision.candidates] == [
        (2, "about 150 ms, 95 % in 500 ms"),
        (1, "about 150 ms, 95 % in 1 s"),
        (3, "about 2 s, 95 % in 2 s"),
    ]


def test_the_balance_says_what_counts() -> None:
    states = [
        account(1, price=Decimal("0.1"), success_rate=0.95, latency_p50_ms=300),
        account(2, price=Decimal("0.9"), success_rate=0.999, latency_p50_ms=100),
    ]
    balanced = rule(1, 2, strategy=Strategy.BALANCED)
    assert taken(states, balanced) == 2
    assert taken(states, replace(balanced, balance=Balance(cost=5))) == 1
    decision = choose(FACTS, Snapshot(NOW, states, [balanced]))
    assert [(found.score, found.note) for found in decision.candidates] == [
        (66, "66 points: cost 36, reliability 96, speed 67"),
        (52, "52 points: cost 83, reliability 34, speed 40"),
    ]


def test_without_any_cost_the_balance_gives_full_marks_for_it() -> None:
    decision = choose(
        FACTS, Snapshot(NOW, [account(1), account(2)], [rule(2, 1, strategy=Strategy.BALANCED)])
    )
    assert [(found.provider_id.int, found.score) for found in decision.candidates] == [
        (2, 67),
        (1, 67),
    ]


# --- the weighted split ---------------------------------------------------------------------------


def split(states: list[ProviderState], *targets: tuple[int, int]) -> Counter[int | None]:
    snapshot = Snapshot(NOW, states, [rule(*targets, strategy=Strategy.WEIGHTED_SPLIT)])
    found: Counter[int | None] = Counter()
    for message_id in ids(10_000):
        decision = snapshot.decide(replace(FACTS, message_id=message_id))
        assert decision == choose(replace(FACTS, message_id=message_id), snapshot)
        found[decision.provider_id.int if decision.provider_id else None] += 1
    return found


def test_a_split_gives_each_target_its_share() -> None:
    found = split([account(1), account(2), account(3)], (1, 50), (2, 30), (3, 20))
    assert abs(found[1] - 5_000) < 200
    assert abs(found[2] - 3_000) < 200
    assert abs(found[3] - 2_000) < 200


def test_the_share_of_a_closed_target_falls_to_the_others_by_their_weights() -> None:
    states = [account(1, remaining=0), account(2), account(3)]
    found = split(states, (1, 50), (2, 30), (3, 20))
    assert abs(found[2] - 6_000) < 200
    assert abs(found[3] - 4_000) < 200


def test_a_target_without_weight_is_used_only_if_no_other_is_open() -> None:
    assert split([account(1), account(2)], (2, 0), (1, 7)) == {1: 10_000}
    assert split([account(1, remaining=0), account(2)], (2, 0), (1, 7)) == {2: 10_000}


def test_a_split_sends_a_message_the_same_way_unless_that_is_closed() -> None:
    rules = [rule((1, 1), (2, 1), (3, 1), strategy=Strategy.WEIGHTED_SPLIT)]
    before = Snapshot(NOW, [account(1), account(2), account(3)], rules)
    after = Snapshot(NOW, [account(1), account(2, paused_until=LATER), account(3)], rules)
    for message_id in ids(300):
        facts = replace(FACTS, message_id=message_id)
        first = before.decide(facts).provider_id
        assert first is not None
        if first.int != 2:
            assert after.decide(facts).provider_id == first
        retried = before.decide(replace(facts, excluded=frozenset({first}))).provider_id
        assert retried not in (None, first)


def test_without_a_message_the_largest_share_is_told() -> None:
    states = [account(1), account(2)]
    decision = choose(
        FACTS, Snapshot(NOW, states, [rule((1, 1), (2, 3), strategy=Strategy.WEIGHTED_SPLIT)])
    )
    assert decision.in_words() == (
        "account 2 is chosen: its share of the split of the rule “receipts” (75 % of the mail)."
    )


def test_a_split_has_one_explanation_for_each_target() -> None:
    states = [account(1), account(2), account(3)]
    weighted = rule((1, 5), (2, 3), (3, 2), strategy=Strategy.WEIGHTED_SPLIT)
    snapshot = Snapshot(NOW, states, [weighted])
    digests = {snapshot.decide(replace(FACTS, message_id=each)).digest for each in ids(200)}
    assert len(digests) == 3


# --- what nobody asks about makes no difference ---------------------------------------------------


def test_messages_that_differ_in_what_no_rule_asks_about_share_a_decision() -> None:
    conditions = Conditions(
        tags=frozenset({"vip"}), recipient_domains=frozenset({"example.net", "*.example.org"})
    )
    states = [account(1, max_message_bytes=1_000), account(2)]
    snapshot = Snapshot(NOW, states, [rule(2, conditions=conditions)])
    facts = replace(
        FACTS, tags=frozenset({"vip", "a"}), recipient_domains=frozenset({"x.example.org"})
    )
    decision = snapshot.decide(facts)
    same = replace(
        facts,
        tags=frozenset({"b", "vip"}),
        recipient_domains=frozenset({"y.example.org"}),
        size_bytes=999,
        api_key_id=KEY,
        has_attachments=True,
        priority=1,
        message_id=KEY,
    )
    assert snapshot.decide(same) is decision
    assert snapshot.decide(replace(facts, recipient_domains=frozenset({"a.com"}))) is not decision
    assert snapshot.decide(replace(facts, size_bytes=1_001)) is not decision


def test_a_snapshot_with_other_accounts_keeps_its_rules_and_forgets_its_decisions() -> None:
    snapshot = Snapshot(NOW, [account(1), account(2)], [rule(2, 1)])
    assert snapshot.decide(FACTS).provider_id == UUID(int=2)
    changed = snapshot.with_states([account(2, remaining=0)])
    assert changed.decide(FACTS).provider_id == UUID(int=1)


def test_what_if_changes_only_what_is_supposed() -> None:
    states = [account(1, price=Decimal(1)), account(2, price=Decimal(2), remaining=0)]
    snapshot = Snapshot(NOW, states, [rule(1, 2, strategy=Strategy.CHEAPEST)])
    one, two = UUID(int=1), UUID(int=2)
    assert choose(FACTS, suppose(snapshot, WhatIf())) == choose(FACTS, snapshot)
    down = suppose(snapshot, WhatIf(down=frozenset({one}), remaining={two: None}))
    decision = choose(FACTS, down)
    assert (decision.provider_id, decision.candidates[0].skipped) == (two, Skip.SUPPOSED_DOWN)
    cheaper = suppose(snapshot, WhatIf(price={two: Decimal("0.5")}, remaining={two: 1}))
    assert choose(FACTS, cheaper).provider_id == two
