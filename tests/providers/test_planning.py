"""The cheapest split with the accounts, limits, rules and ledger there are."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from delivery.models import EmailType
from providers.models import Provider
from providers.planning import Question, Supposed, capacity_of, plan_split
from providers.pricing import NANOS, Tier
from providers.routing import Target
from providers.rules import create_rule
from providers.split import NoSplitError
from providers.split_report import Plan
from tests.support.costs import book, book_days
from tests.support.mail import simulator, smtp_account

DEC = date(2026, 12, 1)
TODAY = date(2026, 11, 20)


@pytest.fixture
def ses(db: None) -> Provider:
    return account("SES", price_per_thousand=Decimal("0.1"), position=1)


@pytest.fixture
def postmark(db: None) -> Provider:
    return account("Postmark", price_per_thousand=Decimal("1.25"), position=2)


def account(name: str, **fields: Any) -> Provider:
    provider = smtp_account(9, name=name, **fields)
    Provider.objects.filter(pk=provider.pk).update(created_at=datetime(2026, 1, 5, tzinfo=UTC))
    return Provider.objects.get(pk=provider.pk)


def plan(volume: Any = 100_000, **fields: Any) -> Plan:
    return plan_split(Question(**{"month": DEC, "volume": volume} | fields), today=TODAY)


def shares(found: Plan) -> dict[str, int]:
    return {row.name: row.mails for row in found.rows}


def row_of(found: Plan, name: str) -> Any:
    return next(row for row in found.rows if row.name == name)


def test_the_answer_tells_what_is_saved_against_the_present_shares(ses, postmark, user):
    book(ses, user, TODAY, 1_000)
    book(postmark, user, TODAY - timedelta(days=29), 3_000)
    book(postmark, user, TODAY - timedelta(days=30), 99_000)
    found = plan()
    assert shares(found) == {"SES": 100_000, "Postmark": 0}
    assert found.nanos == 10 * NANOS
    assert found.present_nanos == 2_500_000_000 + 93_750_000_000
    assert (found.saved_nanos, found.saved_percent) == (86_250_000_000, 89.6)
    assert found.sentence == (
        "Of 100,000 mails in December 2026: 100,000 by SES. It costs 10.00 USD, fees included, and "
        "saves 86.25 USD, 89.6 % against the present shares."
    )
    assert row_of(found, "SES").words == "The last mail costs 0.10 per 1,000."
    assert row_of(found, "Postmark").words == (
        "The others are cheaper than its 1.25 per 1,000, or no dearer."
    )
    assert row_of(found, "Postmark").present_mails == 75_000


def test_without_mail_so_far_nothing_is_compared(ses):
    found = plan()
    assert found.present_nanos is None
    assert found.saved_percent is None
    assert found.sentence == (
        "Of 100,000 mails in December 2026: 100,000 by SES. It costs 10.00 USD, fees included."
    )


def test_a_fee_that_does_not_pay_is_explained(ses, postmark):
    Provider.objects.filter(pk=postmark.pk).update(monthly_fee=15)
    found = plan()
    assert row_of(found, "Postmark").fee_nanos == 0
    assert row_of(found, "Postmark").words == (
        "Its fee of 15.00 USD is more than its prices save: with it the whole costs 15.00 USD "
        "more. The fee is saved only if the account is given up."
    )


def test_the_price_that_binds_is_told(ses, postmark):
    Provider.objects.filter(pk=ses.pk).update(monthly_limit=60_000, priority_reserve=5)
    Provider.objects.filter(pk=postmark.pk).update(
        free_per_month=1_000,
        price_tiers=[{"above": 20_000, "price_per_thousand": "0.8"}],
        monthly_fee=4,
    )
    found = plan()
    assert shares(found) == {"SES": 57_000, "Postmark": 43_000}
    assert row_of(found, "SES").words == (
        "The last mail costs 0.10 per 1,000; as much as its limits let through."
    )
    assert row_of(found, "Postmark").words == (
        "Fee 4.00 USD; the last mail costs 0.80 per 1,000, the tier above 20,000."
    )
    assert (
        row_of(found, "Postmark").nanos_per_thousand
        == (4_000 + 19 * 1_250 + 23 * 800) * 1_000_000 // 43
    )


def test_free_mails_are_told(ses, postmark):
    Provider.objects.filter(pk=postmark.pk).update(free_per_month=1_000)
    assert row_of(plan(), "Postmark").words == "Exactly the free mails."
    assert row_of(plan(900), "Postmark").words == "All free."


def test_weights_for_a_rule_are_suggested(ses, postmark):
    Provider.objects.filter(pk=ses.pk).update(monthly_limit=60_000, priority_reserve=0)
    (suggested,) = plan().suggestions
    assert suggested.email_types == ()
    assert list(suggested.targets) == [(ses.pk, "SES", 600), (postmark.pk, "Postmark", 400)]


def test_what_is_supposed_counts_for_this_answer_only(ses, postmark):
    found = plan(
        supposed={
            ses.pk: Supposed(price_per_thousand=Decimal(2), tiers=(Tier(99_000, Decimal(1)),)),
            postmark.pk: Supposed(monthly_fee=Decimal(1), capacity=70_000, at_most=50_000),
        }
    )
    assert shares(found) == {"SES": 50_000, "Postmark": 50_000}
    assert found.nanos == 1 * NANOS + 100 * NANOS + 62_500_000_000
    assert shares(plan(supposed={ses.pk: Supposed(is_out=True)})) == {"Postmark": 100_000}
    ses.refresh_from_db()
    assert ses.price_per_thousand == Decimal("0.1")


def test_the_forecast_gives_the_volume(ses, postmark, user):
    book_days(ses, user, TODAY - timedelta(days=1), 40, 100)
    found = plan(None)
    assert found.is_forecast
    assert found.volume == 3_100


def test_too_little_data_asks_for_the_volume(ses):
    with pytest.raises(NoSplitError, match=r"Not enough data.*Give the volume yourself"):
        plan(None)


def test_rules_keep_an_email_type_at_their_targets(ses, postmark, user):
    EmailType.objects.create(name="receipt")
    create_rule(
        owner_id=None, name="receipts", targets=[Target(postmark.pk)], email_types=["receipt"]
    )
    found = plan({"receipt": 30_000, "marketing": 70_000})
    assert shares(found) == {"SES": 70_000, "Postmark": 30_000}
    assert row_of(found, "Postmark").words == (
        "The rules send receipt nowhere else; the last mail costs 1.25 per 1,000."
    )
    by_type = {tuple(each.email_types): each.targets for each in found.suggestions}
    assert by_type == {
        ("marketing",): [(ses.pk, "SES", 1000)],
        ("receipt",): [(postmark.pk, "Postmark", 1000)],
    }
    assert shares(plan({"receipt": 30_000}, is_by_type=False)) == {"SES": 30_000, "Postmark": 0}


def test_a_rule_that_splits_by_weight_binds_nobody_and_hides_those_after_it(ses, postmark):
    split = [Target(ses.pk, 1), Target(postmark.pk, 999)]
    create_rule(owner_id=None, name="split", position=1, targets=split, strategy="weighted_split")
    create_rule(owner_id=None, name="later", position=2, targets=[Target(postmark.pk)])
    assert shares(plan()) == {"SES": 100_000, "Postmark": 0}


def test_a_volume_is_shared_among_types_as_the_ledger_did(ses, postmark, user):
    EmailType.objects.create(name="receipt")
    create_rule(
        owner_id=None, name="receipts", targets=[Target(postmark.pk)], email_types=["receipt"]
    )
    book(ses, user, TODAY, 300, email_type="marketing")
    book(postmark, user, TODAY, 100, email_type="receipt")
    assert shares(plan(1_000)) == {"SES": 750, "Postmark": 250}


def test_rules_that_also_look_at_other_things_are_remarked_on(ses, user):
    create_rule(owner_id=None, name="vip", targets=[Target(ses.pk)], tags=["vip"])
    assert plan().remarks == [
        "Rules with conditions other than the email type are not taken into account: vip."
    ]


def test_a_type_without_any_account_left_is_told(ses, postmark, user):
    EmailType.objects.create(name="receipt")
    create_rule(
        owner_id=None, name="receipts", targets=[Target(postmark.pk)], email_types=["receipt"]
    )
    with pytest.raises(NoSplitError, match="A rule sends receipt through other accounts only"):
        plan({"receipt": 1}, provider_ids=frozenset({ses.pk}))


def test_only_active_accounts_of_the_company_that_deliver_are_compared(
    ses: Provider, postmark: Provider, user: User
) -> None:
    Provider.objects.filter(pk=postmark.pk).update(is_active=False)
    account("own", owner=user)
    play = simulator(name="play")
    assert shares(plan()) == {"SES": 100_000}
    assert shares(plan(provider_ids=frozenset({play.pk}))) == {"play": 100_000}


def test_a_simulator_is_compared_where_there_is_nothing_else(db):
    simulator(name="play")
    assert shares(plan()) == {"play": 100_000}


def test_present_shares_beyond_the_limits_are_told(ses, user):
    Provider.objects.filter(pk=ses.pk).update(monthly_limit=50_000, priority_reserve=0)
    account("spare", price_per_thousand=Decimal(5), position=3)
    book(ses, user, TODAY, 1_000)
    found = plan()
    assert found.is_present_too_much
    assert "more than the present shares, which do not fit" in found.sentence


@pytest.mark.parametrize(
    ("limits", "capacity"),
    [
        ({}, None),
        ({"daily_limit": 100}, 3_100),
        ({"hourly_limit": 10}, 7_440),
        ({"rate_per_second": 0.5}, 1_339_200),
        ({"daily_limit": 100, "monthly_limit": 2_000}, 2_000),
        ({"daily_limit": 100, "priority_reserve": 10}, 2_790),
        ({"warm_up": {"starts_on": "2026-11-30", "daily": [10, 20, 30]}}, None),
        (
            {"warm_up": {"starts_on": "2026-11-30", "daily": [10, 20, 300]}, "daily_limit": 100},
            20 + 30 * 100,
        ),
    ],
)
def test_limits_bound_what_a_month_can_take(db, limits, capacity):
    fields = {"priority_reserve": 0} | limits
    assert capacity_of(Provider(**fields), DEC) == capacity
