"""Budgets: what may be entered, what is spent, and who is told when."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache

from accounts.models import User
from accounts.services import NewApiKey
from alerts.models import Alert
from mailservice.core.errors import InvalidInputError, NotFoundError
from providers.budgets import (
    Standing,
    check_budgets,
    create_budget,
    delete_budget,
    spent,
    standings,
    update_budget,
    warn_percents,
    watch_budgets,
)
from providers.costs import Sums
from providers.errors import ProviderInUseError
from providers.models import Budget, Provider
from providers.pricing import NANOS
from providers.services import delete_provider
from tests.support.costs import book, book_days
from tests.support.mail import simulator

NOV = date(2026, 11, 1)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = NOON.date()


@pytest.fixture
def ses(db: None) -> Provider:
    provider = simulator(name="SES", price_per_thousand=Decimal(10))
    Provider.objects.filter(pk=provider.pk).update(created_at=datetime(2026, 1, 5, tzinfo=UTC))
    return Provider.objects.get(pk=provider.pk)


def budget(**fields: Any) -> Budget:
    values: dict[str, Any] = {"name": "All mail", "amount": Decimal(100)} | fields
    return create_budget(**values)


def open_alerts() -> dict[tuple[str, str], str]:
    rows = Alert.objects.open().values_list("kind", "subject", "severity")
    return {(kind, subject): severity for kind, subject, severity in rows}


def faults_of(error: pytest.ExceptionInfo[InvalidInputError]) -> dict[str, str]:
    return {field: faults[0]["code"] for field, faults in error.value.details.items()}


# --- what may be entered --------------------------------------------------------------------------


def test_a_budget_is_saved_as_entered(ses, api_key):
    made = budget(
        name=" Letters ",
        amount=Decimal("99.90"),
        provider_id=ses.pk,
        api_key_id=api_key.api_key.pk,
        email_type="marketing",
        warn_percents=[100, 50, 50],
    )
    made.refresh_from_db()
    assert made.name == "Letters"
    assert made.amount == Decimal("99.90")
    assert (made.provider_id, made.api_key_id) == (ses.pk, api_key.api_key.pk)
    assert made.warn_percents == [50, 100]
    assert warn_percents(budget(name="Usual")) == [80, 100]


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"name": " "}, {"name": "required"}),
        ({"name": "x" * 101}, {"name": "too_long"}),
        ({"name": "a\x00b"}, {"name": "invalid"}),
        ({"amount": Decimal(0)}, {"amount": "out_of_range"}),
        ({"amount": Decimal(-5)}, {"amount": "out_of_range"}),
        ({"amount": Decimal("1.005")}, {"amount": "invalid"}),
        ({"amount": Decimal("1E+30")}, {"amount": "out_of_range"}),
        ({"amount": Decimal("NaN")}, {"amount": "out_of_range"}),
        ({"email_type": "no type!"}, {"email_type": "invalid"}),
        ({"provider_id": uuid4()}, {"provider_id": "not_found"}),
        ({"api_key_id": uuid4()}, {"api_key_id": "not_found"}),
        ({"warn_percents": [80, 0]}, {"warn_percents[1]": "out_of_range"}),
        ({"warn_percents": [1001]}, {"warn_percents[0]": "out_of_range"}),
        ({"warn_percents": list(range(1, 12))}, {"warn_percents": "too_many"}),
    ],
)  # fmt: skip
def test_bad_input_names_the_field_and_saves_nothing(db, fields, faults):
    with pytest.raises(InvalidInputError) as error:
        budget(**fields)
    assert faults_of(error) == faults
    assert not Budget.objects.exists()


def test_names_are_unique(db):
    budget()
    with pytest.raises(InvalidInputError) as error:
        budget()
    assert faults_of(error) == {"name": "exists"}


def test_what_is_not_named_stays(ses):
    made = budget(provider_id=ses.pk, warn_percents=[10])
    update_budget(made.pk, amount=Decimal(7))
    made.refresh_from_db()
    assert made.amount == 7
    assert (made.provider_id, made.warn_percents) == (ses.pk, [10])
    with pytest.raises(InvalidInputError):
        update_budget(made.pk, amount=Decimal(0))
    made.refresh_from_db()
    assert made.amount == 7
    update_budget(made.pk, provider_id=None)
    made.refresh_from_db()
    assert made.provider_id is None


def test_a_deleted_budget_is_gone(db):
    made = budget()
    delete_budget(made.pk)
    assert not Budget.objects.exists()
    with pytest.raises(NotFoundError):
        delete_budget(made.pk)
    with pytest.raises(NotFoundError):
        update_budget(made.pk, name="x")


def test_an_account_with_a_budget_is_not_deleted(ses):
    budget(provider_id=ses.pk)
    with pytest.raises(ProviderInUseError, match="the budget “All mail” is for it"):
        delete_provider(ses.pk)


# --- what is spent --------------------------------------------------------------------------------


def test_only_mail_of_the_month_and_of_the_budget_counts(
    ses: Provider, user: User, api_key: NewApiKey
) -> None:
    other = simulator(name="other")
    key = api_key.api_key
    book(ses, user, NOV, 100, email_type="receipt", api_key=key)  # 1.00
    book(ses, user, date(2026, 11, 30), 200)
    book(other, user, NOV, 400)
    book(ses, user, date(2026, 10, 31), 800)

    def cents(**fields: Any) -> int:
        return spent(Budget(amount=1, **fields), NOV).nanos // (NANOS // 100)

    assert cents() == 700
    assert cents(provider=ses) == 300
    assert cents(api_key=key) == 100
    assert cents(email_type="receipt") == 100
    assert cents(provider=other, email_type="receipt") == 0


def test_fees_count_where_the_budget_is_for_all_mail_of_accounts(ses, user):
    Provider.objects.filter(pk=ses.pk).update(monthly_fee=20)
    book(ses, user, NOV, 100)
    assert spent(Budget(amount=1), NOV) == Sums(nanos=NANOS, fee_nanos=20 * NANOS)
    assert spent(Budget(amount=1, provider=ses), NOV).total_nanos == 21 * NANOS
    assert spent(Budget(amount=1, email_type="transactional"), NOV).total_nanos == NANOS


def test_percents_are_reached_exactly():
    def crossed(cents: int) -> list[int]:
        return Standing(
            Budget(amount=Decimal(1), warn_percents=[50, 100]), NOV, cents * NANOS // 100, 0
        ).crossed

    assert crossed(49) == []
    assert crossed(50) == [50]
    assert crossed(99) == [50]
    assert crossed(100) == [50, 100]


def test_all_budgets_are_added_up_by_one_statement(ses, user, django_assert_num_queries):
    book(ses, user, NOV, 100)
    many = [budget(name=f"budget {number}", email_type="x") for number in range(20)]
    with django_assert_num_queries(1):
        assert [each.nanos for each in standings(many, month=NOV, today=None)] == [0] * 20


# --- who is told ----------------------------------------------------------------------------------


def test_a_percent_that_is_reached_opens_one_alert(ses, user):
    made = budget(amount=Decimal(10), warn_percents=[50, 80, 100])
    book(ses, user, TODAY, 799)
    check_budgets(NOON)
    check_budgets(NOON)
    assert open_alerts() == {("budget.used", f"{made.pk}:2026-11:50"): "warning"}
    alert = Alert.objects.get()
    assert alert.count == 1
    assert alert.title == "Budget “All mail”: 50 % of 10.00 USD is spent"
    assert alert.detail == "7.99 USD is spent in November 2026 so far: 79 %."
    assert alert.link.startswith("/admin/")


def test_the_whole_amount_is_critical_and_the_lower_percents_stay(ses, user):
    made = budget(amount=Decimal(10))
    book(ses, user, TODAY, 1_000)
    check_budgets(NOON)
    assert open_alerts() == {
        ("budget.used", f"{made.pk}:2026-11:80"): "warning",
        ("budget.used", f"{made.pk}:2026-11:100"): "critical",
    }


def test_a_new_month_closes_the_alerts_of_the_old_one(ses, user):
    budget(amount=Decimal(10))
    book(ses, user, TODAY, 1_000)
    check_budgets(NOON)
    check_budgets(NOON + timedelta(days=11))
    assert open_alerts() == {}
    assert set(Alert.objects.values_list("closing", flat=True)) == {"The month is over."}


@pytest.mark.parametrize("change", ["raise", "switch off", "delete"])
def test_a_budget_that_no_longer_holds_closes_its_alerts(ses, user, change):
    made = budget(amount=Decimal(10))
    book(ses, user, TODAY, 1_000)
    check_budgets(NOON)
    if change == "raise":
        update_budget(made.pk, amount=Decimal(1_000))
    elif change == "switch off":
        update_budget(made.pk, is_active=False)
    else:
        delete_budget(made.pk)
    check_budgets(NOON)
    assert open_alerts() == {}
    assert set(Alert.objects.values_list("closing", flat=True)) == {"It no longer holds."}


def test_what_will_be_too_much_warns_before_it_is(ses, user):
    # 10.00 a day from the price list: 300.00 in November, 190.00 of it so far.
    book_days(ses, user, TODAY - timedelta(days=1), 60, 1_000)
    made = budget(amount=Decimal(299), warn_percents=[90])
    check_budgets(NOON)
    assert open_alerts() == {("budget.forecast", f"{made.pk}:2026-11"): "warning"}
    alert = Alert.objects.get()
    assert alert.title == "Budget “All mail”: November will probably cost more than 299.00 USD"
    assert "about 300.00 USD (290.00 USD to 300.00 USD). Mail goes on." in alert.detail


def test_a_forecast_alert_ends_when_the_month_is_clearly_within(ses, user):
    book_days(ses, user, TODAY - timedelta(days=1), 60, 1_000)
    made = budget(amount=Decimal(299), warn_percents=[90])
    check_budgets(NOON)
    update_budget(made.pk, amount=Decimal(310))
    check_budgets(NOON)
    assert ("budget.forecast", f"{made.pk}:2026-11") in open_alerts()
    update_budget(made.pk, amount=Decimal(320))
    check_budgets(NOON)
    assert open_alerts() == {}


def test_the_first_days_of_a_month_are_not_projected(ses, user):
    book_days(ses, user, date(2026, 11, 3), 60, 1_000)
    budget(amount=Decimal(280), warn_percents=[90])
    check_budgets(datetime(2026, 11, 4, 12, tzinfo=UTC))
    assert open_alerts() == {}
    check_budgets(datetime(2026, 11, 5, 12, tzinfo=UTC))
    assert [kind for kind, _ in open_alerts()] == ["budget.forecast"]


def test_watching_checks_once_in_ten_minutes(ses, user):
    budget(amount=Decimal(10))
    book(ses, user, TODAY, 1_000)
    assert watch_budgets(NOON)
    assert not watch_budgets(NOON)
    assert Alert.objects.count() == 2
    cache.delete("providers:budgets:watched")
    assert watch_budgets(NOON)
