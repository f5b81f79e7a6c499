"""The cheapest split, compared with trying everything."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers.pricing import NANOS, Pricing, Tier
from providers.split import Account, Kind, NoSplitError, cheapest


def account(
    number: int, price: str = "1", free: int = 0, *tiers: tuple[int, str], **more
) -> Account:
    fee = Decimal(more.pop("fee", 0))
    steps = tuple(Tier(above, Decimal(tier_price)) for above, tier_price in tiers)
    pricing = Pricing(Decimal(price), free, steps, fee)
    return Account(UUID(int=number), f"account {number}", pricing, **more)


def ids(*numbers: int) -> frozenset[UUID]:
    return frozenset(UUID(int=number) for number in numbers)


def shares(found) -> list[int]:
    return list(found.mails.values())


def test_discounts_for_volume_make_taking_the_cheapest_first_wrong():
    small = account(1, "0.90")
    large = account(2, "1.00", 0, (1_000, "0.10"))
    # Mail by mail the first is always cheaper to begin with; ten thousand together are not.
    found = cheapest([small, large], [Kind("all", 10_000)])
    assert shares(found) == [0, 10_000]
    assert found.nanos == 1_000 * 1_000_000 + 9_000 * 100_000
    assert found.is_exact
    assert shares(cheapest([small, large], [Kind("all", 1_000)])) == [1_000, 0]


def test_free_mails_are_used_before_paid_ones():
    found = cheapest(
        [account(1, "1", 3_000), account(2, "0.5"), account(3, "2", 100)], [Kind("all", 10_000)]
    )
    assert shares(found) == [3_000, 6_900, 100]
    assert found.nanos == 6_900 * 500_000


def test_a_fee_is_saved_by_leaving_an_account_out():
    dear, cheap = account(1, "1"), account(2, "0.2", fee="20")
    assert shares(cheapest([dear, cheap], [Kind("all", 24_999)])) == [24_999, 0]
    found = cheapest([dear, cheap], [Kind("all", 25_001)])
    assert shares(found) == [0, 25_001]
    assert found.nanos == 20 * NANOS + 25_001 * 200_000


def test_limits_make_mail_spill():
    found = cheapest(
        [account(1, "0.1", capacity=600), account(2, "1", at_most=300), account(3, "5")],
        [Kind("all", 1_000)],
    )
    assert shares(found) == [600, 300, 100]


def test_a_least_share_is_kept_whatever_it_costs():
    found = cheapest([account(1, "0.1"), account(2, "9", at_least=250)], [Kind("all", 1_000)])
    assert shares(found) == [750, 250]


def test_kinds_of_mail_go_where_they_may():
    cheap, dear = account(1, "0.1", capacity=500), account(2, "1")
    found = cheapest([cheap, dear], [Kind("marketing", 400), Kind("receipts", 300, ids(1))])
    assert found.kinds == {
        "marketing": {UUID(int=1): 200, UUID(int=2): 200},
        "receipts": {UUID(int=1): 300},
    }
    assert shares(found) == [500, 200]


@pytest.mark.parametrize(
    ("accounts", "kinds", "words"),
    [
        ([], [Kind("all", 1)], "There is no account"),
        (
            [account(1, capacity=10)],
            [Kind("all", 12)],
            "10 mails in the month, but there are 12: 2 too",
        ),
        (
            [account(1), account(2, capacity=5)],
            [Kind("x", 6, ids(2))],
            "that may take x can take 5",
        ),
        ([account(1, at_least=9)], [Kind("all", 8)], "at least 9 mails, but can take only 8"),
        ([account(1, at_least=5), account(2, at_least=5)], [Kind("all", 8)], "come to more than"),
        ([account(1, at_least=5), account(2)], [Kind("x", 9, ids(2))], "do not go together"),
        ([account(n) for n in range(1, 32)], [Kind("all", 1)], "At most 30 accounts"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_in_words(accounts, kinds, words):
    with pytest.raises(NoSplitError, match=words):
        cheapest(accounts, kinds)


PRICES = st.integers(0, 40).map(lambda cents: str(Decimal(cents) / 10))


@st.composite
def accounts(draw, number: int, volume: int):
    free = draw(st.integers(0, 4))
    starts = sorted(draw(st.sets(st.integers(free + 1, volume + 6), max_size=3)))
    tiers = [(start, draw(PRICES)) for start in starts]
    return account(
        number,
        draw(PRICES),
        free,
        *tiers,
        fee=draw(st.sampled_from(["0", "0", "0.01", "0.02"])),
        capacity=draw(st.none() | st.integers(0, volume)),
        at_least=draw(st.sampled_from([0, 0, 0, 1, 2])),
        at_most=draw(st.none() | st.integers(1, volume)),
    )


@st.composite
def problems(draw):
    volume = draw(st.integers(1, 12))
    found = [draw(accounts(number, volume)) for number in range(1, draw(st.integers(1, 4)) + 1)]
    kind_count = draw(st.integers(1, 2))
    every = [each.provider_id for each in found]
    kinds = []
    for place in range(kind_count):
        mails = volume if kind_count == 1 else draw(st.integers(0, 5))
        eligible = draw(st.none() | st.frozensets(st.sampled_from(every), min_size=1))
        kinds.append(Kind(f"kind {place}", mails, eligible))
    return found, kinds


def can_share(found: list[Account], kinds: list[Kind], mails: tuple[int, ...]) -> bool:
    """By Hall's condition: every set of kinds needs room enough at the accounts that may."""
    for chosen in product([False, True], repeat=len(kinds)):
        wanted = sum(kind.mails for kind, is_in in zip(kinds, chosen, strict=True) if is_in)
        room = sum(
            taken
            for each, taken in zip(found, mails, strict=True)
            if any(
                is_in and (kind.eligible is None or each.provider_id in kind.eligible)
                for kind, is_in in zip(kinds, chosen, strict=True)
            )
        )
        if wanted > room:
            return False
    return True


