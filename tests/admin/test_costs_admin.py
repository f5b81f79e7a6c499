"""Costs, the cheapest split and budgets in the console."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from accounts.services import NewApiKey
from providers.budgets import create_budget
from providers.models import Budget, Provider
from tests.support.costs import book, book_days
from tests.support.mail import smtp_account

COSTS = "/admin/providers/costday/"
SPLIT, EXPORT = f"{COSTS}split/", f"{COSTS}export/"
BUDGETS = "/admin/providers/budget/"
TODAY = date(2026, 11, 20)
StaffWith = Callable[..., Client]


@pytest.fixture(autouse=True)
def _in_november() -> Any:
    with time_machine.travel(datetime(2026, 11, 20, 12, tzinfo=UTC), tick=False):
        yield


@pytest.fixture
def ses(db: None) -> Provider:
    return smtp_account(9, name="SES", price_per_thousand=Decimal("0.1"), position=1)


@pytest.fixture
def postmark(db: None) -> Provider:
    return smtp_account(
        9, name="Postmark", price_per_thousand=Decimal("1.25"), position=2, monthly_fee=15
    )


def text_of(response: Any) -> str:
    assert response.status_code == 200, response.status_code
    return " ".join(response.content.decode().split())


# --- costs ----------------------------------------------------------------------------------------


def test_the_page_is_calm_when_there_is_nothing(root: Client) -> None:
    page = text_of(root.get(COSTS))
    assert "November 2026" in page
    assert "0.00 USD" in page
    assert "No mail has cost anything in November 2026" in page
    assert "No budget yet" in page
    assert "Not enough data" in page


def test_a_month_at_a_look(
    root: Client, ses: Provider, postmark: Provider, user: User, api_key: NewApiKey
) -> None:
    book_days(ses, user, TODAY, 40, 10_000, nanos=1_000_000_000, email_type="marketing")
    book(postmark, user, TODAY, 4_000, nanos=5_000_000_000, api_key=api_key.api_key)
    budget = create_budget(name="All", amount=Decimal(50))
    page = text_of(root.get(COSTS))
    assert "40.00 USD" in page  # 20 days of SES, Postmark, and its fee
    assert "15.00 USD of it monthly fees" in page
    assert "204,000" in page
    assert str(api_key.api_key) in page
    assert f"{BUDGETS}{budget.pk}/change/" in page
    assert "80 %" in page
    assert "By the end of the month" in page
    assert "About <b>" in page
    assert 'data-type="bar"' in page
    assert "Of 310,000 mails in December 2026" in page


def test_months_can_be_turned_over(root: Client, ses: Provider, user: User) -> None:
    book(ses, user, date(2026, 10, 3), 100)
    book(ses, user, date(2026, 9, 3), 50)
    page = text_of(root.get(COSTS, {"month": "2026-10"}))
    assert "October 2026" in page
    assert "+100 % against September" in page
    assert "?month=2026-09" in page
    assert "?month=2026-11" in page
    assert "?month=2026-12" not in text_of(root.get(COSTS))
    assert "November 2026" in text_of(root.get(COSTS, {"month": "soon"}))


def test_names_are_escaped(root: Client, user: User) -> None:
    nasty = smtp_account(9, name="<script>alert(1)</script>")
    book(nasty, user, TODAY, 1, email_type="<b>type")
    create_budget(name="<i>budget</i>", amount=Decimal(1))
    for path in (COSTS, SPLIT, BUDGETS):
        page = text_of(root.get(path))
        assert "<script>alert" not in page
        assert "<b>type" not in page
        assert "<i>budget" not in page


def test_the_page_asks_the_database_as_often_with_many_accounts(root: Client, user: User) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            root.get(COSTS)
        return len(queries)

    for number in range(2):
        book_days(smtp_account(9, name=f"a{number}"), user, TODAY, 10, 5)
    few = count()
    for number in range(2, 20):
        book_days(smtp_account(9, name=f"a{number}"), user, TODAY, 10, 5)
    assert count() <= few


def test_the_pages_need_the_permission_to_view_costs(staff_with: StaffWith, ses: Provider) -> None:
    for path in (COSTS, SPLIT, EXPORT):
        assert staff_with("providers.view_provider").get(path).status_code == 403
        assert staff_with("providers.view_costday").get(path).status_code == 200
        assert Client().get(path).status_code == 302


def test_nothing_can_be_added_or_changed(root: Client, ses: Provider, user: User) -> None:
    row = book(ses, user, TODAY, 1)
    assert root.get(f"{COSTS}add/").status_code == 403
    assert root.post(f"{COSTS}{row.pk}/delete/").status_code == 403


def test_tables_are_exported_safe_for_spreadsheets(root: Client, user: User) -> None:
    formula = smtp_account(9, name="=1+1", monthly_fee=2)
    book(formula, user, TODAY, 100)
    response = root.get(EXPORT, {"month": "2026-11", "by": "provider"})
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="costs-2026-11-by-provider.csv"'
    lines = response.content.decode("utf-8-sig").splitlines()
    assert lines == [
        "provider,name,messages,mails,cost,fees,total",
        f"{formula.pk},'=1+1,100,100,1.00,2.00,3.00",
    ]
    assert "by-provider" in root.get(EXPORT, {"by": "colour"})["Content-Disposition"]
    days = root.get(EXPORT, {"by": "day"}).content.decode("utf-8-sig").splitlines()
    assert days[1] == "2026-11-20,2026-11-20,100,100,1.00,0.00,1.00"


# --- cheapest split -------------------------------------------------------------------------------


def test_the_split_of_the_forecast_is_shown_at_once(
    root: Client, ses: Provider, postmark: Provider, user: User
) -> None:
    book_days(postmark, user, TODAY - timedelta(days=1), 30, 1_000)
    page = text_of(root.get(SPLIT))
    assert "Of 31,000 mails in December 2026: 31,000 by SES." in page
    assert "saves 50.65 USD" in page
    assert "as forecast" in page


def test_what_if(root: Client, ses: Provider, postmark: Provider) -> None:
    page = text_of(
        root.post(
            SPLIT,
            {
                "month": "2027-01",
                "volume": "5000",
                "is_by_type": "on",
                f"price_per_thousand_{ses.pk.hex}": "7",
                f"monthly_fee_{postmark.pk.hex}": "0",
                f"capacity_{postmark.pk.hex}": "4000",
            },
        )
    )
    assert "Of 5,000 mails in January 2027: 4,000 by Postmark and 1,000 by SES." in page
    assert "It costs 12.00 USD" in page
    ses.refresh_from_db()
    assert ses.price_per_thousand == Decimal("0.1")


def test_faults_stand_beside_their_field(root: Client, ses: Provider) -> None:
    page = text_of(
        root.post(SPLIT, {"month": "2027-01", "volume": "0", f"capacity_{ses.pk.hex}": "-1"})
    )
    assert "greater than or equal to 1" in page
    assert "greater than or equal to 0" in page
    page = text_of(root.post(SPLIT, {"month": "2020-01", "volume": "5"}))
    assert "not one of the available choices" in page


def test_no_split_is_told_in_words(root: Client) -> None:
    assert "Not enough data" in text_of(root.get(SPLIT))
    page = text_of(root.post(SPLIT, {"month": "2026-12", "volume": "5"}))
    assert "There is no account that could take the mail." in page


# --- budgets --------------------------------------------------------------------------------------


def form(**changes: Any) -> dict[str, Any]:
    return {
        "name": "All mail",
        "amount": "50.00",
        "warn_percents": "50, 100",
        "provider": "",
        "api_key": "",
        "email_type": "",
        "is_active": "on",
        **changes,
    }


def test_budgets_are_listed_with_what_is_spent(root: Client, ses: Provider, user: User) -> None:
    assert "it never stops mail" in text_of(root.get(BUDGETS))
    book(ses, user, TODAY, 4_000)
    create_budget(name="All", amount=Decimal(50))
    create_budget(name="SES", amount=Decimal(30), provider_id=ses.pk, email_type="transactional")
    page = text_of(root.get(BUDGETS))
    assert "All mail, and all monthly fees" in page
    assert "Mail of type transactional through SES" in page
    assert "<b>40.00</b>" in page
    assert 'ms-bar is-high"><i style="width:80%"' in page
    assert 'ms-bar is-full"><i style="width:100%"' in page


def test_a_budget_is_added_changed_and_deleted(root: Client, ses: Provider) -> None:
    assert root.post(f"{BUDGETS}add/", form()).status_code == 302
    budget = Budget.objects.get()
    assert (budget.name, budget.amount) == ("All mail", Decimal(50))
    assert budget.warn_percents == [50, 100]
    change = reverse("admin:providers_budget_change", args=[budget.pk])
    assert 'value="50, 100"' in text_of(root.get(change))
    assert root.post(change, form(provider=ses.pk, is_active="")).status_code == 302
    budget.refresh_from_db()
    assert budget.provider_id == ses.pk
    assert not budget.is_active
    delete = reverse("admin:providers_budget_delete", args=[budget.pk])
    assert "Delete the budget" in text_of(root.get(delete))
    assert Budget.objects.exists()
    assert root.post(delete).status_code == 302
    assert not Budget.objects.exists()
    assert LogEntry.objects.count() == 3


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"amount": "0"}, "Must be above 0"),
        ({"amount": "-1"}, "Must be above 0"),
        ({"amount": "1.234"}, "no more than 2 decimal places"),
        ({"warn_percents": "many"}, "many: give whole numbers"),
        ({"warn_percents": "0"}, "Must be from 1 to 1,000."),
        ({"email_type": "a b"}, "No name of an email type."),
        ({"name": ""}, "This field is required."),
    ],
)
def test_bad_budgets_are_refused_beside_the_field(
    root: Client, changes: dict[str, str], text: str
) -> None:
    assert text in text_of(root.post(f"{BUDGETS}add/", form(**changes)))
    assert not Budget.objects.exists()


def test_budgets_need_their_permissions(staff_with: StaffWith) -> None:
    budget = create_budget(name="All", amount=Decimal(50))
    viewer = staff_with("providers.view_budget")
    assert viewer.get(BUDGETS).status_code == 200
    change = reverse("admin:providers_budget_change", args=[budget.pk])
    assert viewer.get(change).status_code == 200
    assert viewer.post(change, form()).status_code == 403
    assert (
        viewer.post(reverse("admin:providers_budget_delete", args=[budget.pk])).status_code == 403
    )


# --- price lists ----------------------------------------------------------------------------------


def provider_form(provider: Provider, **changes: Any) -> dict[str, Any]:
    return {
        "name": provider.name,
        "owner": "",
        "from_email": "shop@example.com",
        "is_active": "on",
        "host": "127.0.0.1",
        "port": "9",
        "security": "none",
        "verify_certificate": "on",
        "time_zone": "UTC",
        "priority_reserve": "5",
        "position": "1",
        "max_connections": "10",
        "max_messages_per_connection": "0",
        "price_per_thousand": "1.25",
        **changes,
    }


def test_a_price_list_is_typed_in_one_line(root: Client, ses: Provider) -> None:
    page = reverse("admin:providers_provider_change", args=[ses.pk])
    fields = {
        "free_per_month": "3000",
        "price_tiers": "10 000: 1.10; 100000: 0.80",
        "monthly_fee": "15",
    }
    assert root.post(page, provider_form(ses, **fields)).status_code == 302
    ses.refresh_from_db()
    assert ses.price_per_thousand == Decimal("1.25")
    assert (ses.free_per_month, ses.monthly_fee) == (3_000, Decimal(15))
    assert ses.price_tiers == [
        {"above": 10_000, "price_per_thousand": "1.1"},
        {"above": 100_000, "price_per_thousand": "0.8"},
    ]
    assert 'value="10000: 1.10, 100000: 0.80"' in text_of(root.get(page))
    assert root.post(page, provider_form(ses)).status_code == 302
    ses.refresh_from_db()
    assert (ses.free_per_month, ses.monthly_fee, ses.price_tiers) == (0, Decimal(0), [])


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"price_tiers": "cheap"}, "cheap: Write the mails above which a price holds"),
        ({"price_tiers": "10: 1, 10: 2"}, "Each tier must begin above the one before."),
        ({"price_tiers": "10: 1", "free_per_month": "10"}, "must begin above the free mails"),
        ({"price_tiers": "0: 1"}, "is a number of mails from 1"),
        ({"monthly_fee": "-1"}, "greater than or equal to 0"),
    ],
)
def test_bad_prices_are_refused_beside_the_field(
    root: Client, ses: Provider, fields: dict[str, str], text: str
) -> None:
    page = reverse("admin:providers_provider_change", args=[ses.pk])
    assert text in text_of(root.post(page, provider_form(ses, **fields)))
    ses.refresh_from_db()
    assert ses.price_per_thousand == Decimal("0.1")
