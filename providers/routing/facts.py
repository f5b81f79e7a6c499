"""What a choice may depend on: the message, the accounts and the rules, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from mailservice.core.addresses import domain_of
from providers.routing.domains import is_among
from providers.routing.paces import NO_PACES, DomainPaces

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from providers.routing.alignment import Alignment

#: The priority for which accounts keep a slice of their quotas.
URGENT = 1
#: What is assumed of an account that has no figures yet.
NEUTRAL_P50_MS, NEUTRAL_P95_MS = 500, 2_000
#: A new account counts as if it had taken 19 of 20 mails before.
_PRIOR_MAILS, _PRIOR_TAKEN = 20, 19


def success_rate(taken: float, tried: int) -> float:
    """Return the share of mails an account takes and keeps, between 0 and 1 but never either.

    (taken + 19) / (tried + 20): the mean of a Beta(19, 1) prior updated by what was seen, so that
    one failure of a new account does not make it the worst, nor one success the best.
    """
    return (taken + _PRIOR_TAKEN) / (tried + _PRIOR_MAILS)


NEUTRAL_SUCCESS_RATE = success_rate(0, 0)


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """What the choice may depend on; see `Asks` for what need not be filled in."""

    owner_id: UUID
    email_type: str
    from_email: str
    #: The account the sender asked for, if any: no other is then used, whatever the rules say.
    pinned_provider_id: UUID | None = None
    #: The account that may have this mail already. While it is open it goes before all others, for
    #: what it takes twice it may know by our key and send once.
    doubtful_provider_id: UUID | None = None
    #: Accounts that just refused this message for their own reasons.
    excluded: frozenset[UUID] = frozenset()
    #: Decides a weighted split; without it the largest share is chosen.
    message_id: UUID | None = None
    api_key_id: UUID | None = None
    tags: frozenset[str] = frozenset()
    #: In wire form.
    recipient_domains: frozenset[str] = frozenset()
    #: As sent, encoded; an estimate will do.
    size_bytes: int = 0
    has_attachments: bool = False
    #: 1 (highest) to 5.
    priority: int = 3
    #: It reaches no recipient, so recipient domains that are slowed down do not stop it.
    is_test: bool = False
    #: As quotas count it: a message needs them for all of its recipients at once.
    recipient_count: int = 1

    @property
    def sender_domain(self) -> str:
        """Return the domain of the From address, empty without one."""
        return domain_of(self.from_email).lower()


@dataclass(frozen=True, slots=True)
class ProviderState:
    """One account as the choice sees it."""

    provider_id: UUID
    name: str
    owner_id: UUID | None
    is_active: bool
    from_email: str
    position: int
    #: Mails the quotas still allow; None without limits.
    remaining: int | None
    #: When an exhausted quota opens again.
    resets_at: datetime | None = None
    #: The account wants to be left alone until then (connection refused, 421, 429).
    paused_until: datetime | None = None
    #: The circuit breaker, shared by all workers, lets nothing pass until then.
    breaker_until: datetime | None = None
    #: Mails among `remaining` that only priority 1 may use.
    kept_for_urgent: int = 0
    #: How many recipients a message of priority 1, and any other, may have at most for the limits
    #: ever to allow it; None without limits.
    recipient_limits: tuple[int, int] | None = None
    #: Recipient domain to when it may be tried again here.
    throttled: Mapping[str, datetime] = field(default_factory=dict)
    #: How fast mail may go to recipient domains; not for the choice, but for whoever sends.
    paces: DomainPaces = NO_PACES
    #: Patterns of the From domains it may send for; empty for any.
    from_domains: frozenset[str] = frozenset()
    #: From domains must be among these; None where they need not be aligned.
    aligned: Alignment | None = None
    max_message_bytes: int | None = None
    takes_attachments: bool = True
    #: Per thousand mails, the next ones.
    price: Decimal = Decimal(0)
    #: See `success_rate`.
    success_rate: float = NEUTRAL_SUCCESS_RATE
    latency_p50_ms: float = NEUTRAL_P50_MS
    latency_p95_ms: float = NEUTRAL_P95_MS
    #: Only in a "what if": treated as if it did not answer.
    is_supposed_down: bool = False


class Strategy(StrEnum):
    """How a rule ranks its targets."""

    FIXED_ORDER = "fixed_order"
    CHEAPEST = "cheapest"
    MOST_RELIABLE = "most_reliable"
    FASTEST = "fastest"
    BALANCED = "balanced"
    WEIGHTED_SPLIT = "weighted_split"

    @property
    def label(self) -> str:
        """Return the strategy as people read it."""
        return _LABELS[self]


_LABELS = {
    Strategy.FIXED_ORDER: "Fixed order: the first that is open",
    Strategy.CHEAPEST: "Cheapest",
    Strategy.MOST_RELIABLE: "Most reliable",
    Strategy.FASTEST: "Fastest",
    Strategy.BALANCED: "Balanced: cost, reliability and speed",
    Strategy.WEIGHTED_SPLIT: "Weighted split: each its share of the mail",
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """Which mail a rule is for: every one that is not empty must match."""

    email_types: frozenset[str] = frozenset()
    #: Domain patterns.
    sender_domains: frozenset[str] = frozenset()
    #: Domain patterns; all recipients must match one.
    recipient_domains: frozenset[str] = frozenset()
    #: The mail carries one of them.
    tags: frozenset[str] = frozenset()
    api_key_ids: frozenset[UUID] = frozenset()

    def match(self, facts: MessageFacts) -> bool:
        """Tell whether the mail is of this kind."""
        return (
            (not self.email_types or facts.email_type in self.email_types)
            and (not self.api_key_ids or facts.api_key_id in self.api_key_ids)
            and (not self.tags or not self.tags.isdisjoint(facts.tags))
            and (not self.sender_domains or is_among(facts.sender_domain, self.sender_domains))
            and (not self.recipient_domains or self._has_all(facts.recipient_domains))
        )

    def _has_all(self, domains: frozenset[str]) -> bool:
        # A mail whose recipients are not known is not shown to go to these only.
        return bool(domains) and all(is_among(name, self.recipient_domains) for name in domains)


@dataclass(frozen=True, slots=True)
class Target:
    """An account that a rule names."""

    provider_id: UUID
    #: Its part in a weighted split; 0 means only when no other is open.
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Balance:
    """How much each property counts in a balanced score."""

    cost: int = 1
    reliability: int = 1
    latency: int = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """One active routing rule."""

    rule_id: UUID
    name: str
    #: Whose mail it is for; None for everybody's.
    owner_id: UUID | None
    position: int
    strategy: Strategy
    #: In the rule's order, which also decides between equals.
    targets: tuple[Target, ...]
    conditions: Conditions = Conditions()
    #: Nothing but its targets may take the mail, even while all are closed.
    is_exclusive: bool = True
    balance: Balance = Balance()

    def concerns(self, facts: MessageFacts) -> bool:
        """Tell whether the rule is for this mail."""
        return self.owner_id in (None, facts.owner_id) and self.conditions.match(facts)
