"""Writes to routing rules: the same for admin and API.

Faults name the field: a column of the rule, `tags[0]`, or `targets[1].weight`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from django.db import transaction

from accounts.models import ApiKey
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.sql import advisory_key, lock_for_transaction
from providers.account_faults import Fault, read_domains
from providers.mail_types import fault_of_type
from providers.models import Provider, RoutingRule, RoutingTarget
from providers.routing import Strategy, Target
from providers.selectors import forget_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

#: Every message is compared with the rules of its owner and everybody's.
MAX_RULES = 100
MAX_TARGETS = 50
MAX_VALUES = 200
MAX_NAME_CHARS = 100
_MAX_SMALL, _MAX_BALANCE, _MAX_WEIGHT = 32_767, 100, 1_000
_MAX_TAG_CHARS = 64
_EMAIL_TYPE = re.compile(r"[-A-Za-z0-9_]{1,40}\Z")


class RuleFields(TypedDict, total=False):
    """Columns of a rule that may be left out; the model's defaults apply."""

    position: int
    is_active: bool
    email_types: Sequence[str]
    sender_domains: Sequence[str]
    recipient_domains: Sequence[str]
    tags: Sequence[str]
    api_key_ids: Sequence[UUID]
    strategy: str
    is_exclusive: bool
    cost_weight: int
    reliability_weight: int
    latency_weight: int


class RuleChanges(RuleFields, total=False):
    """What can be changed of a rule."""

    owner_id: UUID | None
    name: str
    #: Replaces all targets.
    targets: Sequence[Target]


def create_rule(
    *,
    owner_id: UUID | None,
    name: str,
    targets: Sequence[Target],
    **fields: Unpack[RuleFields],
) -> RoutingRule:
    """Create a rule; without an owner it is for everybody's mail.

    Raises `InvalidInputError` with every fault.
    """
    rule = RoutingRule(owner_id=owner_id, name=name)
    for field, value in fields.items():
        setattr(rule, field, value)
    with transaction.atomic():
        return _save(rule, targets)


def update_rule(rule_id: UUID, **changes: Unpack[RuleChanges]) -> RoutingRule:
    """Change a rule; whatever is not named stays.

    Raises `NotFoundError` and `InvalidInputError` with every fault.
    """
    with transaction.atomic():
        rule = RoutingRule.objects.select_for_update().filter(pk=rule_id).first()
        if rule is None:
            raise NotFoundError("There is no such routing rule.")
        targets = changes.pop("targets", None)
        if targets is None:
            targets = [Target(each.provider_id, each.weight) for each in rule.targets.all()]
        for field, value in changes.items():
            setattr(rule, field, value)
        return _save(rule, targets)


def delete_rule(rule_id: UUID) -> None:
    """Delete a rule. Raises `NotFoundError`."""
    with transaction.atomic():
        count, _ = RoutingRule.objects.filter(pk=rule_id).delete()
        if not count:
            raise NotFoundError("There is no such routing rule.")
        transaction.on_commit(forget_snapshot)


def _save(rule: RoutingRule, targets: Sequence[Target]) -> RoutingRule:
    # Two rules of one owner must not get one name beside each other, nor pass the limit.
    lock_for_transaction(advisory_key("routing rules", rule.owner_id))
    # Nobody deletes an account or gives it to somebody else meanwhile.
    named = {target.provider_id for target in targets}
    list(Provider.objects.select_for_update(no_key=True).filter(pk__in=named).order_by("pk"))
    faults = [*rule_faults(rule), *target_faults(rule, targets)]
    if faults:
        raise InvalidInputError.for_fields(faults)
    rule.save()
    rule.targets.all().delete()
    RoutingTarget.objects.bulk_create(
        RoutingTarget(
            rule=rule, provider_id=target.provider_id, position=place, weight=target.weight
        )
        for place, target in enumerate(targets)
    )
    transaction.on_commit(forget_snapshot)
    return rule


def rule_faults(rule: RoutingRule) -> list[Fault]:
    """Return what is wrong with a rule but for its targets; its conditions become canonical."""
    rule.name = rule.name.strip()
    return [*_name_faults(rule), *_number_faults(rule), *_condition_faults(rule)]


def _name_faults(rule: RoutingRule) -> list[Fault]:
    if not rule.name:
        return [("name", "required", "Give the rule a name.")]
    if len(rule.name) > MAX_NAME_CHARS:
        return [("name", "too_long", f"A name has at most {MAX_NAME_CHARS} characters.")]
    if not rule.name.isprintable():
        return [("name", "invalid", "Use printable characters.")]
    others = RoutingRule.objects.filter(owner_id=rule.owner_id).exclude(pk=rule.pk)
    if others.filter(name=rule.name).exists():
        return [("name", "exists", "Another rule of this owner has this name.")]
    if others.count() >= MAX_RULES:
        return [("name", "too_many", f"An owner has at most {MAX_RULES} rules.")]
    return []


