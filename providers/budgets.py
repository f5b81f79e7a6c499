"""Budgets: what may be spent in a calendar month, how much of it is, and who is told.

They warn and never stop mail. Months are those of the service's time zone; the days within are each
account's own. Faults name the field of `Budget`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, TypedDict, Unpack

from django.core.cache import cache
from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone
from redis.exceptions import RedisError

from accounts.models import ApiKey
from alerts.models import Severity
from alerts.selectors import open_severities
from alerts.services import close_alert, open_alert
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.presentation import console_path
from mailservice.core.sql import advisory_key, lock_for_transaction
from providers.amounts import amount_text
from providers.costs import Only, Sums, fees
from providers.models import Budget, CostDay, Provider
from providers.months import last_day, month_of
from providers.outlook import outlook, recent_volumes
from providers.pricing import NANOS
from providers.rules import is_email_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime
    from uuid import UUID

    from providers.account_faults import Fault
    from providers.forecast import Estimate

#: All are added up by one statement.
MAX_BUDGETS = 100
MAX_NAME_CHARS = 100
MAX_AMOUNT = Decimal(100_000_000_000)
MAX_PERCENTS, MAX_PERCENT = 10, 1_000
DEFAULT_PERCENTS = (80, 100)
_WHOLE = 100
USED, FORECAST = "budget.used", "budget.forecast"
#: Before, a month says too little of itself.
_FORECAST_FROM_DAY = 5
#: An open forecast alert stays until the projection is clearly within the budget.
_CLEARLY_WITHIN = 95
#: How often budgets are looked at.
WATCH_SECONDS = 600


class BudgetChanges(TypedDict, total=False):
    """What can be set of a budget; the model's defaults apply."""

    name: str
    amount: Decimal
    provider_id: UUID | None
    api_key_id: UUID | None
    email_type: str
    warn_percents: Sequence[int]
    is_active: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of a budget is spent in a month."""

    budget: Budget
    month: date
    #: Of mail, and of monthly fees where the budget has some.
    nanos: int
    fee_nanos: int
    #: The whole month, fees included; None if it was not asked for, or there is too little data.
    projection: Estimate | None = None

    @property
    def amount_nanos(self) -> int:
        """Return what may be spent."""
        return int(self.budget.amount * NANOS)

    @property
    def spent_nanos(self) -> int:
        """Return what is spent, the fees included."""
        return self.nanos + self.fee_nanos

    @property
    def left_nanos(self) -> int:
        """Return what is left; less than nothing if more was spent."""
        return self.amount_nanos - self.spent_nanos

    @property
    def percent(self) -> int:
        """Return the spent part, rounded down."""
        return self.spent_nanos * _WHOLE // self.amount_nanos

    @property
    def is_exceeded(self) -> bool:
        """True if more is spent than may be."""
        return self.spent_nanos > self.amount_nanos

    @property
    def crossed(self) -> list[int]:
        """Return the percents that are reached, ascending."""
        return [
            percent
            for percent in warn_percents(self.budget)
            if self.spent_nanos * _WHOLE >= self.amount_nanos * percent
        ]

    @property
    def is_projected_above(self) -> bool:
        """True if the whole month is expected to cost more than may be spent."""
        return self.projection is not None and self.projection.expected > self.amount_nanos


def create_budget(**fields: Unpack[BudgetChanges]) -> Budget:
    """Create a budget. Raises `InvalidInputError` with every fault."""
    return _save(Budget(), fields)


def update_budget(budget_id: UUID, **changes: Unpack[BudgetChanges]) -> Budget:
    """Change a budget; whatever is not named stays.

    Raises `NotFoundError` and `InvalidInputError` with every fault.
    """
    with transaction.atomic():
        budget = Budget.objects.select_for_update().filter(pk=budget_id).first()
        if budget is None:
            raise NotFoundError("There is no such budget.")
        return _save(budget, changes)


def delete_budget(budget_id: UUID) -> None:
    """Delete a budget; its alerts are closed when budgets are looked at next.

    Raises `NotFoundError`.
    """
    count, _ = Budget.objects.filter(pk=budget_id).delete()
    if not count:
        raise NotFoundError("There is no such budget.")


def warn_percents(budget: Budget) -> list[int]:
    """Return the percents at which a budget warns, ascending."""
    return sorted(set(budget.warn_percents)) or list(DEFAULT_PERCENTS)


def budget_faults(budget: Budget) -> list[Fault]:
    """Return what is wrong with a budget about to be saved, as (field, code, message)."""
    budget.name = budget.name.strip()
    faults = [*_name_faults(budget), *_amount_faults(budget), *_percent_faults(budget)]
    if budget.email_type and not is_email_type(budget.email_type):
        faults.append(("email_type", "invalid", "No name of an email type."))
    for field, model, key, name in (
        ("provider_id", Provider, budget.provider_id, "provider"),
        ("api_key_id", ApiKey, budget.api_key_id, "API key"),
    ):
        if key is not None and not model.objects.filter(pk=key).exists():
            faults.append((field, "not_found", f"There is no such {name}."))
    return faults


def mail_of(budget: Budget) -> Only:
    """Return which mail a budget is for."""
    return Only(
        provider_id=budget.provider_id,
        api_key_id=budget.api_key_id,
        email_type=budget.email_type or None,
    )


def spent(budget: Budget, month: date) -> Sums:
    """Return what mail of a month came to under a budget, and the fees that belong to it."""
    standing = standings([budget], month=month, today=None)[0]
    return Sums(nanos=standing.nanos, fee_nanos=standing.fee_nanos)


def standings(budgets: Iterable[Budget], *, month: date, today: date | None) -> list[Standing]:
    """Return how much of each budget is spent in a month.

    With `today`, a day of that month, each gets its projection.
    """
    found = list(budgets)
    if not found:
        return []
    nanos = _added_up(found, month)
    everything = recent_volumes(today) if today else None
    return [
        Standing(
            budget=budget,
            month=month,
            nanos=nanos[place],
            fee_nanos=fees([month], only=mail_of(budget)).total,
            projection=None
            if today is None
            else outlook(
                month, today=today, only=mail_of(budget), everything=everything
            ).nano_estimate,
        )
        for place, budget in enumerate(found)
    ]


def watch_budgets(now: datetime) -> bool:
    """Check the budgets if nobody has done so for ten minutes; tell whether it was done.

    Called by beat as often as it likes. Without a broker every call checks.
    """
    try:
        if not cache.add("providers:budgets:watched", 1, WATCH_SECONDS):
            return False
    except (RedisError, OSError):
        pass  # Twice is harmless, never is not.
    check_budgets(now)
    return True


def check_budgets(now: datetime) -> None:
    """Open an alert for each percent of a budget that is reached, and for what will be too much.

    Closes those of earlier months, and of budgets that were raised, switched off or deleted.
    """
    today = timezone.localdate(now)
    month = month_of(today)
    known = open_severities([USED, FORECAST])
    wanted: set[tuple[str, str]] = set()
    # A month's first days are compared without a projection: nothing is opened by it.
    has_forecast = today.day >= _FORECAST_FROM_DAY
    budgets = Budget.objects.filter(is_active=True).select_related("provider", "api_key")
    for standing in standings(budgets, month=month, today=today):
        wanted |= _report_used(standing, known)
        if has_forecast:
            wanted |= _report_forecast(standing, known)
    for kind, subject in known.keys() - wanted:
        close_alert(kind=kind, subject=subject, detail=_closing(subject, month))


def _report_used(standing: Standing, known: Mapping[tuple[str, str], str]) -> set[tuple[str, str]]:
    found = set()
    for percent in standing.crossed:
        subject = f"{_subject(standing)}:{percent}"
        severity = Severity.WARNING if percent < _WHOLE else Severity.CRITICAL
        found.add((USED, subject))
        if known.get((USED, subject)) != severity:
            open_alert(
                kind=USED,
                subject=subject,
                severity=severity,
                title=f"Budget “{standing.budget.name}”: {percent} % of "
                f"{amount_text(standing.amount_nanos)} is spent",
                detail=_detail(standing),
                link=console_path("providers_costday_changelist"),
            )
    return found


def _report_forecast(
    standing: Standing, known: Mapping[tuple[str, str], str]
) -> set[tuple[str, str]]:
    key = (FORECAST, _subject(standing))
    if standing.is_exceeded or standing.projection is None:
        return set()  # it has come true, and is told as such; or nothing is known
    limit = standing.amount_nanos * (_CLEARLY_WITHIN if key in known else _WHOLE) // _WHOLE
    if standing.projection.expected <= limit:
        return set()
    if key not in known:
        open_alert(
            kind=FORECAST,
            subject=key[1],
            severity=Severity.WARNING,
            title=f"Budget “{standing.budget.name}”: {standing.month:%B} will probably cost more "
            f"than {amount_text(standing.amount_nanos)}",
            detail=_detail(standing),
            link=console_path("providers_costday_changelist"),
        )
    return {key}


def _subject(standing: Standing) -> str:
    return f"{standing.budget.pk}:{standing.month:%Y-%m}"


def _detail(standing: Standing) -> str:
    fee = f", {amount_text(standing.fee_nanos)} of it fees" if standing.fee_nanos else ""
    text = (
        f"{amount_text(standing.spent_nanos)} is spent in {standing.month:%B %Y} so far{fee}: "
        f"{standing.percent} %."
    )
    coming = standing.projection
    if coming is None:
        return text
    return (
        f"{text} By the end of the month it will be about {amount_text(coming.expected)} "
        f"({amount_text(coming.low)} to {amount_text(coming.high)}). Mail goes on."
    )


def _closing(subject: str, month: date) -> str:
    is_old = f":{month:%Y-%m}" not in subject
    return "The month is over." if is_old else "It no longer holds."


def _added_up(budgets: Sequence[Budget], month: date) -> list[int]:
    """Return the nanos of each budget's mail in a month, by one walk over its ledger."""
    parts = {
        f"budget_{place}": Sum("nanos", filter=Q(**lookups) if lookups else None)
        for place, lookups in enumerate(mail_of(budget).lookups() for budget in budgets)
    }
    days = (month, last_day(month))
    row = CostDay.objects.filter(day__range=days).order_by().aggregate(**parts)
    return [row[f"budget_{place}"] or 0 for place in range(len(budgets))]


