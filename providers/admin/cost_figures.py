"""What the page of costs shows: a month, and the one that follows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils.formats import date_format

from providers.admin.charts import stacked_chart
from providers.amounts import amount_text, figure_text
from providers.budgets import standings
from providers.costs import (
    Dimension,
    Sums,
    Total,
    fees,
    spendings,
    sums,
    totals,
    with_fees,
)
from providers.models import Budget
from providers.months import days_of, last_day, month_of, next_month, previous_month
from providers.outlook import outlook
from providers.planning import Question, plan_split
from providers.pricing import NANOS
from providers.split import NoSplitError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

    from providers.admin.charts import Chart
    from providers.budgets import Standing
    from providers.forecast import Estimate
    from providers.outlook import Outlook

#: Accounts with a colour of their own; the rest is one series.
_MAX_SERIES = 6
_MAX_ROWS = 12
_MAX_BUDGETS = 8
_HIGH_PERCENT, _FULL_PERCENT = 80, 100


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table."""

    label: str
    key: str
    mails: int
    cost: str
    fee: str
    total: str
    per_thousand: str
    #: Of the largest row, for its bar.
    percent: float
    share: float


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by one dimension, as far as there is room."""

    title: str
    by: str
    lines: Sequence[Line]
    more_count: int

    @property
    def has_fees(self) -> bool:
        """True if some row has a fee."""
        return any(line.fee for line in self.lines)


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """How a budget stands."""

    name: str
    pk: UUID
    spent: str
    amount: str
    percent: int
    words: str

    @property
    def width(self) -> int:
        """Return the length of its bar."""
        return min(100, self.percent)

    @property
    def level(self) -> str:
        """Return the name of the bar's colour."""
        if self.percent >= _FULL_PERCENT:
            return "is-full"
        return "is-high" if self.percent >= _HIGH_PERCENT else ""


