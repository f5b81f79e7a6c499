"""Next month's cheapest split with the accounts, limits, rules and ledger there are."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from providers.costs import Dimension, Only, totals
from providers.models import Provider, ProviderKind, RoutingRule
from providers.months import days_of
from providers.outlook import apportion, outlook
from providers.routing import Strategy
from providers.split import MAX_ACCOUNTS, MAX_KINDS, Account, Kind, NoSplitError, Split, cheapest
from providers.split_report import Plan, Row, Suggestion, left_out, taken
from providers.warm_up import warm_up_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from decimal import Decimal

    from providers.pricing import Tier

#: The days that say who carries what at present.
PRESENT_DAYS = 30
MAX_VOLUME = 2_147_483_647
#: Weights of a rule go to 1,000.
_WHOLE_WEIGHT = 1_000
_ALL_MAIL = "all mail"
_NOWHERE = {ProviderKind.INBOX.value, ProviderKind.SIMULATOR.value}
_HOURS, _SECONDS = 24, 86_400


@dataclass(frozen=True)
class Supposed:
    """What is supposed of an account; None: as it is."""

    price_per_thousand: Decimal | None = None
    free_per_month: int | None = None
    tiers: tuple[Tier, ...] | None = None
    monthly_fee: Decimal | None = None
    #: Mails of the month, instead of what its limits allow.
    capacity: int | None = None
    at_least: int = 0
    at_most: int | None = None
    is_out: bool = False


@dataclass(frozen=True)
class Question:
    """What is asked."""

    month: date
    #: Mails of the month, or mails by email type; None for what the forecast expects.
    volume: int | Mapping[str, int] | None = None
    #: None for all active accounts of the company.
    provider_ids: frozenset[UUID] | None = None
    supposed: Mapping[UUID, Supposed] = field(default_factory=dict)
    #: Heed the rules that say which accounts may take an email type.
    is_by_type: bool = True


@dataclass(frozen=True)
class _Kinds:
    kinds: Sequence[Kind]
    #: Email types by the name of their kind; none for all mail.
    types: Mapping[str, Sequence[str]]
    remarks: Sequence[str] = ()


def plan_split(question: Question, *, today: date) -> Plan:
    """Return the cheapest split. Raises `NoSplitError` with the reason in words."""
    providers = candidates(question.provider_ids)
    accounts = [_account(each, question) for each in providers if _is_in(each, question)]
    if len(accounts) > MAX_ACCOUNTS:
        raise NoSplitError(
            f"{len(accounts)} accounts are too many to compare: name at most {MAX_ACCOUNTS}."
        )
    volume = _volume(question, today)
    kinds = _kinds(question, volume, today=today, ids={each.provider_id for each in accounts})
    split = cheapest(accounts, kinds.kinds)
    present = _present(accounts, sum(kind.mails for kind in kinds.kinds), today)
    rows = _rows(accounts, kinds.kinds, split, present)
    present_nanos = None
    if present is not None:
        present_nanos = sum(row.present_nanos or 0 for row in rows)
    return Plan(
        month=question.month,
        volume=sum(kind.mails for kind in kinds.kinds),
        is_forecast=question.volume is None,
        rows=rows,
        nanos=split.nanos,
        gap_nanos=split.gap_nanos,
        present_nanos=present_nanos,
        is_present_too_much=_is_too_much(accounts, present),
        suggestions=_suggestions(accounts, kinds, split),
        remarks=kinds.remarks,
    )


def candidates(provider_ids: frozenset[UUID] | None) -> list[Provider]:
    """Return the accounts to compare: those named, else the company's that are active.

    What delivers nowhere is left out as long as something else delivers.
    """
    accounts = Provider.objects.defer("secrets", "settings").order_by("position", "pk")
    if provider_ids is not None:
        return list(accounts.filter(pk__in=provider_ids))
    found = list(accounts.filter(owner__isnull=True, is_active=True))
    return [each for each in found if each.kind not in _NOWHERE] or found


def capacity_of(provider: Provider, month: date) -> int | None:
    """Return how many mails an account's limits let through in a month; None without limits.

    What is kept for priority 1 is left out, and mail is taken to come evenly.
    """
    limits = []
    for day in days_of(month):
        per_day = [
            provider.daily_limit,
            warm_up_limit(provider.warm_up, day),
            None if provider.hourly_limit is None else provider.hourly_limit * _HOURS,
            None if provider.rate_per_second is None else int(provider.rate_per_second * _SECONDS),
        ]
        known = [limit for limit in per_day if limit is not None]
        limits.append(min(known) if known else None)
    bounds = [] if None in limits else [sum(limit for limit in limits if limit is not None)]
    if provider.monthly_limit is not None:
        bounds.append(provider.monthly_limit)
    if not bounds:
        return None
    least = min(bounds)
    return least - least * provider.priority_reserve // 100


def _is_in(provider: Provider, question: Question) -> bool:
    supposed = question.supposed.get(provider.pk)
    return supposed is None or not supposed.is_out


def _account(provider: Provider, question: Question) -> Account:
    supposed = question.supposed.get(provider.pk, Supposed())
    prices = {
        "price_per_thousand": supposed.price_per_thousand,
        "free_per_month": supposed.free_per_month,
        "tiers": supposed.tiers,
        "monthly_fee": supposed.monthly_fee,
    }
    changed = {name: value for name, value in prices.items() if value is not None}
    pricing = replace(provider.pricing, **changed)  # type: ignore[arg-type]  # names are its fields
    if pricing.tiers and pricing.tiers[0].above <= pricing.free_per_month:
        raise NoSplitError(f"{provider.name}: the first tier must begin above the free mails.")
    capacity = supposed.capacity
    return Account(
        provider_id=provider.pk,
        name=provider.name,
        pricing=pricing,
        capacity=capacity_of(provider, question.month) if capacity is None else capacity,
        at_least=supposed.at_least,
        at_most=supposed.at_most,
    )


def _volume(question: Question, today: date) -> int | Mapping[str, int]:
    if question.volume is not None:
        return question.volume
    coming = outlook(question.month, today=today)
    if coming.mail_estimate is None:
        raise NoSplitError(f"{coming.why_not} Give the volume yourself.")
    if not coming.mail_estimate.expected:
        raise NoSplitError("The forecast expects no mail. Give the volume yourself.")
    return coming.mail_estimate.expected


def _kinds(
    question: Question, volume: int | Mapping[str, int], *, today: date, ids: set[UUID]
) -> _Kinds:
    if isinstance(volume, int):
        if not question.is_by_type:
            return _Kinds([Kind(_ALL_MAIL, volume)], {_ALL_MAIL: ()})
        volume = _by_type(volume, today)
    eligible, remarks = _eligible(volume) if question.is_by_type else ({}, [])
    grouped: dict[frozenset[UUID] | None, list[str]] = defaultdict(list)
    for name in sorted(volume):
        grouped[eligible.get(name)].append(name)
    if len(grouped) > MAX_KINDS:
        raise NoSplitError(f"The rules tell more than {MAX_KINDS} kinds of mail apart.")
    if len(grouped) == 1 and None in grouped:
        return _Kinds([Kind(_ALL_MAIL, sum(volume.values()))], {_ALL_MAIL: ()}, remarks)
    kinds, types = [], {}
    for places, names in grouped.items():
        label = ", ".join(name or _ALL_MAIL for name in names)
        if places is not None and not places & ids:
            raise NoSplitError(f"A rule sends {label} through other accounts only.")
        kinds.append(Kind(label, sum(volume[name] for name in names), places))
        types[label] = [name for name in names if name]
    return _Kinds(kinds, types, remarks)


def _by_type(volume: int, today: date) -> dict[str, int]:
    """Share a volume out among the email types as the last 30 days did."""
    rows = totals(since=_present_since(today), until=today, by=Dimension.EMAIL_TYPE)
    weights = {row.key: row.mails for row in rows if row.mails}
    if not weights:
        return {"": volume}
    # By place, as `apportion` is told ids.
    places = {UUID(int=place): name for place, name in enumerate(weights)}
    parts = apportion(volume, {key: weights[name] for key, name in places.items()})
    return {places[key]: mails for key, mails in parts.items() if mails}


def _eligible(names: Iterable[str]) -> tuple[dict[str, frozenset[UUID] | None], list[str]]:
    """Return the accounts that the company's rules leave to each email type; None for all."""
    rules = list(
        RoutingRule.objects.filter(owner__isnull=True, is_active=True)
        .order_by("position", "id")
        .prefetch_related("targets")
    )
    partial = [rule.name for rule in rules if _has_other_conditions(rule)]
    remarks = []
    if partial:
        remarks.append(
            "Rules with conditions other than the email type are not taken into account: "
            f"{', '.join(partial[:5])}{' …' if len(partial) > 5 else ''}."  # noqa: PLR2004 - a line's worth
        )
    found: dict[str, frozenset[UUID] | None] = {}
    for name in names:
        rule = next((each for each in rules if _is_for(each, name)), None)
        found[name] = None
        # What splits by weight binds nobody: it is what the answer replaces.
        if rule is not None and rule.is_exclusive and rule.strategy != Strategy.WEIGHTED_SPLIT:
            found[name] = frozenset(target.provider_id for target in rule.targets.all())
    return found, remarks


