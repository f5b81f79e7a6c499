"""How strategies compare accounts.

Figures are compared as they are shown: stepped, so that two accounts that look equal are equal, the
choice does not swing with every mail, and explanations do not change by the second.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.routing.facts import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal

    from providers.routing.facts import ProviderState, Rule

#: Shares of failed mails, in percent; each is shown as the next of these.
_FAILURE_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
#: Per power of ten; each latency is shown as the next of these.
_LATENCY_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)
_SECOND = 1_000


@dataclass(frozen=True, slots=True)
class Score:
    """What was compared: `order` is lower for the better one."""

    order: float | Decimal
    #: See `Candidate`.
    shown: float
    note: str


def failure_percent(success_rate: float) -> float:
    """Return the share of mails that fail, in steps of 0.1, 0.2, 0.5, 1, 2, 5 … 100 percent."""
    exact = round(100 * (1 - success_rate), 6)
    return _FAILURE_STEPS[min(bisect_left(_FAILURE_STEPS, exact), len(_FAILURE_STEPS) - 1)]


def stepped_latency(milliseconds: float) -> float:
    """Return a latency in steps of 1, 1.5, 2, 3, 5, 7, 10 times a power of ten; 1 ms at least."""
    scale = 1.0
    while milliseconds > scale * 10:
        scale *= 10
    return scale * _LATENCY_STEPS[bisect_left(_LATENCY_STEPS, milliseconds / scale)]


def price_text(price: Decimal) -> str:
    """Return a price per thousand with two decimals, or as many as it takes."""
    whole, _, decimals = f"{price:.6f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def score(rule: Rule, states: Sequence[ProviderState]) -> list[Score]:
    """Return the scores of the rule's targets, given in its order, under its strategy.

    Closed ones count too: whether one is open must not change how the others compare.
    """
    return _STRATEGIES[rule.strategy](rule, states)


def _by_place(_rule: Rule, states: Sequence[ProviderState]) -> list[Score]:
    return [Score(place, place, f"place {place}") for place in range(1, len(states) + 1)]


def _by_price(_rule: Rule, states: Sequence[ProviderState]) -> list[Score]:
    return [
        Score(state.price, float(state.price), f"{price_text(state.price)} per 1,000")
        for state in states
    ]


def _by_reliability(_rule: Rule, states: Sequence[ProviderState]) -> list[Score]:
    failures = [failure_percent(state.success_rate) for state in states]
    return [
        Score(failure, round(100 - failure, 1), f"{100 - failure:g} % reliable")
        for failure in failures
    ]


def _by_latency(_rule: Rule, states: Sequence[ProviderState]) -> list[Score]:
    # The 95th percentile decides between accounts with the same median; both are steps.
    found = []
    for state in states:
        median, slow = stepped_latency(state.latency_p50_ms), stepped_latency(state.latency_p95_ms)
        order = median + slow / 1e9
        found.append(Score(order, median, f"about {_duration(median)}, 95 % in {_duration(slow)}"))
    return found


def _duration(milliseconds: float) -> str:
    if milliseconds >= _SECOND:
        return f"{milliseconds / _SECOND:g} s"
    return f"{milliseconds:g} ms"


def _by_balance(rule: Rule, states: Sequence[ProviderState]) -> list[Score]:
    """Return points from 0 to 100, the rule's weights applied to three grades of the same kind.

    A grade is average / (average + value), the average taken over all targets: 100 for nothing at
    all (no cost), 50 for an average one, towards 0 for one much worse. Making a value better never
    lowers its grade.
    """
    balance = rule.balance
    grades = (
        (balance.cost, "cost", _grades([float(state.price) for state in states])),
        (
            balance.reliability,
            "reliability",
            _grades([failure_percent(state.success_rate) for state in states]),
        ),
        (
            balance.latency,
            "speed",
            _grades([stepped_latency(state.latency_p50_ms) for state in states]),
        ),
    )
    total = sum(weight for weight, _, _ in grades) or 1
    found = []
    for place in range(len(states)):
        points = round(100 * sum(weight * values[place] for weight, _, values in grades) / total)
        parts = ", ".join(f"{name} {100 * values[place]:.0f}" for _, name, values in grades)
        found.append(Score(-points, points, f"{points} points: {parts}"))
    return found


def _grades(values: Sequence[float]) -> list[float]:
    average = sum(values) / len(values) if values else 0.0
    return [average / (average + value) if average else 1.0 for value in values]


def _by_share(rule: Rule, states: Sequence[ProviderState]) -> list[Score]:
    weights = {target.provider_id: target.weight for target in rule.targets}
    total = sum(weights[state.provider_id] for state in states) or 1
    found = []
    for place, state in enumerate(states):
        share = round(100 * weights[state.provider_id] / total)
        note = (
            f"{share} % of the mail" if weights[state.provider_id] else "only if no other is open"
        )
        found.append(Score(place, share, note))
    return found


_STRATEGIES: dict[Strategy, Callable[[Rule, Sequence[ProviderState]], list[Score]]] = {
    Strategy.FIXED_ORDER: _by_place,
    Strategy.CHEAPEST: _by_price,
    Strategy.MOST_RELIABLE: _by_reliability,
    Strategy.FASTEST: _by_latency,
    Strategy.BALANCED: _by_balance,
    Strategy.WEIGHTED_SPLIT: _by_share,
}
