from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.routing import Alignment, MessageFacts, ProviderState, Skip, Snapshot, choose

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)
LATEST = NOW + timedelta(hours=1)
ANN, BEN = UUID(int=1001), UUID(int=1002)
FACTS = MessageFacts(owner_id=ANN, email_type="transactional", from_email="shop@example.com")


def account(number: int, **fields: Any) -> ProviderState:
    """Return an open account of everybody; lower numbers come first."""
    defaults: dict[str, Any] = {
        "provider_id": UUID(int=number),
        "name": f"account {number}",
        "owner_id": None,
        "is_active": True,
        "from_email": "",
        "position": 100,
        "remaining": None,
    }
    return ProviderState(**defaults | fields)


def chosen(facts: MessageFacts, *states: ProviderState) -> int | None:
    decision = choose(facts, Snapshot(NOW, states))
    return decision.provider_id.int if decision.provider_id else None


def skips(facts: MessageFacts, *states: ProviderState) -> dict[int, Skip | None]:
    decision = choose(facts, Snapshot(NOW, states))
    return {found.provider_id.int: found.skipped for found in decision.candidates}


def test_the_lowest_position_is_taken_and_the_id_breaks_the_tie() -> None:
    assert chosen(FACTS, account(1, position=2), account(2, position=1)) == 2
    assert chosen(FACTS, account(2), account(1)) == 1


def test_the_account_of_the_mails_from_address_goes_first() -> None:
    own = account(9, from_email="Shop@Example.com", position=500)
    decision = choose(FACTS, Snapshot(NOW, [account(1, position=1), own]))
    assert decision.provider_id == own.provider_id
    assert decision.reason == "its From address is the mail's"


def test_the_owners_account_goes_before_everybodys() -> None:
    assert chosen(FACTS, account(1, position=1), account(2, owner_id=ANN, position=9)) == 2


def test_somebody_elses_account_is_neither_used_nor_named() -> None:
    theirs = account(1, owner_id=BEN, from_email="shop@example.com")
    assert skips(FACTS, theirs, account(2)) == {2: None}
    decision = choose(FACTS, Snapshot(NOW, [theirs]))
    assert (decision.provider_id, decision.candidates, decision.is_hopeless) == (None, (), True)


def test_a_pinned_account_is_used_alone() -> None:
    facts = replace(FACTS, pinned_provider_id=UUID(int=2))
    first = account(1, from_email="shop@example.com")
    decision = choose(facts, Snapshot(NOW, [first, account(2)]))
    assert (decision.provider_id, decision.reason) == (UUID(int=2), "pinned by the sender")
    assert skips(facts, first, account(2, is_active=False)) == {
        1: Skip.NOT_PINNED,
        2: Skip.INACTIVE,
    }


def test_pinning_somebody_elses_account_is_hopeless() -> None:
    facts = replace(FACTS, pinned_provider_id=UUID(int=2))
    decision = choose(facts, Snapshot(NOW, [account(1), account(2, owner_id=BEN)]))
    assert (decision.provider_id, decision.is_hopeless) == (None, True)
    assert decision.reason == "no account may take this mail"
    assert decision.retry_at is None


@pytest.mark.parametrize(
    ("fields", "skip"),
    [
        ({"is_active": False}, Skip.INACTIVE),
        ({"remaining": 0}, Skip.QUOTA),
        ({"remaining": -3}, Skip.QUOTA),
        ({"paused_until": LATER}, Skip.PAUSED),
        ({"paused_until": NOW}, None),
        ({"remaining": 1}, None),
        ({"remaining": 5, "kept_for_urgent": 5}, Skip.QUOTA),
        ({"remaining": 6, "kept_for_urgent": 5}, None),
        ({"breaker_until": LATER}, Skip.BREAKER),
        ({"breaker_until": NOW}, None),
        ({"is_supposed_down": True}, Skip.SUPPOSED_DOWN),
        ({"from_domains": frozenset({"example.org"})}, Skip.FROM_DOMAIN),
        ({"from_domains": frozenset({"example.org", "example.com"})}, None),
        ({"from_domains": frozenset({"*.example.com"})}, Skip.FROM_DOMAIN),
        ({"aligned": Alignment()}, Skip.UNALIGNED),
        ({"aligned": Alignment(frozenset({"*.example.com"}))}, Skip.UNALIGNED),
        ({"aligned": Alignment(own={BEN: frozenset({"example.com"})})}, Skip.UNALIGNED),
        ({"aligned": Alignment(frozenset({"example.com"}))}, None),
        ({"aligned": Alignment(own={ANN: frozenset({"example.com"})})}, None),
    ],
)
def test_a_closed_account_is_passed_over(fields: dict[str, Any], skip: Skip | None) -> None:
    assert skips(FACTS, account(1, **fields), account(2)) == {1: skip, 2: None}
    assert chosen(FACTS, account(1, **fields), account(2)) == (2 if skip else 1)