def _save(budget: Budget, changes: BudgetChanges) -> Budget:
    for field, value in changes.items():
        setattr(budget, field, value)
    with transaction.atomic():
        # Two must not get one name beside each other, nor pass the limit.
        lock_for_transaction(advisory_key("budgets"))
        if faults := budget_faults(budget):
            raise InvalidInputError.for_fields(faults)
        budget.warn_percents = sorted(set(budget.warn_percents))
        budget.save()
    return budget


def _name_faults(budget: Budget) -> list[Fault]:
    if not budget.name:
        return [("name", "required", "Give the budget a name.")]
    if len(budget.name) > MAX_NAME_CHARS:
        return [("name", "too_long", f"A name has at most {MAX_NAME_CHARS} characters.")]
    if not budget.name.isprintable():
        return [("name", "invalid", "Use printable characters.")]
    others = Budget.objects.exclude(pk=budget.pk)
    if others.filter(name=budget.name).exists():
        return [("name", "exists", "Another budget has this name.")]
    if others.count() >= MAX_BUDGETS:
        return [("name", "too_many", f"There are at most {MAX_BUDGETS} budgets.")]
    return []


def _amount_faults(budget: Budget) -> list[Fault]:
    amount: Decimal | None = budget.amount
    if amount is None:
        return [("amount", "required", "Give what may be spent in a month.")]
    if not amount.is_finite() or not 0 < amount <= MAX_AMOUNT:
        return [("amount", "out_of_range", f"Must be above 0 and at most {MAX_AMOUNT:,}.")]
    if amount != round(amount, 2):
        return [("amount", "invalid", "At most two decimals.")]
    return []


def _percent_faults(budget: Budget) -> list[Fault]:
    if len(budget.warn_percents) > MAX_PERCENTS:
        return [("warn_percents", "too_many", f"At most {MAX_PERCENTS} percents.")]
    return [
        (f"warn_percents[{place}]", "out_of_range", f"Must be from 1 to {MAX_PERCENT:,}.")
        for place, percent in enumerate(budget.warn_percents)
        if not 1 <= percent <= MAX_PERCENT
    ]
