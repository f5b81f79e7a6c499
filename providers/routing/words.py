"""Rules as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.routing.facts import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from providers.routing.facts import Conditions, Rule

_HOW = {
    Strategy.FIXED_ORDER: "the first open one of",
    Strategy.CHEAPEST: "the cheapest of",
    Strategy.MOST_RELIABLE: "the most reliable of",
    Strategy.FASTEST: "the fastest of",
    Strategy.BALANCED: "the best balanced of",
    Strategy.WEIGHTED_SPLIT: "split among",
}


def conditions_in_words(conditions: Conditions, key_names: Mapping[UUID, str]) -> str:
    """Return which mail a rule is for, such as "marketing mail to *.example.com".

    `key_names` tells the names of API keys; one that is missing is gone.
    """
    kinds = _any_of(conditions.email_types)
    parts = [f"{kinds} mail" if kinds else "mail"]
    if conditions.sender_domains:
        parts.append(f"from {_any_of(conditions.sender_domains)}")
    if conditions.recipient_domains:
        parts.append(f"to {_any_of(conditions.recipient_domains)} only")
    if conditions.tags:
        parts.append(f"tagged {_any_of(conditions.tags)}")
    if conditions.api_key_ids:
        names = [key_names.get(key_id, "a deleted key") for key_id in conditions.api_key_ids]
        parts.append(f"sent with {_any_of(f'“{name}”' for name in names)}")
    return " ".join(parts) if parts != ["mail"] else "all mail"


def rule_in_words(
    rule: Rule, *, provider_names: Mapping[UUID, str], key_names: Mapping[UUID, str]
) -> str:
    """Return the whole rule as a sentence."""
    targets = [
        f"{provider_names.get(each.provider_id, 'an unknown account')}{_part(rule, each.weight)}"
        for each in rule.targets
    ]
    which = conditions_in_words(rule.conditions, key_names)
    end = "; no other account." if rule.is_exclusive else "; else the usual order."
    how = _HOW[rule.strategy] if len(targets) > 1 else "through"
    return f"{which[:1].upper()}{which[1:]}: {how} {', '.join(targets)}{end}"


def _part(rule: Rule, weight: int) -> str:
    return f" ({weight})" if rule.strategy is Strategy.WEIGHTED_SPLIT else ""


def _any_of(values: Iterable[str]) -> str:
    """Return "a", "a or b", "a, b or c"; empty for none."""
    *head, last = sorted(values) or [""]
    return f"{', '.join(head)} or {last}" if head else last