def test_size_and_attachments_close_an_account() -> None:
    small = account(1, max_message_bytes=1_000)
    assert skips(replace(FACTS, size_bytes=1_000), small) == {1: None}
    assert skips(replace(FACTS, size_bytes=1_001), small) == {1: Skip.SIZE}
    plain = account(1, takes_attachments=False)
    assert skips(FACTS, plain) == {1: None}
    assert skips(replace(FACTS, has_attachments=True), plain) == {1: Skip.ATTACHMENTS}
    decision = choose(replace(FACTS, has_attachments=True), Snapshot(NOW, [plain]))
    assert (decision.provider_id, decision.is_hopeless) == (None, True)


def test_priority_1_may_use_the_slice_kept_for_it() -> None:
    kept = account(1, remaining=5, kept_for_urgent=5)
    assert chosen(replace(FACTS, priority=1), kept) == 1
    assert chosen(replace(FACTS, priority=2), kept) is None


def test_a_mail_without_a_from_address_may_go_to_an_account_with_from_domains() -> None:
    facts = replace(FACTS, from_email="")
    assert chosen(facts, account(1, from_domains=frozenset({"example.org"}))) == 1


def test_a_mail_that_is_aligned_nowhere_learns_what_to_mend() -> None:
    strict = [account(number, aligned=Alignment()) for number in range(1, 6)]
    facts = replace(FACTS, from_email="shop@News.Example.com")
    decision = choose(facts, Snapshot(NOW, [*strict, account(6, takes_attachments=False)]))
    assert decision.provider_id == UUID(int=6)
    assert decision.candidates[0].why == (
        "news.example.com is not aligned (SPF or DKIM) at this account: see Sender domains"
    )
    decision = choose(facts, Snapshot(NOW, strict))
    assert (decision.provider_id, decision.is_hopeless, decision.retry_at) == (None, True, None)
    assert decision.reason == (
        "no account may take this mail: news.example.com is not aligned (SPF or DKIM) at account 1,"
        " account 2, account 3 and 2 more"
    )
    below = Alignment(frozenset({"example.com", "*.example.com"}))
    assert chosen(facts, account(1, aligned=below)) == 1
    assert chosen(replace(FACTS, from_email=""), account(1, aligned=Alignment())) == 1


def test_a_recipient_domain_that_slows_an_account_down_closes_it_for_that_domain() -> None:
    slow = account(1, throttled={"example.net": LATER, "example.org": LATEST})
    facts = replace(FACTS, recipient_domains=frozenset({"example.net", "example.com"}))
    assert skips(facts, slow) == {1: Skip.THROTTLED}
    assert choose(facts, Snapshot(NOW, [slow])).retry_at == LATER
    assert skips(replace(FACTS, recipient_domains=frozenset({"example.com"})), slow) == {1: None}


def test_an_account_that_just_failed_is_passed_over() -> None:
    facts = replace(FACTS, excluded=frozenset({UUID(int=1)}))
    assert skips(facts, account(1), account(2)) == {1: Skip.JUST_FAILED, 2: None}


def test_without_an_open_account_the_first_that_opens_again_sets_the_time() -> None:
    states = [
        account(1, remaining=0, resets_at=LATEST),
        account(2, paused_until=LATER),
        account(3, is_active=False),
    ]
    decision = choose(FACTS, Snapshot(NOW, states))
    assert (decision.provider_id, decision.retry_at) == (None, LATER)
    assert (decision.is_hopeless, decision.reason) == (
        False,
        "every open account has used up its quota",
    )


def test_accounts_that_are_switched_off_may_come_back() -> None:
    decision = choose(FACTS, Snapshot(NOW, [account(1, is_active=False)]))
    assert (decision.retry_at, decision.is_hopeless) == (None, False)
    assert decision.reason == "every account that may take this mail is closed for now"


