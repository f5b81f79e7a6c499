"""The choice of a provider for one message: a pure function of facts and a snapshot.

`choose` explains itself: the decision names every account that was looked at and why it was passed
over, so that a message's page and `routing/explain` can answer "why that one?".
"""

from providers.routing.alignment import NO_ALIGNMENT, Alignment
from providers.routing.decision import Candidate, Decision, RuleRef, Skip
from providers.routing.domains import is_among, parse_domain_pattern
from providers.routing.facts import (
    NEUTRAL_P50_MS,
    NEUTRAL_P95_MS,
    Balance,
    Conditions,
    MessageFacts,
    ProviderState,
    Rule,
    Strategy,
    Target,
    success_rate,
)
from providers.routing.paces import NO_PACES, DomainPaces, Pace, Slowdown
from providers.routing.scores import price_text
from providers.routing.snapshot import Asks, Snapshot, WhatIf, choose, suppose
from providers.routing.words import conditions_in_words, rule_in_words

__all__ = [
    "NEUTRAL_P50_MS",
    "NEUTRAL_P95_MS",
    "NO_ALIGNMENT",
    "NO_PACES",
    "Alignment",
    "Asks",
    "Balance",
    "Candidate",
    "Conditions",
    "Decision",
    "DomainPaces",
    "MessageFacts",
    "Pace",
    "ProviderState",
    "Rule",
    "RuleRef",
    "Skip",
    "Slowdown",
    "Snapshot",
    "Strategy",
    "Target",
    "WhatIf",
    "choose",
    "conditions_in_words",
    "is_among",
    "parse_domain_pattern",
    "price_text",
    "rule_in_words",
    "success_rate",
    "suppose",
]
