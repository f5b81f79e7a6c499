"""What mails cost: tiers, free mails, and sums that add up exactly."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.pricing import NANOS, Pricing, Tier, money, read_tiers, written_tiers

MAILS = st.integers(0, 2_000_000)
PRICES = st.decimals(0, 100, places=6, allow_nan=False, allow_infinity=False)


@st.composite
def pricings(draw):
    free = draw(st.integers(0, 50_000))
    starts = draw(st.lists(st.integers(free + 1, 1_500_000), unique=True, max_size=4))
    tiers = tuple(Tier(start, draw(PRICES)) for start in sorted(starts))
    return Pricing(draw(PRICES), free, tiers, draw(st.decimals(0, 100, places=2)))


def test_free_mails_cost_nothing_then_each_tier_its_price():
    pricing = Pricing(Decimal("1.00"), 3_000, (Tier(10_000, Decimal("0.50")),))
    assert money(pricing.nanos_for(3_000)) == 0
    assert money(pricing.nanos_for(10_000)) == Decimal(7)
    assert money(pricing.nanos_for(12_000)) == Decimal(8)


def test_the_next_mail_costs_what_its_tier_says():
    pricing = Pricing(Decimal("1.00"), 3_000, (Tier(10_000, Decimal("0.50")),))
    assert [pricing.next_price(count) for count in (0, 2_999, 3_000, 9_999, 10_000)] == [
        0,
        0,
        Decimal(1),
        Decimal(1),
        Decimal("0.5"),
    ]


def test_the_fee_stands_apart():
    pricing = Pricing(monthly_fee=Decimal("19.90"))
    assert pricing.fee_nanos == 19_900_000_000
    assert pricing.nanos_for(1_000_000) == 0


@given(pricings(), MAILS, MAILS, MAILS)
def test_parts_of_a_month_add_up_to_the_month(pricing, first, second, third):
    one, two = first, first + second
    whole = two + third
    parts = [
        pricing.nanos_between(0, one),
        pricing.nanos_between(one, two),
        pricing.nanos_between(two, whole),
    ]
    assert sum(parts) == pricing.nanos_for(whole)
    assert min(parts) >= 0


@given(pricings(), MAILS)
def test_one_more_mail_costs_the_next_price(pricing, count):
    assert pricing.nanos_between(count, count + 1) == pricing.next_price(count) * NANOS / 1000


@given(pricings())
def test_tiers_are_read_as_written(pricing):
    assert read_tiers(written_tiers(pricing.tiers)) == pricing.tiers


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({}, "Give a list"),
        ([1], "Tier 1: give"),
        ([{"above": 1}], "Tier 1: give"),
        ([{"above": 0, "price_per_thousand": "1"}], "Tier 1: “above”"),
        ([{"above": True, "price_per_thousand": "1"}], "Tier 1: “above”"),
        ([{"above": 5, "price_per_thousand": "-1"}], "Tier 1: “price_per_thousand”"),
        ([{"above": 5, "price_per_thousand": "NaN"}], "Tier 1: “price_per_thousand”"),
        ([{"above": 5, "price_per_thousand": "1e9"}], "Tier 1: “price_per_thousand”"),
        ([{"above": 5, "price_per_thousand": "0.0000001"}], "Tier 1: “price_per_thousand”"),
        ([{"above": 5, "price_per_thousand": None}], "Tier 1: “price_per_thousand”"),
        (
            [{"above": 5, "price_per_thousand": "1"}, {"above": 5, "price_per_thousand": "2"}],
            "Each tier must begin above",
        ),
        ([{"above": n, "price_per_thousand": "1"} for n in range(1, 23)], "At most 20"),
    ],
)
def test_wrong_tiers_are_refused_in_words(values, fault):
    with pytest.raises(ValueError, match=fault):
        read_tiers(values)
