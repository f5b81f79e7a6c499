"""What a month will bring and cost, as far as the ledger of the last 90 days tells.

How much mail there will be is learnt from all mail looked at together, for routing may move it from
account to account any day; who will carry it, from each account's own days. A price list counts all
mails of an account, so what some of them will cost is their part of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from providers.costs import ALL, Dimension, Only, fees, totals, volumes
from providers.forecast import MAX_DAYS, MIN_DAYS, Estimate, project
from providers.models import Provider
from providers.months import days_of, month_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from providers.pricing import Pricing

    #: Mails by account and day.
    Volumes = Mapping[UUID, Mapping[date, int]]

_RECENT_DAYS = 7


@dataclass(frozen=True, slots=True)
class AccountOutlook:
    """One account's part of a month."""

    provider_id: UUID
    name: str
    #: What it has carried and cost in this month so far.
    mails: int
    nanos: int
    #: What is still to come.
    mails_to_come: int
    nanos_to_come: int
    fee_nanos: int

    @property
    def total_mails(self) -> int:
        """Return the mails of the whole month."""
        return self.mails + self.mails_to_come

    @property
    def total_nanos(self) -> int:
        """Return the cost of the whole month, the fee included."""
        return self.nanos + self.nanos_to_come + self.fee_nanos


@dataclass(frozen=True, slots=True)
class Outlook:
    """A running or coming month."""

    month: date
    #: In this month so far.
    mails: int
    nanos: int
    fee_nanos: int
    #: The whole month; None if there is not enough data. Costs include the fees.
    mail_estimate: Estimate | None
    nano_estimate: Estimate | None
    #: Those with mail or a fee, the dearest first.
    accounts: Sequence[AccountOutlook]
    #: How many of the last 90 days can be learnt from.
    day_count: int

    @property
    def spent_nanos(self) -> int:
        """Return what is spent so far, the fees included."""
        return self.nanos + self.fee_nanos

    @property
    def why_not(self) -> str:
        """Return why there is no estimate, in words; empty if there is one."""
        if self.mail_estimate is not None:
            return ""
        return (
            f"Not enough data: a forecast needs {MIN_DAYS} whole days since the first mail, and "
            f"there {'is' if self.day_count == 1 else 'are'} {self.day_count}."
        )


@dataclass(frozen=True, slots=True)
class _Load:
    """What an account has carried and will carry, of all mail and of the mail looked at."""

    pricing: Pricing
    #: All mails of the account in the month so far, and those to come.
    all_mails: int
    all_to_come: int
    mails: int
    nanos: int
    #: Its part of what is to come, in any unit.
    weight: int

    def nanos_for(self, mails: int, *, is_all: bool) -> int:
        """Return what so many further mails cost."""
        if is_all:
            return self.pricing.nanos_between(self.all_mails, self.all_mails + mails)
        to_come = max(self.all_to_come, mails)
        if not to_come:
            return 0
        whole = self.pricing.nanos_between(self.all_mails, self.all_mails + to_come)
        return whole * mails // to_come


def recent_volumes(today: date, only: Only = ALL) -> Volumes:
    """Return the mails from which is learnt, by account and day."""
    return volumes(since=today - timedelta(days=MAX_DAYS), until=today, only=only)


