"""Costs, forecasts, the cheapest split and budgets over the API."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import time_machine

from accounts.models import User
from accounts.services import NewApiKey
from providers.account_faults import MAX_FEE
from providers.models import Budget, Provider
from tests.support.api import Api, api_with
from tests.support.costs import book, book_days
from tests.support.mail import smtp_account

TODAY = date(2026, 11, 20)
NOV = date(2026, 11, 1)
NOBODY = str(uuid4())


@pytest.fixture(autouse=True)
def _in_november() -> Any:
    with time_machine.travel(datetime(2026, 11, 20, 12, tzinfo=UTC), tick=False):
        yield


@pytest.fixture
def ses(db: None) -> Provider:
    return smtp_account(9, name="SES", price_per_thousand=Decimal("0.1"), position=1)


@pytest.fixture
def postmark(db: None) -> Provider:
    return smtp_account(9, name="Postmark", price_per_thousand=Decimal("1.25"), position=2)


@pytest.fixture
def staff(other_user: User) -> Api:
    """Somebody else's key that reaches everybody's mail."""
    return api_with(other_user, "emails:read", "emails:all", "providers:read", "providers:write")


def faults(response: Any) -> dict[str, str]:
    assert response.status_code == 400, response.content
    return {path: found[0]["code"] for path, found in response.json()["details"].items()}


# --- reports --------------------------------------------------------------------------------------


def test_the_running_month_by_account(api: Api, ses: Provider, user: User) -> None:
    book(ses, user, NOV, 1_500, messages=1_000, nanos=150_000_000)
    book(ses, user, date(2026, 10, 31), 7)
    response = api.get("/costs")
    assert response.status_code == 200
    assert response.json() == {
        "by": "provider",
        "since": "2026-11-01",
        "until": "2026-11-20",
        "currency": "USD",
        "results": [
            {
                "key": str(ses.pk),
                "label": "SES",
                "messages": 1000,
                "mails": 1500,
                "cost": "0.15",
                "fees": "0.00",
                "total": "0.15",
                "cost_per_thousand": "0.10",
            }
        ],
        "total": {
            "messages": 1000,
            "mails": 1500,
            "cost": "0.15",
            "fees": "0.00",
            "total": "0.15",
        },
    }


def test_a_key_sees_the_mail_of_its_user_only(
    api: Api, staff: Api, ses: Provider, user: User, other_user: User
) -> None:
    Provider.objects.filter(pk=ses.pk).update(monthly_fee=9)
    book(ses, user, TODAY, 100)
    book(ses, other_user, TODAY, 200)
    own = api.get("/costs?by=owner").json()
    assert [row["label"] for row in own["results"]] == ["ann@example.com"]
    assert own["total"]["mails"] == 100
    assert own["total"]["fees"] == "0.00"
    everything = staff.get("/costs?by=owner").json()
    assert [row["mails"] for row in everything["results"]] == [200, 100]
    assert everything["total"]["total"] == "12.00"


def test_months_with_their_fees(staff: Api, ses: Provider, user: User) -> None:
    Provider.objects.filter(pk=ses.pk).update(
        monthly_fee=9, created_at=datetime(2026, 10, 2, tzinfo=UTC)
    )
    book(ses, user, TODAY, 100)
    months = staff.get("/costs?by=month&since=2026-08-01&until=2027-03-01").json()
    assert [(row["key"], row["cost"], row["fees"]) for row in months["results"]] == [
        ("2026-10", "0.00", "9.00"),
        ("2026-11", "1.00", "9.00"),
    ]


def test_reports_of_some_mail(
    api: Api, ses: Provider, postmark: Provider, user: User, api_key: NewApiKey
) -> None:
    key = api_key.api_key
    book(ses, user, TODAY, 1, api_key=key, email_type="receipt")
    book(postmark, user, TODAY, 2)

    def mails(query: str) -> int:
        return int(api.get(f"/costs?{query}").json()["total"]["mails"])

    assert mails("") == 3
    assert mails(f"provider_id={ses.pk}") == 1
    assert mails(f"api_key_id={key.pk}") == 1
    assert mails("email_type=transactional") == 2
    assert mails("month=2026-10") == 0
    assert mails("since=2026-11-20&until=2026-11-20") == 3


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("by=colour", "by", "invalid_choice"),
        ("since=2026-11-21", "since", "invalid"),
        ("since=2020-01-01", "since", "out_of_range"),
        ("since=yesterday", "since", "invalid"),
        ("until=9999-12-31", "until", "invalid"),
        ("month=2026-13", "month", "invalid"),
        ("month=2026-11&since=2026-11-01", "month", "invalid"),
        ("provider_id=7", "provider_id", "invalid"),
        ("email_type=" + "x" * 41, "email_type", "invalid"),
        ("email_type=a%00", "email_type", "invalid"),
        ("colour=red", "colour", "unknown_field"),
    ],
)
def test_bad_parameters_are_named(api: Api, query: str, field: str, code: str) -> None:
    assert faults(api.get(f"/costs?{query}")) == {field: code}


def test_scopes_are_asked_for(user: User) -> None:
    reader = api_with(user, "providers:read", "providers:write")
    for path in ("/costs", "/costs/forecast"):
        assert reader.get(path).status_code == 403
    for response in (
        reader.get("/budgets"),
        reader.post("/budgets", {"name": "x", "amount": "1"}),
        reader.get(f"/budgets/{uuid4()}"),
        reader.delete(f"/budgets/{uuid4()}"),
        reader.post("/costs/split", {"volume": 1}),
    ):
        assert response.status_code == 403
        assert "emails:all" in response.json()["message"]


# --- forecast -------------------------------------------------------------------------------------


def test_next_month_is_forecast(api: Api, ses: Provider, user: User) -> None:
    book_days(ses, user, TODAY - timedelta(days=1), 30, 1_000)
    body = api.get("/costs/forecast").json()
    assert body["month"] == "2026-12"
    assert body["enough_data"] is True
    assert body["mails"] == {"expected": 31_000, "low": 31_000, "high": 31_000}
    assert body["total"] == {"expected": "3.10", "low": "3.10", "high": "3.10"}
    assert body["accounts"][0]["name"] == "SES"


def test_the_running_month_is_projected(api: Api, ses: Provider, user: User) -> None:
    book_days(ses, user, TODAY, 30, 1_000, nanos=100_000_000)
    body = api.get("/costs/forecast?month=2026-11").json()
    assert body["so_far"] == {"mails": 20_000, "cost": "2.00", "fees": "0.00", "total": "2.00"}
    assert body["mails"]["expected"] == 30_000
    assert body["total"]["expected"] == "3.00"


def test_too_little_data_is_told(api: Api) -> None:
    body = api.get("/costs/forecast").json()
    assert body["enough_data"] is False
    assert body["mails"] is None
    assert body["message"].startswith("Not enough data")


def test_a_month_that_is_over_has_no_forecast(api: Api) -> None:
    assert faults(api.get("/costs/forecast?month=2026-10")) == {"month": "invalid"}


# --- split ----------------------------------------------------------------------------------------


def test_the_cheapest_split(staff: Api, ses: Provider, postmark: Provider, user: User) -> None:
    Provider.objects.filter(pk=ses.pk).update(monthly_limit=60_000, priority_reserve=0)
    book(postmark, user, TODAY, 10)
    response = staff.post("/costs/split", {"volume": 100_000})
    assert response.status_code == 200
    body = response.json()
    assert body["month"] == "2026-12"
    assert body["total"] == "56.00"
    assert body["is_cheapest"] is True
    assert body["present"] == {
        "total": "125.00",
        "saved": "69.00",
        "saved_percent": 55.2,
        "exceeds_limits": False,
    }
    assert [(row["name"], row["mails"], row["total"]) for row in body["accounts"]] == [
        ("SES", 60_000, "6.00"),
        ("Postmark", 40_000, "50.00"),
    ]
    assert body["suggested_rules"] == [
        {
            "conditions": {"email_types": []},
            "strategy": "weighted_split",
            "targets": [
                {"provider_id": str(ses.pk), "name": "SES", "weight": 600},
                {"provider_id": str(postmark.pk), "name": "Postmark", "weight": 400},
            ],
        }
    ]
    made = staff.post("/routing-rules", {"name": "split", **body["suggested_rules"][0]})
    assert made.status_code == 201


def test_what_if(staff: Api, ses: Provider, postmark: Provider) -> None:
    body = staff.post(
        "/costs/split",
        {
            "month": "2027-02",
            "volumes": {"receipt": 400, "marketing": 600},
            "accounts": [str(ses.pk), str(postmark.pk)],
            "what_if": [
                {"provider_id": str(ses.pk), "left_out": True},
                {
                    "provider_id": str(postmark.pk),
                    "price_per_thousand": "2",
                    "free_per_month": 100,
                    "price_tiers": [{"above": 500, "price_per_thousand": "1"}],
                    "monthly_fee": "3.50",
                },
            ],
        },
    ).json()
    assert body["month"] == "2027-02"
    assert body["total"] == "4.80"
    assert [row["name"] for row in body["accounts"]] == ["Postmark"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"volume": "required"}),
        ({"volume": 1, "use_forecast": True}, {"use_forecast": "required"}),
        ({"volume": 0}, {"volume": "out_of_range"}),
        ({"volume": "many"}, {"volume": "invalid_type"}),
        ({"volumes": {}}, {"volumes": "invalid"}),
        ({"volumes": {"": 5}}, {"volumes": "invalid"}),
        ({"volumes": {"a b": 5, "c": -1}}, {"volumes.a b": "invalid", "volumes.c": "invalid_type"}),
        ({"volume": 1, "month": "2026-10"}, {"month": "invalid"}),
        ({"volume": 1, "accounts": []}, {"accounts": "required"}),
        ({"volume": 1, "accounts": [str(uuid4())]}, {"accounts[0]": "not_found"}),
        ({"volume": 1, "colour": 1}, {"colour": "unknown_field"}),
        ({"volume": 1, "what_if": [{}]}, {"what_if[0].provider_id": "required"}),
        (
            {"volume": 1, "what_if": [{"provider_id": NOBODY, "monthly_fee": str(MAX_FEE + 1)}]},
            {"what_if[0].provider_id": "not_found", "what_if[0].monthly_fee": "out_of_range"},
        ),
    ],
)  # fmt: skip
def test_bad_questions_name_every_field(staff: Api, body: Any, expected: dict[str, str]) -> None:
    assert faults(staff.post("/costs/split", body)) == expected


def test_bad_tiers_are_named(staff: Api, ses: Provider) -> None:
    what_if = [{"provider_id": str(ses.pk), "price_tiers": [{"above": -1}]}]
    response = staff.post("/costs/split", {"volume": 1, "what_if": what_if})
    assert faults(response) == {"what_if[0].price_tiers": "invalid"}


def test_mail_that_fits_nowhere_is_refused_in_words(staff: Api, ses: Provider) -> None:
    Provider.objects.filter(pk=ses.pk).update(monthly_limit=60, priority_reserve=0)
    response = staff.post("/costs/split", {"volume": 100})
    assert response.status_code == 409
    assert response.json()["code"] == "no_split"
    assert "can take 60 mails" in response.json()["message"]


# --- budgets --------------------------------------------------------------------------------------


def test_a_budget_s_life(staff: Api, ses: Provider, user: User) -> None:
    book(ses, user, TODAY, 300)
    response = staff.post(
        "/budgets", {"name": "SES", "amount": "10", "provider_id": str(ses.pk)}, key="once"
    )
    assert response.status_code == 201
    made = response.json()
    assert response["Location"].endswith(f"/budgets/{made['id']}")
    assert (made["amount"], made["currency"], made["warn_percents"]) == ("10.00", "USD", [80, 100])
    assert made["running"] == {
        "month": "2026-11",
        "spent": "3.00",
        "fees": "0.00",
        "left": "7.00",
        "percent": 30,
        "exceeded": False,
        "projection": None,
    }
    path = f"/budgets/{made['id']}"
    assert staff.get(path).json()["name"] == "SES"
    assert [each["id"] for each in staff.get("/budgets").json()["results"]] == [made["id"]]

    changed = staff.patch(path, {**staff.get(path).json(), "amount": 2.5, "provider_id": None})
    assert changed.status_code == 200
    assert changed.json()["amount"] == "2.50"
    assert changed.json()["provider_id"] is None
    assert changed.json()["running"]["exceeded"] is True

    assert staff.delete(path).status_code == 204
    assert staff.get(path).status_code == 404
    assert not Budget.objects.exists()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"name": "required", "amount": "required"}),
        ({"name": 1, "amount": "x"}, {"name": "invalid_type", "amount": "invalid_type"}),
        ({"name": "x", "amount": "0"}, {"amount": "out_of_range"}),
        ({"name": "x", "amount": "1.999"}, {"amount": "invalid_type"}),
        ({"name": "", "amount": "1", "warn_percents": [""]}, {"warn_percents[0]": "invalid_type"}),
        ({"name": "x", "amount": "1", "provider_id": str(uuid4())}, {"provider_id": "not_found"}),
        ({"name": "x", "amount": "1", "colour": 1}, {"colour": "unknown_field"}),
    ],
)  # fmt: skip
def test_bad_budgets_name_every_field(staff: Api, body: Any, expected: dict[str, str]) -> None:
    assert faults(staff.post("/budgets", body)) == expected
    assert not Budget.objects.exists()


def test_an_unknown_budget_is_not_found(staff: Api) -> None:
    for path in (f"/budgets/{uuid4()}", "/budgets/7"):
        assert staff.get(path).status_code == 404
        assert staff.patch(path, {}).status_code == 404
