"""The fields of a routing rule in the API, and how they lie in `RoutingRule`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from mailservice.core.errors import InvalidInputError
from providers.api.reading import (
    Faults,
    are_ids,
    are_texts,
    is_flag,
    is_id,
    is_number,
    is_text,
    read_members,
)
from providers.routing import Strategy, Target, rule_in_words
from providers.selectors import rule_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.api.reading import Table
    from providers.models import RoutingRule
    from providers.rules import RuleChanges

_COLUMNS: Table = {
    "name": ("name", is_text),
    "position": ("position", is_number),
    "active": ("is_active", is_flag),
    "strategy": ("strategy", is_text),
    "exclusive": ("is_exclusive", is_flag),
}
_CONDITIONS: Table = {
    "email_types": ("email_types", are_texts),
    "sender_domains": ("sender_domains", are_texts),
    "recipient_domains": ("recipient_domains", are_texts),
    "tags": ("tags", are_texts),
    "api_key_ids": ("api_key_ids", are_ids),
}
_WEIGHTS: Table = {
    "cost": ("cost_weight", is_number),
    "reliability": ("reliability_weight", is_number),
    "latency": ("latency_weight", is_number),
}
_TARGET: Table = {"provider_id": ("provider_id", is_id), "weight": ("weight", is_number)}
#: Members that hold others.
_PARTS = frozenset({"conditions", "weights", "targets"})
#: Shown, not set: accepted and ignored, so that what was read can be sent back.
_READ_ONLY = frozenset({"id", "message", "shared", "description", "created_at", "updated_at"})
#: What a field is that was not given, or is null.
_DEFAULTS: Mapping[str, Any] = {
    "position": 100,
    "is_active": True,
    "strategy": Strategy.FIXED_ORDER.value,
    "is_exclusive": True,
    "cost_weight": 1,
    "reliability_weight": 1,
    "latency_weight": 1,
    "email_types": [],
    "sender_domains": [],
    "recipient_domains": [],
    "tags": [],
    "api_key_ids": [],
}
_REQUIRED = ("name", "targets")
_PATHS = {
    column: f"{prefix}{name}"
    for prefix, table in (("", _COLUMNS), ("conditions.", _CONDITIONS), ("weights.", _WEIGHTS))
    for name, (column, _) in table.items()
}


def read_rule(data: object, *, is_complete: bool) -> RuleChanges:
    """Return the changes a request asks for. Raises `InvalidInputError` with every fault.

    With `is_complete`, what is not given takes its default; else it is left out.
    """
    faults = Faults()
    given = data if isinstance(data, dict) else {}
    found = read_members(data, _COLUMNS, faults, ignored=_READ_ONLY | _PARTS)
    for name, table in (("conditions", _CONDITIONS), ("weights", _WEIGHTS)):
        if name in given and given[name] is None:
            found |= {column: None for column, _ in table.values()}
        elif name in given:
            found |= read_members(given[name], table, faults, path=name, ignored=frozenset())
    if given.get("targets") is not None:
        found["targets"] = _read_targets(given["targets"], faults)
    for name in _REQUIRED:
        if given.get(name) is None and (is_complete or name in given):
            faults.append((name, "required", "This field is required."))
    faults.raise_if_any()
    return _changes(found, is_complete=is_complete)


def _changes(found: dict[str, Any], *, is_complete: bool) -> RuleChanges:
    values = {key: _DEFAULTS[key] if value is None else value for key, value in found.items()}
    if is_complete:
        values = {**_DEFAULTS, **values}
    if "api_key_ids" in values:
        values["api_key_ids"] = [UUID(value) for value in values["api_key_ids"]]
    changes: RuleChanges = values  # type: ignore[assignment]  # the tables name its keys
    return changes


def _read_targets(value: object, faults: Faults) -> list[Target]:
    if not isinstance(value, list):
        faults.append(("targets", "invalid_type", "This must be a list."))
        return []
    targets = []
    for place, item in enumerate(value):
        path = f"targets[{place}]"
        found = read_members(item, _TARGET, faults, path=path, ignored=frozenset({"name"}))
        if isinstance(item, dict) and item.get("provider_id") is None:
            faults.append((f"{path}.provider_id", "required", "This field is required."))
        if found.get("provider_id"):
            weight = found.get("weight")
            targets.append(Target(UUID(found["provider_id"]), 1 if weight is None else weight))
    return targets


def in_api_words(error: InvalidInputError) -> InvalidInputError:
    """Return a service's refusal with the API's names of the fields."""
    faults = []
    for path, found in error.details.items():
        column, bracket, rest = path.partition("[")
        renamed = _PATHS.get(column, column) + bracket + rest
        faults += [(renamed, fault["code"], fault["message"]) for fault in found]
    return InvalidInputError.for_fields(faults)


def present(rule: RoutingRule, key_names: Mapping[UUID, str]) -> dict[str, Any]:
    """Return a rule as the API shows it; its targets and their providers are loaded."""
    names = {each.provider_id: each.provider.name for each in rule.targets.all()}
    return {
        "id": rule.pk,
        "name": rule.name,
        "position": rule.position,
        "active": rule.is_active,
        "conditions": {name: getattr(rule, column) for name, (column, _) in _CONDITIONS.items()},
        "strategy": rule.strategy,
        "weights": {name: getattr(rule, column) for name, (column, _) in _WEIGHTS.items()},
        "exclusive": rule.is_exclusive,
        "targets": [
            {
                "provider_id": each.provider_id,
                "name": each.provider.name,
                "weight": each.weight,
            }
            for each in rule.targets.all()
        ],
        "description": rule_in_words(rule_of(rule), provider_names=names, key_names=key_names),
        "shared": rule.owner_id is None,
        "created_at": rule.created_at,
        "updated_at": rule.updated_at,
    }