def outlook(
    month: date, *, today: date, only: Only = ALL, everything: Volumes | None = None
) -> Outlook:
    """Return what the running or a coming month brings. Raises `ValueError` for one that is over.

    `today` is the day in whose course we are; `everything` is `recent_volumes(today)` of whoever
    asks for several.
    """
    if month < month_of(today):
        raise ValueError("This month is over.")
    is_all = only == Only(provider_id=only.provider_id)
    if everything is None:
        everything = recent_volumes(today, only if is_all else ALL)
    looked_at = everything
    if only != ALL:
        looked_at = _of_account(everything, only) if is_all else recent_volumes(today, only)
    days = [day for day in days_of(month) if day >= today]
    counts = _added(looked_at.values())
    to_come = project(counts, today=today, days=days)
    spent = _spent(month, today, only) if month == month_of(today) else {}
    owed = fees([month], only=only)
    ids = {*looked_at, *spent, *(provider_id for _, provider_id in owed.nanos)}
    accounts = Provider.objects.defer("secrets", "settings").in_bulk(list(ids))
    loads = {}
    for provider_id, provider in accounts.items():
        loads[provider_id] = _Load(
            pricing=provider.pricing,
            all_mails=_since(everything.get(provider_id, {}), month),
            all_to_come=_expected(everything.get(provider_id, {}), today=today, days=days),
            mails=spent.get(provider_id, (0, 0))[0],
            nanos=spent.get(provider_id, (0, 0))[1],
            weight=_expected(looked_at.get(provider_id, {}), today=today, days=days),
        )
    found = [
        AccountOutlook(
            provider_id=provider_id,
            name=accounts[provider_id].name,
            mails=loads[provider_id].mails,
            nanos=loads[provider_id].nanos,
            mails_to_come=mails,
            nanos_to_come=loads[provider_id].nanos_for(mails, is_all=is_all),
            fee_nanos=owed.of_account(provider_id),
        )
        for provider_id, mails in _shares(loads, to_come.expected if to_come else 0).items()
    ]
    mails, nanos = (sum(each[part] for each in spent.values()) for part in (0, 1))
    return Outlook(
        month=month,
        mails=mails,
        nanos=nanos,
        fee_nanos=owed.total,
        mail_estimate=to_come + _exactly(mails) if to_come else None,
        nano_estimate=_priced(to_come, loads, is_all=is_all) + _exactly(nanos + owed.total)
        if to_come
        else None,
        accounts=sorted(found, key=lambda each: (-each.total_nanos, each.name)),
        day_count=_known_days(counts, today),
    )


def apportion(whole: int, weights: Mapping[UUID, int]) -> dict[UUID, int]:
    """Share a number out by weights, to the last one (largest remainders first)."""
    total = sum(weights.values())
    if not total:
        return dict.fromkeys(weights, 0)
    found = {key: whole * weight // total for key, weight in weights.items()}
    by_rest = sorted(weights, key=lambda key: -(whole * weights[key] % total))
    for key in by_rest[: whole - sum(found.values())]:
        found[key] += 1
    return found


def _shares(loads: Mapping[UUID, _Load], mails: int) -> dict[UUID, int]:
    return apportion(mails, {key: load.weight for key, load in loads.items()})


def _priced(estimate: Estimate, loads: Mapping[UUID, _Load], *, is_all: bool) -> Estimate:
    def cost(mails: int) -> int:
        shares = _shares(loads, mails)
        return sum(loads[key].nanos_for(part, is_all=is_all) for key, part in shares.items())

    return Estimate(cost(estimate.expected), cost(estimate.low), cost(estimate.high))


def _exactly(number: int) -> Estimate:
    return Estimate(number, number, number)


def _spent(month: date, today: date, only: Only) -> dict[UUID, tuple[int, int]]:
    """Return mails and nanos by account since the month began.

    Somewhere it is tomorrow already, so a day more is looked at.
    """
    until = min(today + timedelta(days=1), days_of(month)[-1])
    rows = totals(since=month, until=until, by=Dimension.PROVIDER, only=only)
    return {UUID(row.key): (row.mails, row.nanos) for row in rows}


def _of_account(everything: Volumes, only: Only) -> Volumes:
    return {key: counts for key, counts in everything.items() if key == only.provider_id}


def _since(counts: Mapping[date, int], month: date) -> int:
    return sum(mails for day, mails in counts.items() if day >= month)


def _added(series: Iterable[Mapping[date, int]]) -> dict[date, int]:
    added: dict[date, int] = {}
    for counts in series:
        for day, mails in counts.items():
            added[day] = added.get(day, 0) + mails
    return added


def _expected(counts: Mapping[date, int], *, today: date, days: Sequence[date]) -> int:
    """Return what an account is expected to carry; of a new one by its last week."""
    estimate = project(counts, today=today, days=days)
    if estimate is not None:
        return estimate.expected
    recent = sum(counts.get(today - timedelta(days=back), 0) for back in range(_RECENT_DAYS))
    return recent * len(days) // _RECENT_DAYS


def _known_days(counts: Mapping[date, int], today: date) -> int:
    first = min((day for day, mails in counts.items() if mails), default=today)
    return max(0, (today - first).days)
