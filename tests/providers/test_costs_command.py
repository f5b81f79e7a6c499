"""Costs on the command line."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command

from accounts.models import User
from providers.budgets import create_budget
from providers.models import Provider
from tests.support.costs import book, book_days
from tests.support.mail import smtp_account

TODAY = date(2026, 11, 20)
LONG = (
    "December 2026: about 3,100 mails (3,100 to 3,100) for 33.00 USD (33.00 to 33.00), "
    "fees included."
)


@pytest.fixture(autouse=True)
def _in_november() -> Any:
    with time_machine.travel(datetime(2026, 11, 20, 12, tzinfo=UTC), tick=False):
        yield


@pytest.fixture
def ses(db: None) -> Provider:
    return smtp_account(9, name="SES", price_per_thousand=Decimal(10), monthly_fee=2)


def run(*words: str) -> str:
    out = StringIO()
    call_command("costs", *words, stdout=out)
    return out.getvalue()


def test_a_report_in_columns_and_as_json(ses: Provider, user: User) -> None:
    book(ses, user, TODAY, 1_200)
    assert run("report").splitlines() == [
        "provider  mails   cost  fees  total",
        "SES       1,200  12.00  2.00  14.00",
        "November 2026: 1,200 mails, 14.00 USD, 2.00 USD of it fees.",
    ]
    data = json.loads(run("report", "--json", "--by", "email_type", "--month", "2026-11"))
    assert data["total"] == "14.00"
    assert data["currency"] == "USD"
    assert [(row["key"], row["cost"]) for row in data["results"]] == [("transactional", "12.00")]
    assert json.loads(run("report", "--json", "--month", "2026-09"))["mails"] == 0


def test_a_forecast(ses: Provider, user: User) -> None:
    assert "Not enough data" in run("forecast")
    book_days(ses, user, TODAY - timedelta(days=1), 30, 100)
    assert run("forecast").splitlines() == [
        "account  mails  total",
        "SES      3,100  33.00",
        LONG,
    ]
    data = json.loads(run("forecast", "--json", "--month", "2026-11"))
    assert data["total"]["expected"] == "32.00"


def test_a_split(ses: Provider) -> None:
    text = run("split", "--volume", "1000")
    assert text.startswith("SES: 1,000 mails, 12.00 USD. Fee 2.00 USD; the last mail costs 10.00")
    data = json.loads(run("split", "--volume", "1000", "--json"))
    assert (data["total"], data["is_cheapest"], data["saved"]) == ("12.00", True, None)


def test_an_exceeded_budget_is_an_exit_code(ses: Provider, user: User) -> None:
    create_budget(name="All", amount=Decimal(10))
    assert "All" in run("budgets")
    book(ses, user, TODAY, 900)
    with pytest.raises(SystemExit) as error:
        run("budgets", "--json")
    assert error.value.code == 3
    assert (
        json.loads(run("budgets", "--json", "--month", "2026-10"))["results"][0]["spent"] == "0.00"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "--month", "soon"], "Give a month such as 2026-03"),
        (["forecast", "--month", "2026-10"], "This month is over"),
        (["split", "--volume", "0"], "Must be from 1 to"),
        (["split", "--volume", "5"], "There is no account"),
        (["split"], "Not enough data"),
    ],
)
def test_mistakes_are_told(db: None, words: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(*words)
