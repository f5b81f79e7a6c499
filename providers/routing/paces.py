"""How fast mail may go to recipient domains through one account, as plain data.

A domain is slowed down when it puts mail off: nothing passes for a wait, then little, then more,
until it is as if nothing had been. A domain that takes mail for as long as it was closed, and then
complains again, has shown how much it takes: the same wait follows, not a longer one. Else a domain
with a steady limit of its own would be closed for ever longer, and mostly for nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from providers.routing.domains import is_wildcard, patterns_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: How long a domain is left alone after the first signal, doubling with each.
FIRST_WAIT_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 900.0
#: Mails per second when it has just reopened after one signal; halved by each further one.
FIRST_RATE = 1.0
LEAST_RATE = 0.125
#: The rate doubles each time so long has gone by without a signal,
DOUBLING_SECONDS = 30.0
#: until it reaches this; from then on there is none.
FULL_RATE = 64.0
#: Further signals change nothing more.
MAX_FAILURES = 6


def wait_seconds(failures: int) -> float:
    """Return how long a domain stays closed after so many signals, at least one."""
    doubled = math.ldexp(FIRST_WAIT_SECONDS, min(failures, MAX_FAILURES) - 1)
    return min(doubled, LONGEST_WAIT_SECONDS)


def first_rate(failures: int) -> float:
    """Return the mails per second of a domain that has just reopened."""
    halved = math.ldexp(FIRST_RATE, 1 - min(failures, MAX_FAILURES))
    return max(halved, LEAST_RATE)


def rate_after(open_seconds: float, failures: int) -> float:
    """Return the mails per second of a domain that reopened so long ago; infinite if recovered."""
    if open_seconds >= recovery_seconds(failures):
        return math.inf
    doublings = max(0.0, open_seconds) / DOUBLING_SECONDS
    return min(first_rate(failures) * math.exp2(doublings), FULL_RATE)


def recovery_seconds(failures: int) -> float:
    """Return how long after reopening a domain counts as recovered."""
    return DOUBLING_SECONDS * math.log2(FULL_RATE / first_rate(failures))


@dataclass(frozen=True, slots=True)
class Slowdown:
    """What is known of a domain that has put mail off; as read, on the reader's clock."""

    closed_until: datetime
    failures: int

    def rate_at(self, moment: datetime) -> float:
        """Return the mails per second; before it reopens, what it will be then."""
        return rate_after((moment - self.closed_until).total_seconds(), self.failures)


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate that mails share, and the name of what they share it by."""

    key: str
    #: Mails per second; of a slow-down, when it was read.
    rate: float
    slowdown: Slowdown | None = None

    def rate_at(self, moment: datetime) -> float:
        """Return the mails per second, as it will be if all goes well."""
        return self.rate if self.slowdown is None else self.slowdown.rate_at(moment)


@dataclass(frozen=True)
class DomainPaces:
    """The paces of one account; false if it has none."""

    #: By pattern: limits of this account, which go before those that every account has.
    own_limits: Mapping[str, Pace] = field(default_factory=dict)
    shared_limits: Mapping[str, Pace] = field(default_factory=dict)
    #: By domain, those that have reopened and those that have not.
    slowdowns: Mapping[str, Pace] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.own_limits or self.shared_limits or self.slowdowns)

    def limit_for(self, domain: str) -> Pace | None:
        """Return the limit that counts: the domain's, or that of the closest pattern above it."""
        for limits in (self.own_limits, self.shared_limits):
            found = patterns_for(domain) & limits.keys()
            if found:
                return limits[max(found, key=lambda each: (not is_wildcard(each), len(each)))]
        return None

    def of(self, domain: str) -> list[Pace]:
        """Return what a mail to this domain needs a turn at."""
        slowdown = self.slowdowns.get(domain)
        paces = [pace for pace in (slowdown, self.limit_for(domain)) if pace is not None]
        return [pace for pace in paces if not math.isinf(pace.rate)]


NO_PACES = DomainPaces()