def cost_figures(month: date, today: date) -> dict[str, Any]:
    """Return everything that the page shows of a month."""
    is_running = month == month_of(today)
    until = last_day(month)
    owed = fees([month]) if month <= today else fees([])
    mail = sums(since=month, until=until)
    whole = Sums(mail.messages, mail.mails, mail.nanos, owed.total)
    by_provider = with_fees(
        totals(since=month, until=until, by=Dimension.PROVIDER), owed, Dimension.PROVIDER
    )
    others = {
        name: _table(title, by, totals(since=month, until=until, by=by))
        for name, title, by in (
            ("types", "By email type", Dimension.EMAIL_TYPE),
            ("keys", "By API key", Dimension.API_KEY),
            ("owners", "By owner", Dimension.OWNER),
        )
    }
    running = outlook(month, today=today) if is_running else None
    return {
        "month": month,
        "previous": previous_month(month),
        "next": next_month(month) if month < month_of(today) else None,
        "is_running": is_running,
        "whole": whole,
        "total": amount_text(whole.total_nanos),
        "fees": amount_text(whole.fee_nanos) if whole.fee_nanos else "",
        "per_thousand": _per_thousand(whole.total_nanos, whole.mails),
        "per_day": amount_text(whole.total_nanos // until.day),
        "compared": _compared(month, whole, is_running=is_running),
        "projection": _range(running.nano_estimate) if running else None,
        "projected_mails": running.mail_estimate if running else None,
        "why_no_projection": running.why_not if running else "",
        "chart": _chart(month, by_provider),
        "providers": _table("By provider", Dimension.PROVIDER, by_provider),
        **others,
        "budgets": _budgets(month, today),
        "budget_count": Budget.objects.count(),
        "coming": _coming(next_month(today), today) if is_running else None,
    }


def _table(title: str, by: Dimension, rows: Sequence[Total]) -> Table:
    largest = max((row.total_nanos for row in rows), default=0)
    whole = sum(row.total_nanos for row in rows)
    return Table(
        title,
        by.value,
        [_line(row, largest, whole) for row in rows[:_MAX_ROWS]],
        max(0, len(rows) - _MAX_ROWS),
    )


def _line(row: Total, largest: int, whole: int) -> Line:
    return Line(
        label=row.label,
        key=row.key,
        mails=row.mails,
        cost=figure_text(row.nanos),
        fee=figure_text(row.fee_nanos) if row.fee_nanos else "",
        total=figure_text(row.total_nanos),
        per_thousand=_per_thousand(row.total_nanos, row.mails),
        percent=round(100 * row.total_nanos / largest, 1) if largest else 0,
        share=round(100 * row.total_nanos / whole, 1) if whole else 0,
    )


def _per_thousand(nanos: int, mails: int) -> str:
    return figure_text(nanos * 1_000 // mails) if mails else ""


def _compared(month: date, whole: Sums, *, is_running: bool) -> str:
    """Return how a month that is over compares with the one before."""
    if is_running:
        return ""
    before = previous_month(month)
    mail = sums(since=before, until=last_day(before))
    nanos = mail.nanos + fees([before]).total
    if not nanos:
        return ""
    percent = round(100 * (whole.total_nanos - nanos) / nanos)
    return f"{percent:+d} % against {before:%B}" if percent else f"as much as in {before:%B}"


def _range(estimate: Estimate | None) -> dict[str, str] | None:
    if estimate is None:
        return None
    return {
        "expected": amount_text(estimate.expected),
        "low": figure_text(estimate.low),
        "high": figure_text(estimate.high),
    }


def _chart(month: date, rows: Sequence[Total]) -> Chart | None:
    """Return the cost of each day, stacked by account; None if there was none."""
    found = {
        str(key): by_day
        for key, by_day in spendings(since=month, until=last_day(month)).items()
        if any(by_day.values())
    }
    if not found:
        return None
    days = days_of(month)
    known = [(row.label, found[row.key]) for row in rows if row.key in found]
    series = [(label, _amounts(days, [by_day])) for label, by_day in known[:_MAX_SERIES]]
    if rest := [by_day for _, by_day in known[_MAX_SERIES:]]:
        series.append(("others", _amounts(days, rest)))
    whole = sum(nanos for _, by_day in known for nanos in by_day.values())
    labels = [date_format(day, "j M") for day in days]
    return stacked_chart(labels, series, f"{amount_text(whole)} in {len(days)} days, without fees")


def _amounts(days: Sequence[date], parts: Sequence[dict[date, int]]) -> list[float]:
    return [round(sum(part.get(day, 0) for part in parts) / NANOS, 6) for day in days]


def _budgets(month: date, today: date) -> list[BudgetLine]:
    """Return the fullest budgets, with projections in the running month."""
    active = Budget.objects.filter(is_active=True)
    found = standings(active, month=month, today=None)
    fullest = sorted(found, key=lambda each: -each.percent)[:_MAX_BUDGETS]
    if month == month_of(today):
        fullest = standings([each.budget for each in fullest], month=month, today=today)
    return [_budget_line(standing) for standing in fullest]


def _budget_line(standing: Standing) -> BudgetLine:
    words = f"{amount_text(standing.left_nanos)} left"
    if standing.is_exceeded:
        words = f"{amount_text(-standing.left_nanos)} over"
    if standing.projection is not None:
        words += f", about {amount_text(standing.projection.expected)} by the end of the month"
    return BudgetLine(
        name=standing.budget.name,
        pk=standing.budget.pk,
        spent=figure_text(standing.spent_nanos),
        amount=figure_text(standing.amount_nanos),
        percent=standing.percent,
        words=words,
    )


def _coming(month: date, today: date) -> dict[str, Any]:
    """Return the next month's forecast and its cheapest split."""
    found: Outlook = outlook(month, today=today)
    coming: dict[str, Any] = {
        "month": month,
        "mails": found.mail_estimate,
        "cost": _range(found.nano_estimate),
        "why_not": found.why_not,
        "since": today - timedelta(days=found.day_count),
    }
    if found.mail_estimate is None or not found.mail_estimate.expected:
        return coming
    try:
        coming["plan"] = plan_split(
            Question(month=month, volume=found.mail_estimate.expected), today=today
        )
    except NoSplitError as error:
        coming["no_split"] = str(error)
    return coming