def test_without_any_account_it_is_hopeless() -> None:
    decision = choose(FACTS, Snapshot(NOW, []))
    assert (decision.provider_id, decision.is_hopeless) == (None, True)


def test_the_explanation_names_every_account_in_the_order_tried() -> None:
    decision = choose(FACTS, Snapshot(NOW, [account(2), account(1, remaining=0)]))
    assert decision.as_json() == {
        "provider": str(UUID(int=2)),
        "reason": "first open account in order",
        "rule": None,
        "strategy": None,
        "candidates": [
            {
                "provider": str(UUID(int=1)),
                "name": "account 1",
                "skipped": "quota used up",
                "detail": "",
                "score": None,
                "note": "",
            },
            {
                "provider": str(UUID(int=2)),
                "name": "account 2",
                "skipped": None,
                "detail": "",
                "score": None,
                "note": "",
            },
        ],
    }
    assert decision.in_words() == (
        "account 2 is chosen: first open account in order. Passed over: account 1 (quota used up)."
    )


def test_equal_explanations_have_one_digest_and_others_another() -> None:
    first = choose(FACTS, Snapshot(NOW, [account(1)]))
    assert first.digest == choose(FACTS, Snapshot(LATER, [account(1)])).digest
    assert first.digest != choose(FACTS, Snapshot(NOW, [account(2)])).digest


def test_a_snapshot_remembers_what_it_decided() -> None:
    snapshot = Snapshot(NOW, [account(1)])
    assert snapshot.decide(FACTS) is snapshot.decide(replace(FACTS, message_id=ANN))
    assert snapshot.decide(FACTS) == choose(FACTS, snapshot)


ADDRESSES = ("", "shop@example.com", "SHOP@example.com", "news@example.com")
states_strategy = st.lists(
    st.builds(
        account,
        st.integers(1, 9),
        owner_id=st.sampled_from([None, ANN, BEN]),
        is_active=st.booleans(),
        from_email=st.sampled_from(ADDRESSES),
        position=st.integers(1, 3),
        remaining=st.none() | st.integers(-1, 2),
        resets_at=st.none() | st.just(LATEST),
        paused_until=st.sampled_from([None, NOW, LATER]),
    ),
    max_size=9,
    unique_by=lambda state: state.provider_id,
)
facts_strategy = st.builds(
    MessageFacts,
    owner_id=st.sampled_from([ANN, BEN]),
    email_type=st.just("transactional"),
    from_email=st.sampled_from(ADDRESSES[1:]),
    pinned_provider_id=st.none() | st.integers(1, 9).map(lambda number: UUID(int=number)),
    excluded=st.frozensets(st.integers(1, 9).map(lambda number: UUID(int=number)), max_size=3),
)


@given(facts=facts_strategy, states=states_strategy)
def test_what_is_chosen_may_take_the_mail(
    facts: MessageFacts, states: Sequence[ProviderState]
) -> None:
    snapshot = Snapshot(NOW, states)
    decision = choose(facts, snapshot)
    open_ones = [found.provider_id for found in decision.candidates if found.skipped is None]
    if decision.provider_id is None:
        assert open_ones == []
        assert decision.retry_at is None or decision.retry_at > NOW
        return
    state = snapshot.by_id[decision.provider_id]
    assert decision.provider_id == open_ones[0]
    assert state.is_active
    assert state.owner_id in (None, facts.owner_id)
    assert state.remaining is None or state.remaining > 0
    assert state.paused_until is None or state.paused_until <= NOW
    assert state.provider_id not in facts.excluded
    assert facts.pinned_provider_id in (None, state.provider_id)
    assert (decision.retry_at, decision.is_hopeless) == (None, False)


@given(facts=facts_strategy, states=states_strategy, data=st.data())
def test_the_order_of_the_snapshot_makes_no_difference(
    facts: MessageFacts, states: Sequence[ProviderState], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(states))
    assert choose(facts, Snapshot(NOW, states)) == choose(facts, Snapshot(NOW, shuffled))


@given(facts=facts_strategy, states=states_strategy)
def test_other_peoples_accounts_appear_only_if_pinned(
    facts: MessageFacts, states: Sequence[ProviderState]
) -> None:
    snapshot = Snapshot(NOW, states)
    for found in choose(facts, snapshot).candidates:
        is_visible = snapshot.by_id[found.provider_id].owner_id in (None, facts.owner_id)
        assert is_visible or found.provider_id == facts.pinned_provider_id
