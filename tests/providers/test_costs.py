"""Reports of the ledger, fees, and what months will cost."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.services import NewApiKey
from providers.amounts import amount_text, exact_text, price_text
from providers.costs import (
    DayCost,
    Dimension,
    Only,
    Total,
    daily,
    fees,
    sums,
    totals,
    volumes,
    with_fees,
)
from providers.forecast import Estimate
from providers.models import Provider
from providers.outlook import apportion, outlook
from providers.pricing import NANOS
from tests.support.costs import book, book_days
from tests.support.mail import simulator

NOV, DEC = date(2026, 11, 1), date(2026, 12, 1)
CENT = NANOS // 100


@pytest.fixture
def ses(db: None) -> Provider:
    return made(simulator(name="SES", price_per_thousand=Decimal("0.1")), date(2026, 1, 5))


@pytest.fixture
def postmark(db: None) -> Provider:
    return made(simulator(name="Postmark", price_per_thousand=Decimal("1.25")), date(2026, 1, 5))


@pytest.fixture
def eve(db: None) -> User:
    return User.objects.create_user("eve@example.com")


def made(provider: Provider, day: date, **fields: Any) -> Provider:
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    Provider.objects.filter(pk=provider.pk).update(created_at=at, **fields)
    return Provider.objects.get(pk=provider.pk)


def test_days_without_mail_are_filled(ses, postmark, user, eve):
    today = date(2026, 11, 20)
    book(ses, user, today, 5)
    book(ses, eve, today, 2)
    book(ses, user, today - timedelta(days=2), 1)
    book(ses, user, today - timedelta(days=3), 9)
    book(postmark, user, today, 100)
    assert daily(ses.pk, days=3, today=today) == [
        DayCost(today - timedelta(days=2), 1, CENT),
        DayCost(today - timedelta(days=1), 0, 0),
        DayCost(today, 7, 7 * CENT),
    ]


def test_reports_add_up_by_each_dimension(
    ses: Provider, postmark: Provider, user: User, eve: User, api_key: NewApiKey
) -> None:
    key = api_key.api_key
    book(ses, user, date(2026, 10, 31), 4, messages=3)
    book(ses, user, NOV, 10, api_key=key, email_type="receipt")
    book(postmark, eve, date(2026, 11, 30), 30)

    def found(by: Dimension) -> list[tuple[str, str, int, int]]:
        rows = totals(since=date(2026, 10, 1), until=date(2026, 11, 30), by=by)
        return [(row.key, row.label, row.messages, row.mails) for row in rows]

    assert found(Dimension.PROVIDER) == [
        (str(postmark.pk), "Postmark", 30, 30),
        (str(ses.pk), "SES", 13, 14),
    ]
    assert found(Dimension.EMAIL_TYPE) == [
        ("transactional", "transactional", 33, 34),
        ("receipt", "receipt", 10, 10),
    ]
    assert found(Dimension.API_KEY) == [
        ("", "without a key", 33, 34),
        (str(key.pk), str(key), 10, 10),
    ]
    assert found(Dimension.OWNER) == [
        (str(eve.pk), "eve@example.com", 30, 30),
        (str(user.pk), "ann@example.com", 13, 14),
    ]
    assert found(Dimension.MONTH) == [
        ("2026-10", "2026-10", 3, 4),
        ("2026-11", "2026-11", 40, 40),
    ]
    assert found(Dimension.DAY) == [
        ("2026-10-31", "2026-10-31", 3, 4),
        ("2026-11-01", "2026-11-01", 10, 10),
        ("2026-11-30", "2026-11-30", 30, 30),
    ]


def test_both_ends_of_a_report_are_included(ses, user):
    for day in (date(2026, 10, 31), NOV, date(2026, 11, 30), DEC):
        book(ses, user, day, 1)
    assert sums(since=NOV, until=date(2026, 11, 30)).mails == 2


def test_reports_can_be_of_some_mail_only(ses, postmark, user, eve, api_key):
    book(ses, user, NOV, 1, email_type="receipt", api_key=api_key.api_key)
    book(postmark, user, NOV, 2)
    book(ses, eve, NOV, 4)

    def mails(**only: Any) -> int:
        return sums(since=NOV, until=NOV, only=Only(**only)).mails

    assert mails() == 7
    assert mails(provider_id=ses.pk) == 5
    assert mails(owner_id=user.pk) == 3
    assert mails(email_type="receipt") == 1
    assert mails(api_key_id=api_key.api_key.pk) == 1
    assert mails(email_type="none") == 0


def test_a_report_is_one_statement_and_one_for_names(ses, postmark, user):
    book(ses, user, NOV, 1)
    book(postmark, user, NOV, 1)
    for by, most in ((Dimension.PROVIDER, 2), (Dimension.DAY, 1), (Dimension.API_KEY, 2)):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            totals(since=NOV, until=DEC, by=by)
        assert len(queries) <= most


def test_volumes_are_by_account_and_day(ses, user, eve):
    book(ses, user, NOV, 1)
    book(ses, eve, NOV, 2)
    assert volumes(since=NOV, until=DEC) == {ses.pk: {NOV: 3}}


# --- fees -----------------------------------------------------------------------------------------


def test_a_fee_is_due_from_the_month_in_which_the_account_was_made(ses):
    paying = made(ses, date(2026, 10, 31), monthly_fee=Decimal("19.90"))
    owed = fees([date(2026, 9, 1), date(2026, 10, 1), NOV])
    fee = 19_900_000_000
    assert owed.nanos == {(date(2026, 10, 1), paying.pk): fee, (NOV, paying.pk): fee}
    assert owed.total == owed.of_account(paying.pk) == 2 * fee
    assert owed.of_month(NOV) == fee


def test_the_month_of_making_is_that_of_the_account_s_time_zone(ses):
    Provider.objects.filter(pk=ses.pk).update(
        monthly_fee=1,
        time_zone="Pacific/Auckland",
        created_at=datetime(2026, 10, 31, 12, tzinfo=UTC),
    )
    assert [month for month, _ in fees([date(2026, 10, 1), NOV]).nanos] == [NOV]


def test_an_account_switched_off_owes_for_the_months_in_which_it_carried_mail(ses, user):
    made(ses, date(2026, 1, 1), monthly_fee=5, is_active=False)
    book(ses, user, date(2026, 10, 17), 1)
    assert [month for month, _ in fees([date(2026, 9, 1), date(2026, 10, 1), NOV]).nanos] == [
        date(2026, 10, 1)
    ]


def test_fees_belong_to_all_mail_of_an_account_only(ses, postmark, user, eve):
    made(ses, date(2026, 1, 1), monthly_fee=5)
    made(postmark, date(2026, 1, 1), monthly_fee=7, owner_id=eve.pk)
    assert fees([NOV]).total == 12 * NANOS
    assert fees([NOV], only=Only(provider_id=ses.pk)).total == 5 * NANOS
    assert fees([NOV], only=Only(owner_id=eve.pk)).total == 7 * NANOS
    assert fees([NOV], only=Only(owner_id=user.pk)).total == 0
    assert fees([NOV], only=Only(email_type="receipt")).total == 0


def test_reports_show_accounts_that_only_cost_their_fee(ses, postmark, user):
    made(postmark, date(2026, 1, 1), monthly_fee=7)
    book(ses, user, NOV, 10)
    owed = fees([NOV])
    rows = totals(since=NOV, until=NOV, by=Dimension.PROVIDER)
    assert with_fees(rows, owed, Dimension.PROVIDER) == [
        Total(str(postmark.pk), "Postmark", 0, 0, 0, 7 * NANOS),
        Total(str(ses.pk), "SES", 10, 10, 10 * CENT, 0),
    ]
    months = totals(since=NOV, until=NOV, by=Dimension.MONTH)
    (month,) = with_fees(months, owed, Dimension.MONTH)
    assert (month.nanos, month.fee_nanos, month.total_nanos) == (
        10 * CENT,
        7 * NANOS,
        7 * NANOS + 10 * CENT,
    )
    types = totals(since=NOV, until=NOV, by=Dimension.EMAIL_TYPE)
    assert with_fees(types, owed, Dimension.EMAIL_TYPE) == types


# --- what months will cost ------------------------------------------------------------------------


def test_next_month_costs_what_the_price_list_says_for_its_mails(ses, user):
    priced = made(
        ses,
        date(2026, 1, 1),
        price_per_thousand=1,
        free_per_month=1_000,
        price_tiers=[{"above": 11_000, "price_per_thousand": "0.5"}],
        monthly_fee=3,
    )
    today = date(2026, 11, 20)
    book_days(priced, user, today - timedelta(days=1), 60, 1_000)
    coming = outlook(DEC, today=today)
    assert coming.mail_estimate == Estimate(31_000, 31_000, 31_000)
    cost = (3 + 10 + 10) * NANOS
    assert coming.nano_estimate == Estimate(cost, cost, cost)
    assert [(each.name, each.total_mails, each.total_nanos) for each in coming.accounts] == [
        ("SES", 31_000, cost)
    ]
    assert coming.why_not == ""


def test_the_running_month_is_what_is_spent_and_the_rest(ses, user):
    priced = made(ses, date(2026, 1, 1), price_per_thousand=1, monthly_fee=3)
    today = date(2026, 11, 20)
    book_days(priced, user, today - timedelta(days=1), 60, 1_000, nanos=NANOS)
    book(priced, user, today, 400, nanos=400_000_000)
    running = outlook(NOV, today=today)
    assert (running.mails, running.nanos) == (19_400, 19_400_000_000)
    assert running.spent_nanos == 22_400_000_000
    assert running.mail_estimate is not None
    assert running.nano_estimate is not None
    assert running.mail_estimate.expected == 30_000
    assert running.nano_estimate.expected == 33 * NANOS


def test_some_mail_costs_its_part_of_what_the_account_will_cost(ses, user, eve):
    priced = made(
        ses,
        date(2026, 1, 1),
        price_per_thousand=2,
        price_tiers=[{"above": 31_000, "price_per_thousand": "1"}],
    )
    today = date(2026, 11, 20)
    book_days(priced, user, today - timedelta(days=1), 30, 500, nanos=1)
    book_days(priced, eve, today - timedelta(days=1), 30, 1_500, nanos=1)
    # All together 62,000 mails for 93.00; a quarter of them is hers.
    coming = outlook(DEC, today=today, only=Only(owner_id=user.pk))
    assert coming.nano_estimate is not None
    assert coming.mail_estimate is not None
    assert coming.mail_estimate.expected == 15_500
    assert coming.nano_estimate.expected == 23_250_000_000


def test_mail_that_moved_to_another_account_is_still_expected_once(ses, postmark, user):
    today = date(2026, 11, 20)
    book_days(ses, user, date(2026, 11, 9), 60, 1_000)
    book_days(postmark, user, today - timedelta(days=1), 10, 1_000)
    coming = outlook(DEC, today=today)
    assert coming.mail_estimate is not None
    assert coming.mail_estimate.expected == 31_000
    assert {each.name: each.mails_to_come for each in coming.accounts} == {
        "SES": 0,
        "Postmark": 31_000,
    }


def test_too_little_data_is_said(ses, user):
    today = date(2026, 11, 20)
    book_days(ses, user, today - timedelta(days=1), 6, 1_000)
    coming = outlook(DEC, today=today)
    assert coming.mail_estimate is None
    assert coming.nano_estimate is None
    assert "there are 6" in coming.why_not
    assert outlook(NOV, today=today).mails == 6_000


def test_months_that_are_over_have_no_outlook(db):
    with pytest.raises(ValueError, match="over"):
        outlook(date(2026, 10, 1), today=NOV)


def test_parts_add_up_to_the_whole():
    ids = [UUID(int=number) for number in range(3)]
    assert apportion(10, dict(zip(ids, (1, 1, 1), strict=True))) == dict(
        zip(ids, (4, 3, 3), strict=True)
    )
    assert apportion(10, dict.fromkeys(ids, 0)) == dict.fromkeys(ids, 0)


# --- words ----------------------------------------------------------------------------------------


def test_amounts_are_exact_for_machines_and_short_for_people():
    assert exact_text(41_200_000_000) == "41.20"
    assert exact_text(800_000) == "0.0008"
    assert exact_text(0) == "0.00"
    assert price_text(Decimal("0.100000")) == "0.10"
    assert amount_text(1_234_567_891_000) == "1,234.57 USD"
    assert amount_text(800_000) == "0.00080 USD"
    assert amount_text(-5 * NANOS) == "-5.00 USD"
