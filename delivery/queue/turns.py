"""Turns of mails at recipient domains that an account may send only so much.

The buckets are shared by all workers. A mail to several such domains needs a turn at each; one that
it got is not given back if another refuses it, so such mail goes a little slower than it might.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mailservice.core.addresses import domain_of, normalized
from providers import rates
from providers.routing import Skip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from delivery.queue.prepare import InHand
    from providers.routing import Decision, DomainPaces, Pace, ProviderState

#: What is due is looked for about once a second: a bucket holds as much as one look may find.
BURST_SECONDS = 1.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Refused:
    """Where a mail found no turn."""

    domain: str
    pace: Pace


def take_turns(
    paces: DomainPaces, entries: Sequence[_T], item_of: Callable[[_T], InHand]
) -> tuple[list[_T], list[tuple[_T, Refused]]]:
    """Return the entries that may go now and those that may not, in the order given: by urgency."""
    lines: dict[tuple[str, ...], list[tuple[int, list[Refused]]]] = {}
    for number, entry in enumerate(entries):
        asked = _asked(paces, item_of(entry))
        if asked:
            keys = tuple(each.pace.key for each in asked)
            lines.setdefault(keys, []).append((number, asked))
    refused: dict[int, Refused] = {}
    for keys, line in lines.items():
        left = line
        for place in range(len(keys)):
            granted = _taken(line[0][1][place].pace, len(left))
            refused |= {number: asked[place] for number, asked in left[granted:]}
            left = left[:granted]
    going = [entry for number, entry in enumerate(entries) if number not in refused]
    return going, [(entries[number], why) for number, why in refused.items()]


def _taken(pace: Pace, wanted: int) -> int:
    if not wanted:
        return 0
    return rates.take(pace.key, rate=pace.rate, wanted=wanted, burst_seconds=BURST_SECONDS).granted


def _asked(paces: DomainPaces, item: InHand) -> list[Refused]:
    """Return what the mail needs turns at, each once, the slowest first."""
    found: dict[str, Refused] = {}
    # As in the facts of the choice, else it would choose the same account for ever.
    for domain in {domain_of(normalized(entry["a"])) for entry in item.to_send}:
        for pace in paces.of(domain):
            found.setdefault(pace.key, Refused(domain, pace))
    return sorted(found.values(), key=lambda each: (each.pace.rate, each.pace.key))


def slowdown_waited_for(
    item: InHand, decision: Decision, states: Mapping[UUID, ProviderState]
) -> Pace | None:
    """Return the slow-down whose end is what a mail without an account waits for, if it is one."""
    for candidate in decision.candidates:
        state = states.get(candidate.provider_id)
        if candidate.skipped is not Skip.THROTTLED or state is None:
            continue
        for domain in map(domain_of, item.message.addresses):
            if state.throttled.get(domain) == decision.retry_at:
                return state.paces.slowdowns.get(domain)
    return None
