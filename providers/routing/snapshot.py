"""All accounts and rules at one moment, and the choice among them, remembered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from providers.routing.choice import Plan, make_plan
from providers.routing.domains import patterns_for
from providers.routing.facts import URGENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

    from providers.routing.decision import Decision
    from providers.routing.facts import MessageFacts, ProviderState, Rule

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Asks:
    """What of a message some rule or account looks at; the rest of its facts makes no difference.

    A campaign's messages differ in what nobody asks about, so they share one decision.
    """

    api_key_ids: frozenset[UUID]
    tags: frozenset[str]
    #: Domain patterns of rules, and domains that some account is slowed down for.
    recipient_domains: frozenset[str]
    #: Ascending; two sizes between the same limits are equal.
    size_limits: tuple[int, ...]
    attachments: bool
    priority: bool
    #: Some account has limits.
    quotas: bool = False

    def key(self, facts: MessageFacts) -> tuple[object, ...]:
        """Return what is equal for messages that get the same decision, but for a split."""
        return (
            facts.owner_id,
            facts.email_type,
            facts.from_email,
            facts.pinned_provider_id,
            facts.doubtful_provider_id,
            facts.excluded,
            facts.api_key_id if facts.api_key_id in self.api_key_ids else None,
            facts.tags & self.tags if self.tags else None,
            self._recipients(facts) if self.recipient_domains else None,
            sum(facts.size_bytes > limit for limit in self.size_limits) if self.size_limits else 0,
            self.attachments and facts.has_attachments,
            self.priority and facts.priority == URGENT,
            facts.is_test,
            self.quotas and facts.recipient_count,
        )

    def _recipients(self, facts: MessageFacts) -> frozenset[frozenset[str]]:
        asked = self.recipient_domains
        return frozenset(asked & patterns_for(domain) for domain in facts.recipient_domains)


@dataclass(frozen=True)
class Snapshot:
    """All accounts at one moment, and the active rules by position, then id."""

    taken_at: datetime
    providers: Sequence[ProviderState]
    rules: Sequence[Rule] = ()
    _plans: dict[tuple[object, ...], Plan] = field(
        init=False, default_factory=dict, repr=False, compare=False
    )

    @cached_property
    def by_id(self) -> Mapping[UUID, ProviderState]:
        """Return the accounts by their ids."""
        return {state.provider_id: state for state in self.providers}

    @cached_property
    def asks(self) -> Asks:
        """Return what must be known of a message here."""
        conditions = [rule.conditions for rule in self.rules]
        limits = {state.max_message_bytes for state in self.providers}
        return Asks(
            api_key_ids=_union(each.api_key_ids for each in conditions),
            tags=_union(each.tags for each in conditions),
            recipient_domains=_union(each.recipient_domains for each in conditions)
            | _union(state.throttled for state in self.providers),
            size_limits=tuple(sorted(limit for limit in limits if limit is not None)),
            attachments=any(not state.takes_attachments for state in self.providers),
            # Who has a slice of limits may have none of it left.
            priority=any(state.kept_for_urgent or _has_slice(state) for state in self.providers),
            quotas=any(
                state.remaining is not None or state.recipient_limits is not None
                for state in self.providers
            ),
        )

    def rule_for(self, facts: MessageFacts) -> Rule | None:
        """Return the first rule that is for the message."""
        return next((rule for rule in self.rules if rule.concerns(facts)), None)

    def decide(self, facts: MessageFacts) -> Decision:
        """Return `choose(facts, self)`, remembered: a campaign asks the same a million times."""
        key = self.asks.key(facts)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = _plan(facts, self)
        return plan.pick(facts.message_id)

    def with_states(self, states: Iterable[ProviderState]) -> Snapshot:
        """Return a snapshot in which these accounts are as given and all else is the same."""
        changed = {state.provider_id: state for state in states}
        return replace(
            self, providers=[changed.get(state.provider_id, state) for state in self.providers]
        )


def choose(facts: MessageFacts, snapshot: Snapshot) -> Decision:
    """Choose the account for a message.

    A pinned one goes before all. Else the first rule for the message ranks its targets. Else the
    account whose From address it is, the owner's own accounts, everybody's by position.
    """
    return _plan(facts, snapshot).pick(facts.message_id)


def _plan(facts: MessageFacts, snapshot: Snapshot) -> Plan:
    return make_plan(
        facts,
        states=snapshot.providers,
        rule=snapshot.rule_for(facts),
        now=snapshot.taken_at,
    )


def _has_slice(state: ProviderState) -> bool:
    return state.recipient_limits is not None and len(set(state.recipient_limits)) > 1


def _union(sets: Iterable[Iterable[_T]]) -> frozenset[_T]:
    return frozenset(item for each in sets for item in each)


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What is supposed instead of what is."""

    down: frozenset[UUID] = frozenset()
    #: Price per thousand mails.
    price: Mapping[UUID, Decimal] = field(default_factory=dict)
    #: Mails left of the quotas; None for no limit.
    remaining: Mapping[UUID, int | None] = field(default_factory=dict)


def suppose(snapshot: Snapshot, what_if: WhatIf) -> Snapshot:
    """Return the snapshot as it would be; accounts that are not in it are not added."""
    return snapshot.with_states(
        replace(
            state,
            is_supposed_down=state.provider_id in what_if.down,
            price=what_if.price.get(state.provider_id, state.price),
            remaining=what_if.remaining.get(state.provider_id, state.remaining),
        )
        for state in snapshot.providers
    )
