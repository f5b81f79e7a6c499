"""What mail has cost: sums of the ledger, and the monthly fees beside it.

Days are those of each account's time zone, as its provider counts them. Fees are not in the ledger:
they are what the accounts say today, so a fee changed now changes what earlier months show.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import F, Sum
from django.db.models.functions import TruncMonth

from accounts.models import ApiKey, User
from providers.models import CostDay, Provider
from providers.months import month_of
from providers.pricing import NANOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.db.models import QuerySet

#: Rows of one report; what costs least is left out.
MAX_ROWS = 500
#: Days that one report may span.
MAX_DAYS = 1_100
WITHOUT_KEY = "without a key"


class Dimension(StrEnum):
    """What a report adds up by."""

    PROVIDER = "provider"
    EMAIL_TYPE = "email_type"
    API_KEY = "api_key"
    OWNER = "owner"
    MONTH = "month"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class DayCost:
    """What one account cost on one day, its fee left out."""

    day: date
    mails: int
    nanos: int


@dataclass(frozen=True, slots=True)
class Only:
    """Which mail is looked at; None for all."""

    provider_id: UUID | None = None
    email_type: str | None = None
    api_key_id: UUID | None = None
    owner_id: UUID | None = None

    def lookups(self) -> dict[str, Any]:
        """Return what the ledger is filtered by."""
        values = {
            "provider_id": self.provider_id,
            "email_type": self.email_type,
            "api_key_id": self.api_key_id,
            "owner_id": self.owner_id,
        }
        return {name: value for name, value in values.items() if value is not None}

    @property
    def has_fees(self) -> bool:
        """True if fees can be told apart: of some mail at an account no part is a fee."""
        return self.email_type is None and self.api_key_id is None


ALL = Only()


@dataclass(frozen=True, slots=True)
class Total:
    """One row of a report."""

    #: An id, a type, `2026-03` or `2026-03-14`; empty for mail sent without a key.
    key: str
    label: str
    messages: int
    #: As billed: one per recipient.
    mails: int
    #: Without fees.
    nanos: int
    fee_nanos: int = 0

    @property
    def total_nanos(self) -> int:
        """Return the cost with the fee."""
        return self.nanos + self.fee_nanos


@dataclass(frozen=True, slots=True)
class Sums:
    """The whole of a report."""

    messages: int = 0
    mails: int = 0
    nanos: int = 0
    fee_nanos: int = 0

    @property
    def total_nanos(self) -> int:
        """Return the cost with the fees."""
        return self.nanos + self.fee_nanos


@dataclass(frozen=True)
class Fees:
    """Monthly fees by month and account."""

    nanos: Mapping[tuple[date, UUID], int] = field(default_factory=dict)

    def of_account(self, provider_id: UUID) -> int:
        """Return what one account's fees come to."""
        return sum(fee for (_, each), fee in self.nanos.items() if each == provider_id)

    def of_month(self, month: date) -> int:
        """Return what the fees of one month come to."""
        return sum(fee for (each, _), fee in self.nanos.items() if each == month)

    @property
    def total(self) -> int:
        """Return the sum."""
        return sum(self.nanos.values())


def daily(provider_id: UUID, *, days: int, today: date) -> list[DayCost]:
    """Return what an account cost on each of the last `days` days, `today` last."""
    since = today - timedelta(days=days - 1)
    rows = (
        CostDay.objects.filter(provider_id=provider_id, day__range=(since, today))
        .order_by()
        .values_list("day")
        .annotate(Sum("mails"), Sum("nanos"))
    )
    found = {day: DayCost(day, mails, nanos) for day, mails, nanos in rows}
    wanted = (since + timedelta(days=number) for number in range(days))
    return [found.get(day) or DayCost(day, 0, 0) for day in wanted]


def totals(
    *, since: date, until: date, by: Dimension, only: Only = ALL, limit: int = MAX_ROWS
) -> list[Total]:
    """Return what the mail of `since` to `until`, both included, cost, without fees.

    Days and months ascend and those without mail are left out; all else is ordered by cost, at
    most `limit` rows.
    """
    rows = (
        _ledger(since, until, only)
        .values(key=_KEYS[by])
        .annotate(message_count=Sum("messages"), mail_count=Sum("mails"), nano_sum=Sum("nanos"))
    )
    order = ["key"] if by in {Dimension.DAY, Dimension.MONTH} else ["-nano_sum", "-mail_count"]
    found = list(rows.order_by(*order)[: None if order == ["key"] else limit])
    labels = _labels(by, [row["key"] for row in found])
    return [
        Total(
            key=_key_text(by, row["key"]),
            label=labels.get(row["key"]) or _key_text(by, row["key"]) or WITHOUT_KEY,
            messages=row["message_count"],
            mails=row["mail_count"],
            nanos=row["nano_sum"],
        )
        for row in found
    ]


def sums(*, since: date, until: date, only: Only = ALL) -> Sums:
    """Return the whole of what the mail of `since` to `until` cost, without fees."""
    row = _ledger(since, until, only).aggregate(Sum("messages"), Sum("mails"), Sum("nanos"))
    return Sums(row["messages__sum"] or 0, row["mails__sum"] or 0, row["nanos__sum"] or 0)