def _has_other_conditions(rule: RoutingRule) -> bool:
    return bool(rule.sender_domains or rule.recipient_domains or rule.tags or rule.api_key_ids)


def _is_for(rule: RoutingRule, email_type: str) -> bool:
    """Tell whether a rule is for all mail of a type."""
    if _has_other_conditions(rule):
        return False
    return not rule.email_types or email_type in rule.email_types


def _present_since(today: date) -> date:
    return today - timedelta(days=PRESENT_DAYS - 1)


def _present(accounts: Sequence[Account], volume: int, today: date) -> dict[UUID, int] | None:
    """Return the mails of each account if shares stay as in the last 30 days."""
    rows = totals(since=_present_since(today), until=today, by=Dimension.PROVIDER, only=Only())
    carried = {row.key: row.mails for row in rows}
    weights = {each.provider_id: carried.get(str(each.provider_id), 0) for each in accounts}
    return apportion(volume, weights) if any(weights.values()) else None


def _is_too_much(accounts: Sequence[Account], present: Mapping[UUID, int] | None) -> bool:
    return present is not None and any(
        account.capacity is not None and present[account.provider_id] > account.capacity
        for account in accounts
    )


def _rows(
    accounts: Sequence[Account],
    kinds: Sequence[Kind],
    split: Split,
    present: Mapping[UUID, int] | None,
) -> list[Row]:
    volume = sum(kind.mails for kind in kinds)
    rows = []
    for account in accounts:
        mails = split.mails[account.provider_id]
        before = None if present is None else present[account.provider_id]
        pricing = account.pricing
        rows.append(
            Row(
                provider_id=account.provider_id,
                name=account.name,
                mails=mails,
                percent=round(100 * mails / volume, 1),
                nanos=pricing.nanos_for(mails),
                fee_nanos=pricing.fee_nanos if mails else 0,
                capacity=account.capacity,
                words=taken(account, kinds, split)
                if mails
                else left_out(account, accounts, kinds, split),
                present_mails=before,
                present_nanos=None
                if before is None
                else pricing.fee_nanos + pricing.nanos_for(before),
            )
        )
    return sorted(rows, key=lambda row: -row.mails)


def _suggestions(accounts: Sequence[Account], kinds: _Kinds, split: Split) -> list[Suggestion]:
    names = {account.provider_id: account.name for account in accounts}
    found = []
    for kind in kinds.kinds:
        shares = split.kinds[kind.name]
        weights = apportion(_WHOLE_WEIGHT, shares)
        targets = [(key, names[key], max(1, weights[key])) for key in shares]
        targets.sort(key=lambda target: -target[2])
        found.append(Suggestion(kinds.types[kind.name], targets))
    return found