def _number_faults(rule: RoutingRule) -> list[Fault]:
    bounds = (
        ("position", rule.position, _MAX_SMALL),
        ("cost_weight", rule.cost_weight, _MAX_BALANCE),
        ("reliability_weight", rule.reliability_weight, _MAX_BALANCE),
        ("latency_weight", rule.latency_weight, _MAX_BALANCE),
    )
    faults = [
        (field, "out_of_range", f"Must be from 0 to {most:,}.")
        for field, value, most in bounds
        if not 0 <= value <= most
    ]
    if rule.strategy not in set(Strategy):
        known = ", ".join(Strategy)
        faults.append(("strategy", "invalid_choice", f"Unknown strategy; known are {known}."))
    is_weightless = not (rule.cost_weight or rule.reliability_weight or rule.latency_weight)
    if rule.strategy == Strategy.BALANCED and is_weightless:
        faults.append(("cost_weight", "invalid", "At least one of the weights must not be 0."))
    return faults


def _condition_faults(rule: RoutingRule) -> list[Fault]:
    rule.email_types, faults = _read_texts(
        rule.email_types, "email_types", is_email_type, "No name of an email type."
    )
    faults = faults or _type_faults(rule)
    rule.tags, found = _read_texts(
        rule.tags, "tags", _is_tag, f"A tag has 1 to {_MAX_TAG_CHARS} printable characters."
    )
    faults += found
    rule.sender_domains, found = read_domains(rule.sender_domains, "sender_domains")
    faults += found
    rule.recipient_domains, found = read_domains(rule.recipient_domains, "recipient_domains")
    return [*faults, *found, *_key_faults(rule)]


def _type_faults(rule: RoutingRule) -> list[Fault]:
    """Refuse types that there are not; one that was deleted may stay where it is."""
    kept = RoutingRule.objects.filter(pk=rule.pk).values_list("email_types", flat=True).first()
    return [
        (f"email_types[{place}]", "not_found", words)
        for place, name in enumerate(rule.email_types)
        if name not in (kept or ()) and (words := fault_of_type(name))
    ]


def is_email_type(value: str) -> bool:
    """Tell whether a text can be the name of an email type."""
    return bool(_EMAIL_TYPE.match(value))


def _is_tag(value: str) -> bool:
    return 1 <= len(value) <= _MAX_TAG_CHARS and value.isprintable() and not value.isspace()


def _read_texts(
    values: Sequence[str], field: str, is_valid: Callable[[str], bool], message: str
) -> tuple[list[str], list[Fault]]:
    if len(values) > MAX_VALUES:
        return [], [(field, "too_many", f"At most {MAX_VALUES} values.")]
    faults = [
        (f"{field}[{place}]", "invalid", message)
        for place, value in enumerate(values)
        if not is_valid(value)
    ]
    return list(dict.fromkeys(values)), faults


def _key_faults(rule: RoutingRule) -> list[Fault]:
    rule.api_key_ids = list(dict.fromkeys(rule.api_key_ids))
    if len(rule.api_key_ids) > MAX_VALUES:
        return [("api_key_ids", "too_many", f"At most {MAX_VALUES} values.")]
    keys = ApiKey.objects.filter(pk__in=rule.api_key_ids)
    if rule.owner_id is not None:
        keys = keys.filter(user_id=rule.owner_id)
    known = set(keys.values_list("pk", flat=True))
    return [
        (f"api_key_ids[{place}]", "not_found", "There is no such API key.")
        for place, key_id in enumerate(rule.api_key_ids)
        if key_id not in known
    ]


def target_faults(rule: RoutingRule, targets: Sequence[Target]) -> list[Fault]:
    """Return what is wrong with the targets a rule is to have."""
    if not targets:
        return [("targets", "required", "Name at least one provider.")]
    if len(targets) > MAX_TARGETS:
        return [("targets", "too_many", f"A rule has at most {MAX_TARGETS} targets.")]
    known = _usable_by(rule.owner_id)
    faults: list[Fault] = []
    seen: set[UUID] = set()
    for place, target in enumerate(targets):
        path = f"targets[{place}]"
        if target.provider_id not in known:
            faults.append((f"{path}.provider_id", "not_found", _NO_PROVIDER[rule.owner_id is None]))
        elif target.provider_id in seen:
            faults.append((f"{path}.provider_id", "duplicate", "This provider is named twice."))
        if not 0 <= target.weight <= _MAX_WEIGHT:
            message = f"Must be from 0 to {_MAX_WEIGHT:,}."
            faults.append((f"{path}.weight", "out_of_range", message))
        seen.add(target.provider_id)
    is_weightless = not any(target.weight for target in targets)
    if rule.strategy == Strategy.WEIGHTED_SPLIT and is_weightless:
        faults.append(("targets[0].weight", "invalid", "At least one weight must not be 0."))
    return faults


_NO_PROVIDER = {
    False: "There is no such provider.",
    True: "There is no such provider of the company; a rule for all cannot name one of a user.",
}


def _usable_by(owner_id: UUID | None) -> set[Any]:
    """Return the accounts that a rule of this owner may name."""
    if owner_id is None:
        accounts = Provider.objects.filter(owner__isnull=True)
    else:
        accounts = Provider.objects.usable_by(owner_id)
    return set(accounts.values_list("pk", flat=True))