def volumes(*, since: date, until: date, only: Only = ALL) -> dict[UUID, dict[date, int]]:
    """Return the mails of each account by day; days without mail are left out."""
    return _by_day("mails", since, until, only)


def spendings(*, since: date, until: date, only: Only = ALL) -> dict[UUID, dict[date, int]]:
    """Return the nanos of each account by day, without fees; days without mail are left out."""
    return _by_day("nanos", since, until, only)


def fees(months: Iterable[date], *, only: Only = ALL) -> Fees:
    """Return the monthly fees of accounts.

    A fee is due from the month in which the account was made, in those months in which it is
    active; one that is switched off was active in the months in which it carried mail. Somebody's
    (`only.owner_id`) are those of their own accounts.
    """
    wanted = sorted(set(months))
    if not wanted or not only.has_fees:
        return Fees()
    accounts = Provider.objects.filter(monthly_fee__gt=0)
    if only.provider_id is not None:
        accounts = accounts.filter(pk=only.provider_id)
    if only.owner_id is not None:
        accounts = accounts.filter(owner_id=only.owner_id)
    paying = list(
        accounts.order_by("position", "pk").only(
            "pk", "created_at", "is_active", "monthly_fee", "time_zone"
        )
    )
    worked = _months_at_work([each.pk for each in paying if not each.is_active], wanted)
    found = {}
    for account in paying:
        first = month_of(account.created_at.astimezone(ZoneInfo(account.time_zone)).date())
        for month in wanted:
            if (account.is_active and month >= first) or (account.pk, month) in worked:
                found[month, account.pk] = int(account.monthly_fee * NANOS)
    return Fees(found)


def with_fees(rows: Sequence[Total], owed: Fees, by: Dimension) -> list[Total]:
    """Return a report by account or month with the fees in it; accounts that sent nothing too."""
    if by not in {Dimension.PROVIDER, Dimension.MONTH}:
        return list(rows)
    is_month = by is Dimension.MONTH
    added: dict[str, int] = {}
    for (month, provider_id), nanos in owed.nanos.items():
        key = f"{month:%Y-%m}" if is_month else str(provider_id)
        added[key] = added.get(key, 0) + nanos
    known = {row.key for row in rows}
    missing = sorted(added.keys() - known)
    names = {} if is_month else _labels(by, [UUID(key) for key in missing])
    whole = [
        Total(row.key, row.label, row.messages, row.mails, row.nanos, added.get(row.key, 0))
        for row in rows
    ]
    whole += [
        Total(key, key if is_month else names.get(UUID(key), key), 0, 0, 0, added[key])
        for key in missing
    ]
    if is_month:
        return sorted(whole, key=lambda row: row.key)
    return sorted(whole, key=lambda row: -row.total_nanos)


_KEYS = {
    Dimension.PROVIDER: F("provider_id"),
    Dimension.EMAIL_TYPE: F("email_type"),
    Dimension.API_KEY: F("api_key_id"),
    Dimension.OWNER: F("owner_id"),
    Dimension.MONTH: TruncMonth("day"),
    Dimension.DAY: F("day"),
}


def _by_day(column: str, since: date, until: date, only: Only) -> dict[UUID, dict[date, int]]:
    rows = _ledger(since, until, only).values_list("provider_id", "day").annotate(Sum(column))
    found: dict[UUID, dict[date, int]] = {}
    for provider_id, day, number in rows:
        found.setdefault(provider_id, {})[day] = number
    return found


def _ledger(since: date, until: date, only: Only) -> QuerySet[CostDay]:
    return CostDay.objects.filter(day__range=(since, until), **only.lookups()).order_by()


def _key_text(by: Dimension, value: Any) -> str:
    if value is None:
        return ""
    return f"{value:%Y-%m}" if by is Dimension.MONTH else str(value)


def _labels(by: Dimension, keys: Sequence[Any]) -> dict[Any, str]:
    """Return the names of the things that have one."""
    wanted = [key for key in keys if key is not None]
    if by is Dimension.PROVIDER:
        return dict(Provider.objects.filter(pk__in=wanted).values_list("pk", "name"))
    if by is Dimension.OWNER:
        return dict(User.objects.filter(pk__in=wanted).values_list("pk", "email"))
    if by is Dimension.API_KEY:
        return {key.pk: str(key) for key in ApiKey.objects.filter(pk__in=wanted)}
    return {}


def _months_at_work(provider_ids: Sequence[UUID], months: Sequence[date]) -> set[tuple[UUID, date]]:
    if not provider_ids:
        return set()
    until = months[-1] + timedelta(days=31)
    rows = (
        CostDay.objects.filter(provider_id__in=provider_ids, day__range=(months[0], until))
        .order_by()
        .values_list("provider_id", TruncMonth("day"))
        .distinct()
    )
    return {(provider_id, month) for provider_id, month in rows}
