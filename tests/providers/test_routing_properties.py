"""What holds of the choice for any accounts, rules and messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import orjson
from hypothesis import given
from hypothesis import strategies as st

from providers.routing import (
    Alignment,
    Balance,
    Conditions,
    Decision,
    MessageFacts,
    ProviderState,
    Rule,
    Snapshot,
    Strategy,
    Target,
    choose,
)
from tests.providers.test_routing import ANN, BEN, LATER, LATEST, NOW, account

NUMBERS = st.integers(1, 6)
DOMAINS = ("example.com", "example.net", "mail.example.net", "example.org")
PATTERNS = (*DOMAINS, "*.example.net", "*.net", "*.com")
patterns = st.frozensets(st.sampled_from(PATTERNS), max_size=2)
tags = st.frozensets(st.sampled_from("abc"), max_size=2)
keys = st.sampled_from([UUID(int=71), UUID(int=72)])

states_strategy = st.lists(
    st.builds(
        account,
        NUMBERS,
        owner_id=st.sampled_from([None, None, ANN, BEN]),
        is_active=st.sampled_from([True, True, False]),
        from_email=st.sampled_from(["", "shop@example.com", "news@example.org"]),
        position=st.integers(1, 3),
        remaining=st.none() | st.integers(0, 3),
        resets_at=st.none() | st.just(LATEST),
        paused_until=st.sampled_from([None, None, NOW, LATER]),
        breaker_until=st.sampled_from([None, None, LATER]),
        kept_for_urgent=st.integers(0, 2),
        throttled=st.dictionaries(st.sampled_from(DOMAINS), st.sampled_from([NOW, LATER])),
        from_domains=st.just(frozenset()) | patterns,
        aligned=st.none()
        | st.builds(Alignment, patterns, st.dictionaries(st.sampled_from([ANN, BEN]), patterns)),
        max_message_bytes=st.none() | st.sampled_from([10, 1_000]),
        takes_attachments=st.booleans(),
        price=st.decimals(0, 5, places=2),
        success_rate=st.floats(0, 1),
        latency_p50_ms=st.floats(0, 60_000),
        latency_p95_ms=st.floats(0, 60_000),
    ),
    max_size=6,
    unique_by=lambda state: state.provider_id,
)
rules_strategy = st.lists(
    st.builds(
        Rule,
        rule_id=st.integers(501, 509).map(lambda number: UUID(int=number)),
        name=st.sampled_from(["first", "second"]),
        owner_id=st.sampled_from([None, ANN, BEN]),
        position=st.just(100),
        strategy=st.sampled_from(Strategy),
        targets=st.lists(
            st.builds(Target, NUMBERS.map(lambda number: UUID(int=number)), st.integers(0, 3)),
            min_size=1,
            max_size=4,
            unique_by=lambda target: target.provider_id,
        ).map(tuple),
        conditions=st.just(Conditions())
        | st.builds(
            Conditions,
            email_types=st.frozensets(st.sampled_from(["transactional", "marketing"]), max_size=1),
            sender_domains=patterns,
            recipient_domains=patterns,
            tags=tags,
            api_key_ids=st.frozensets(keys, max_size=1),
        ),
        is_exclusive=st.booleans(),
        balance=st.builds(Balance, st.integers(0, 3), st.integers(0, 3), st.integers(1, 3)),
    ),
    max_size=3,
)
facts_strategy = st.builds(
    MessageFacts,
    owner_id=st.sampled_from([ANN, BEN]),
    email_type=st.sampled_from(["transactional", "marketing"]),
    from_email=st.sampled_from(["", "shop@example.com", "a@mail.example.net"]),
    pinned_provider_id=st.none() | NUMBERS.map(lambda number: UUID(int=number)),
    excluded=st.frozensets(NUMBERS.map(lambda number: UUID(int=number)), max_size=2),
    message_id=st.none() | st.uuids(),
    api_key_id=st.none() | keys,
    tags=tags,
    recipient_domains=st.frozensets(st.sampled_from(DOMAINS), max_size=2),
    size_bytes=st.sampled_from([0, 10, 11, 1_001]),
    has_attachments=st.booleans(),
    priority=st.integers(1, 5),
)
snapshots = st.builds(
    Snapshot, taken_at=st.just(NOW), providers=states_strategy, rules=rules_strategy
)


@given(facts=facts_strategy, snapshot=snapshots)
def test_what_is_passed_over_is_never_chosen(facts: MessageFacts, snapshot: Snapshot) -> None:
    decision = choose(facts, snapshot)
    open_ones = {found.provider_id for found in decision.candidates if found.skipped is None}
    if decision.provider_id is None:
        assert open_ones == set()
        assert decision.retry_at is None or decision.retry_at > NOW
    else:
        assert decision.provider_id in open_ones
        assert (decision.retry_at, decision.is_hopeless) == (None, False)


@given(facts=facts_strategy, snapshot=snapshots)
def test_a_closed_account_is_never_chosen(facts: MessageFacts, snapshot: Snapshot) -> None:
    chosen = choose(facts, snapshot).provider_id
    if chosen is None:
        return
    state = snapshot.by_id[chosen]
    assert state.is_active
    assert state.owner_id in (None, facts.owner_id)
    assert state.remaining is None or state.remaining > 0
    assert state.paused_until is None or state.paused_until <= NOW
    assert state.breaker_until is None
    assert chosen not in facts.excluded
    assert state.takes_attachments or not facts.has_attachments
    assert state.max_message_bytes is None or facts.size_bytes <= state.max_message_bytes


@given(facts=facts_strategy, snapshot=snapshots)
def test_remembered_decisions_are_those_that_would_be_made(
    facts: MessageFacts, snapshot: Snapshot
) -> None:
    assert choose(facts, snapshot) == choose(replace(facts), snapshot)
    assert snapshot.decide(facts) == choose(facts, snapshot)


@given(one=facts_strategy, two=facts_strategy, snapshot=snapshots)
def test_messages_equal_in_what_is_asked_get_equal_decisions(
    one: MessageFacts, two: MessageFacts, snapshot: Snapshot
) -> None:
    two = replace(
        two,
        owner_id=one.owner_id,
        email_type=one.email_type,
        from_email=one.from_email,
        pinned_provider_id=one.pinned_provider_id,
        excluded=one.excluded,
        message_id=one.message_id,
    )
    if snapshot.asks.key(one) == snapshot.asks.key(two):
        assert choose(one, snapshot) == choose(two, snapshot)


@given(facts=facts_strategy, snapshot=snapshots)
def test_excluding_the_chosen_account_gives_another_or_none(
    facts: MessageFacts, snapshot: Snapshot
) -> None:
    first = choose(facts, snapshot).provider_id
    if first is not None:
        second = choose(replace(facts, excluded=facts.excluded | {first}), snapshot).provider_id
        assert second != first


@given(
    facts=facts_strategy,
    snapshot=snapshots,
    share=st.decimals("0.01", "0.99", places=2),
)
def test_a_cheaper_account_stays_the_cheapest(
    facts: MessageFacts, snapshot: Snapshot, share: Decimal
) -> None:
    rules = [replace(rule, strategy=Strategy.CHEAPEST) for rule in snapshot.rules]
    before = replace(snapshot, rules=rules)
    chosen = choose(facts, before).provider_id
    if chosen is not None:
        state = before.by_id[chosen]
        after = before.with_states([replace(state, price=state.price * share)])
        assert choose(facts, after).provider_id == chosen


@given(facts=facts_strategy, snapshot=snapshots, strategy=st.sampled_from(Strategy))
def test_a_better_account_is_not_left(
    facts: MessageFacts, snapshot: Snapshot, strategy: Strategy
) -> None:
    before = replace(snapshot, rules=[replace(each, strategy=strategy) for each in snapshot.rules])
    chosen = choose(facts, before).provider_id
    if chosen is not None:
        state = before.by_id[chosen]
        better = replace(
            state,
            price=state.price / 2,
            success_rate=(1 + state.success_rate) / 2,
            latency_p50_ms=state.latency_p50_ms / 2,
            latency_p95_ms=state.latency_p95_ms / 2,
        )
        assert choose(facts, before.with_states([better])).provider_id == chosen


@given(facts=facts_strategy, snapshot=snapshots)
def test_every_account_the_owner_may_know_of_is_explained(
    facts: MessageFacts, snapshot: Snapshot
) -> None:
    decision = choose(facts, snapshot)
    named = [found.provider_id for found in decision.candidates]
    visible = {
        state.provider_id
        for state in snapshot.providers
        if state.owner_id in (None, facts.owner_id) or state.provider_id == facts.pinned_provider_id
    }
    assert len(named) == len(set(named))
    assert set(named) == visible
    for found in decision.candidates:
        state = snapshot.by_id[found.provider_id]
        assert found.name == state.name


@given(facts=facts_strategy, states=states_strategy, rules=rules_strategy, data=st.data())
def test_the_order_of_the_accounts_makes_no_difference(
    facts: MessageFacts,
    states: Sequence[ProviderState],
    rules: Sequence[Rule],
    data: st.DataObject,
) -> None:
    shuffled = data.draw(st.permutations(states))
    expected = choose(facts, Snapshot(NOW, states, rules))
    assert choose(facts, Snapshot(NOW, shuffled, rules)) == expected


@given(facts=facts_strategy, snapshot=snapshots)
def test_an_explanation_survives_its_storage(facts: MessageFacts, snapshot: Snapshot) -> None:
    decision = choose(facts, snapshot)
    body = orjson.loads(orjson.dumps(decision.as_json()))
    read = Decision.from_json(body)
    assert read.as_json() == body == decision.as_json()
    assert read.digest == decision.digest
    assert read == replace(decision, retry_at=None, is_hopeless=False)
    assert read.in_words() == decision.in_words()