def by_trying_everything(found: list[Account], kinds: list[Kind]) -> int | None:
    volume = sum(kind.mails for kind in kinds)
    ranges = [range(each.at_least, max(each.at_least, each.room(volume)) + 1) for each in found]
    costs = [
        sum(each.cost(taken) for each, taken in zip(found, mails, strict=True))
        for mails in product(*ranges)
        if sum(mails) == volume
        and all(taken <= each.room(volume) for each, taken in zip(found, mails, strict=True))
        and can_share(found, kinds, mails)
    ]
    return min(costs, default=None)


@settings(max_examples=200, deadline=None)
@given(problems())
@example(([account(1, "1", 2, fee="0.01"), account(2, "1", 0, (3, "0"))], [Kind("a", 5)]))
def test_no_split_is_cheaper(problem):
    found, kinds = problem
    best = by_trying_everything(found, kinds)
    if best is None:
        with pytest.raises(NoSplitError):
            cheapest(found, kinds)
        return
    split = cheapest(found, kinds)
    assert split.nanos == best
    assert split.is_exact
    assert sum(split.mails.values()) == sum(kind.mails for kind in kinds)
    for kind in kinds:
        assert sum(split.kinds[kind.name].values()) == kind.mails
        assert kind.eligible is None or split.kinds[kind.name].keys() <= kind.eligible
    for each in found:
        taken = split.mails[each.provider_id]
        assert sum(parts.get(each.provider_id, 0) for parts in split.kinds.values()) == taken
        assert each.at_least <= taken <= each.room(sum(kind.mails for kind in kinds))


def test_fifteen_accounts_of_six_tiers_are_answered_exactly():
    found = [
        account(
            number,
            f"{1.2 + number / 50:.2f}",
            1_000 * (number % 4),
            *(
                (50_000 * step * (1 + number % 3), f"{1.1 - step / 7 + number / 90:.2f}")
                for step in range(1, 7)
            ),
            fee=str(15 * (number % 5)),
            capacity=None if number % 4 == 0 else 150_000 * (1 + number % 7),
        )
        for number in range(1, 16)
    ]
    split = cheapest(found, [Kind("all", 3_000_000)])
    assert split.is_exact
    assert sum(split.mails.values()) == 3_000_000


def test_the_hardest_questions_are_cut_off_with_a_proved_gap():
    # Costs are nearly fees alone, in proportion to what they buy: a knapsack.
    found = [
        account(
            number,
            "0.01",
            capacity=100_003 + 7_919 * number,
            fee=str(100 + 8 * number + number * number % 3),
        )
        for number in range(1, 31)
    ]
    volume = sum(each.capacity or 0 for each in found) // 2
    split = cheapest(found, [Kind("all", volume)])
    assert sum(split.mails.values()) == volume
    assert 0 <= split.gap_nanos < split.nanos // 100
