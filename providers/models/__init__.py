"""Provider accounts, what they have sent, how mail is routed to them, and the built-in inbox."""

from providers.models.accounts import (
    MAX_PRIORITY_RESERVE,
    Provider,
    ProviderKind,
    ProviderQuerySet,
)
from providers.models.alignment import AlignedDomains
from providers.models.cost import NO_KEY, Budget, CostDay
from providers.models.inbox import InboxMail
from providers.models.rules import (
    RoutingDecision,
    RoutingRule,
    RoutingRuleQuerySet,
    RoutingTarget,
)
from providers.models.throttles import DomainLimit, DomainSlowdown, DomainSlowdownQuerySet
from providers.models.usage import (
    BreakerState,
    ProviderHealth,
    ProviderMinute,
    ProviderUsage,
    Reservation,
)

__all__ = [
    "MAX_PRIORITY_RESERVE",
    "NO_KEY",
    "AlignedDomains",
    "BreakerState",
    "Budget",
    "CostDay",
    "DomainLimit",
    "DomainSlowdown",
    "DomainSlowdownQuerySet",
    "InboxMail",
    "Provider",
    "ProviderHealth",
    "ProviderKind",
    "ProviderMinute",
    "ProviderQuerySet",
    "ProviderUsage",
    "Reservation",
    "RoutingDecision",
    "RoutingRule",
    "RoutingRuleQuerySet",
    "RoutingTarget",
]
