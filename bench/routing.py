"""What routing costs: microseconds of CPU per message for a choice made and for one remembered.

    .venv/bin/python -m bench.routing [--providers 5] [--rules 20] [--messages 20000] [--rounds 5]

`facts` is gathering what the choice depends on, `hit` a decision found in the snapshot's memory,
`split` one that a weighted split draws by the message's id, `miss` a choice made anew. The rules
ask for type, domains, tags and keys; the last is for all mail. Needs no server. Prints JSON lines.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from bench.measure import report
from providers.routing import (
    Conditions,
    MessageFacts,
    ProviderState,
    Rule,
    Snapshot,
    Strategy,
    Target,
    choose,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.measure import Figures

_OWNER = UUID(int=1)
_MICROSECONDS = 1e6
#: A choice made anew is dear enough to be measured on fewer messages.
_MISS_SHARE = 10


def snapshot_of(providers: int, rules: int, last: Strategy) -> Snapshot:
    """Return a snapshot whose rules but the last match nothing of the measured mail."""
    states = [
        ProviderState(
            provider_id=UUID(int=number),
            name=f"account {number}",
            owner_id=None,
            is_active=True,
            from_email="",
            position=number,
            remaining=1_000_000,
            price=Decimal(number),
            max_message_bytes=number * 10_000_000,
            takes_attachments=bool(number % 2),
        )
        for number in range(1, providers + 1)
    ]
    targets = tuple(Target(state.provider_id) for state in states)
    asked = (
        Conditions(email_types=frozenset({"marketing"})),
        Conditions(sender_domains=frozenset({"*.example.org"})),
        Conditions(recipient_domains=frozenset({"*.gov.example", "bank.example"})),
        Conditions(tags=frozenset({"two-factor"})),
        Conditions(api_key_ids=frozenset({UUID(int=99)})),
    )
    found = [
        _rule(number, Strategy.CHEAPEST, targets, asked[number % len(asked)])
        for number in range(rules - 1)
    ]
    found.append(_rule(rules, last, targets, Conditions()))
    return Snapshot(datetime(2026, 1, 1, tzinfo=UTC), states, found)


def _rule(
    number: int, strategy: Strategy, targets: tuple[Target, ...], conditions: Conditions
) -> Rule:
    return Rule(
        rule_id=UUID(int=1_000 + number),
        name=f"rule {number}",
        owner_id=None,
        position=number,
        strategy=strategy,
        targets=targets,
        conditions=conditions,
    )


def facts_of(number: int) -> MessageFacts:
    """Return the facts of one message of a campaign."""
    return MessageFacts(
        owner_id=_OWNER,
        email_type="transactional",
        from_email="shop@example.com",
        message_id=UUID(int=(number << 64) + 7),
        tags=frozenset(("spring", "sale")),
        recipient_domains=frozenset((f"host{number % 50}.example.net",)),
        size_bytes=20_000,
        priority=4,
    )


def _per_message(work: Callable[[MessageFacts], object], messages: Iterable[MessageFacts]) -> float:
    given = list(messages)
    start = time.process_time()
    for facts in given:
        work(facts)
    return (time.process_time() - start) / len(given) * _MICROSECONDS


def measure(providers: int, rules: int, count: int) -> Figures:
    """Return the figures of one round."""
    start = time.process_time()
    messages = [facts_of(number) for number in range(count)]
    facts_cost = (time.process_time() - start) / count * _MICROSECONDS
    usual = snapshot_of(providers, rules, Strategy.BALANCED)
    drawn = snapshot_of(providers, rules, Strategy.WEIGHTED_SPLIT)
    few = messages[: max(1, count // _MISS_SHARE)]
    return {
        "facts_us": facts_cost,
        "hit_us": _per_message(usual.decide, messages),
        "split_us": _per_message(drawn.decide, messages),
        "miss_us": _per_message(lambda facts: choose(facts, usual), few),
        "miss_split_us": _per_message(lambda facts: choose(facts, drawn), few),
        "miss_digest_us": _per_message(lambda facts: replace(choose(facts, usual)).digest, few),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--providers", type=int, default=5)
    parser.add_argument("--rules", type=int, default=20)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rounds = [measure(given.providers, given.rules, given.messages) for _ in range(given.rounds)]
    report("routing", rounds)


if __name__ == "__main__":
    main()
