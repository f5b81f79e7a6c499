"""The fields of a question for the cheapest split, and of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings

from providers.account_faults import MAX_FEE
from providers.amounts import exact_text
from providers.api.reading import (
    Faults,
    are_ids,
    are_objects,
    as_amount,
    is_amount,
    is_flag,
    is_id,
    is_number,
    is_object,
    is_text,
    read_members,
)
from providers.months import parse_month
from providers.planning import MAX_VOLUME, Question, Supposed
from providers.pricing import MAX_MAILS, MAX_PRICE, PRICE_DECIMALS, read_tiers
from providers.rules import is_email_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from providers.api.reading import Table
    from providers.split_report import Plan, Row, Suggestion

_QUESTION: Table = {
    "month": ("month", is_text),
    "volume": ("volume", is_number),
    "volumes": ("volumes", is_object),
    "use_forecast": ("use_forecast", is_flag),
    "accounts": ("accounts", are_ids),
    "follow_rules": ("is_by_type", is_flag),
    "what_if": ("what_if", are_objects),
}


def _is_list(value: object) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list):
        yield "", "This must be a list."


_SUPPOSED: Table = {
    "provider_id": ("provider_id", is_id),
    "price_per_thousand": ("price_per_thousand", is_amount(PRICE_DECIMALS)),
    "free_per_month": ("free_per_month", is_number),
    "price_tiers": ("price_tiers", _is_list),
    "monthly_fee": ("monthly_fee", is_amount(2)),
    "capacity": ("capacity", is_number),
    "at_least": ("at_least", is_number),
    "at_most": ("at_most", is_number),
    "left_out": ("is_out", is_flag),
}
_BOUNDS: Mapping[str, Any] = {
    "price_per_thousand": MAX_PRICE,
    "free_per_month": MAX_MAILS,
    "monthly_fee": MAX_FEE,
    "capacity": MAX_MAILS,
    "at_least": MAX_MAILS,
    "at_most": MAX_MAILS,
}
_MAX_TYPES = 200


def read_question(data: object, *, known: frozenset[UUID], default: date) -> Question:
    """Return the question of a request. Raises `InvalidInputError` with every fault."""
    faults = Faults()
    given = read_members(data, _QUESTION, faults, ignored=frozenset())
    month = _read_month(given.get("month"), default, faults)
    volume = _read_volume(given, faults)
    accounts = _read_accounts(given.get("accounts"), known, faults)
    supposed = _read_what_if(given.get("what_if") or (), known, faults)
    faults.raise_if_any()
    return Question(
        month=month,
        volume=volume,
        provider_ids=accounts,
        supposed=supposed,
        is_by_type=given.get("is_by_type") is not False,
    )


def _read_month(text: str | None, default: date, faults: Faults) -> date:
    if text is None:
        return default
    try:
        return parse_month(text)
    except ValueError as error:
        faults.append(("month", "invalid", str(error)))
        return default


def _read_volume(given: Mapping[str, Any], faults: Faults) -> int | Mapping[str, int] | None:
    """Return what is to be shared out; exactly one way to say it must be used."""
    ways = [
        name
        for name in ("volume", "volumes", "use_forecast")
        if given.get(name) is not None and given[name] is not False
    ]
    if len(ways) != 1:
        words = "Give either “volume”, “volumes” by email type, or “use_forecast”."
        faults.append((ways[-1] if ways else "volume", "required", words))
        return None
    if ways == ["use_forecast"]:
        return None
    values: Mapping[str, Any] = given["volumes"] if ways == ["volumes"] else {"": given["volume"]}
    faults += _volume_faults(values, ways[0])
    return values if ways == ["volumes"] else given["volume"]


def _volume_faults(values: Mapping[str, Any], name: str) -> Iterator[tuple[str, str, str]]:
    if not 1 <= len(values) <= _MAX_TYPES:
        yield name, "invalid", f"Give 1 to {_MAX_TYPES} email types."
        return
    whole = 0
    for key, value in values.items():
        path = f"{name}.{key[:64]}" if key else name
        if name == "volumes" and not is_email_type(key):
            yield path, "invalid", "No name of an email type."
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            yield path, "invalid_type", "This must be a whole number, not below 0."
        else:
            whole += value
    if not 1 <= whole <= MAX_VOLUME:
        yield name, "out_of_range", f"Must be from 1 to {MAX_VOLUME:,} mails."


def _read_accounts(
    values: Sequence[str] | None, known: frozenset[UUID], faults: Faults
) -> frozenset[UUID] | None:
    if values is None:
        return None
    if not values:
        faults.append(("accounts", "required", "Name at least one account."))
    for place, value in enumerate(values):
        if UUID(value) not in known:
            faults.append((f"accounts[{place}]", "not_found", "There is no such provider."))
    return frozenset(map(UUID, values))


def _read_what_if(
    items: Sequence[Any], known: frozenset[UUID], faults: Faults
) -> dict[UUID, Supposed]:
    found: dict[UUID, Supposed] = {}
    for place, item in enumerate(items):
        path = f"what_if[{place}]"
        given = read_members(item, _SUPPOSED, faults, path=path, ignored=frozenset())
        values = {name: value for name, value in given.items() if value is not None}
        faults += _supposed_faults(values, path, known)
        supposed = _supposed(values, path, faults)
        if supposed is not None and "provider_id" in values:
            found[UUID(values["provider_id"])] = supposed
    return found


def _supposed_faults(
    values: Mapping[str, Any], path: str, known: frozenset[UUID]
) -> Iterator[tuple[str, str, str]]:
    if "provider_id" not in values:
        yield f"{path}.provider_id", "required", "This field is required."
    elif UUID(values["provider_id"]) not in known:
        yield f"{path}.provider_id", "not_found", "There is no such provider."
    for name, most in _BOUNDS.items():
        amount = as_amount(values.get(name))
        if amount is not None and not (amount.is_finite() and 0 <= amount <= most):
            yield f"{path}.{name}", "out_of_range", f"Must be from 0 to {most:,}."


def _supposed(values: Mapping[str, Any], path: str, faults: Faults) -> Supposed | None:
    tiers = None
    if "price_tiers" in values:
        try:
            tiers = read_tiers(values["price_tiers"])
        except ValueError as error:
            faults.append((f"{path}.price_tiers", "invalid", str(error)))
            return None
    return Supposed(
        price_per_thousand=as_amount(values.get("price_per_thousand")),
        free_per_month=values.get("free_per_month"),
        tiers=tiers,
        monthly_fee=as_amount(values.get("monthly_fee")),
        capacity=values.get("capacity"),
        at_least=values.get("at_least", 0),
        at_most=values.get("at_most"),
        is_out=values.get("is_out", False),
    )


def present_plan(plan: Plan) -> dict[str, Any]:
    """Return the answer as the API shows it."""
    present = plan.present_nanos
    saved = plan.saved_nanos
    return {
        "month": f"{plan.month:%Y-%m}",
        "currency": settings.CURRENCY,
        "volume": plan.volume,
        "is_forecast": plan.is_forecast,
        "message": plan.sentence,
        "total": exact_text(plan.nanos),
        "is_cheapest": plan.gap_nanos == 0,
        "at_most_cheaper_by": exact_text(plan.gap_nanos),
        "present": None
        if present is None or saved is None
        else {
            "total": exact_text(present),
            "saved": exact_text(saved),
            "saved_percent": plan.saved_percent,
            "exceeds_limits": plan.is_present_too_much,
        },
        "accounts": [_present_row(row) for row in plan.rows],
        "suggested_rules": [_present_suggestion(each) for each in plan.suggestions],
        "remarks": list(plan.remarks),
    }


def _present_row(row: Row) -> dict[str, Any]:
    average = row.nanos_per_thousand
    return {
        "provider_id": row.provider_id,
        "name": row.name,
        "mails": row.mails,
        "percent": row.percent,
        "cost": exact_text(row.nanos),
        "fee": exact_text(row.fee_nanos),
        "total": exact_text(row.total_nanos),
        "average_per_thousand": None if average is None else exact_text(average),
        "capacity": row.capacity,
        "explanation": row.words,
        "present_mails": row.present_mails,
        "present_total": None if row.present_nanos is None else exact_text(row.present_nanos),
    }


def _present_suggestion(suggestion: Suggestion) -> dict[str, Any]:
    """Return a rule as `POST /routing-rules` takes it, but for its name."""
    return {
        "conditions": {"email_types": list(suggestion.email_types)},
        "strategy": "weighted_split",
        "targets": [
            {"provider_id": provider_id, "name": name, "weight": weight}
            for provider_id, name, weight in suggestion.targets
        ],
    }
