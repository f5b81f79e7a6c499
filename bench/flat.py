"""Cost of every hot statement on a table of millions against the same on an almost empty one.

    .venv/bin/python -m bench.flat [--rows 10000000] [--rounds 50] [--list-rounds 10] [--keep]

Two databases on one server, the same but for the finished messages in one of them, take turns step
by step, so that the machine's moods meet both alike. A step is a call of the product; its
statements run as those of drains and web processes do: on kept connections, prepared after two
uses. Then every statement is explained as it runs at its seventh use, with fresh statistics and,
for the queue's own, with those of an empty table. Prints tables; ends with an error if a step reads
a large table from end to end, misses its index, or if a claim costs more than 10 % more than on the
empty table.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING

from bench import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from bench.flat_plans import Plan
    from bench.flat_work import NamedStep, Worker

#: Step → the indexes of which one of its statements has to use one.
INDEXES = {
    "claim 40": {"delivery_message_claim"},
    "claim, none": {"delivery_message_claim"},
    "claimable, none": {"delivery_message_claim"},
    "claimable, some": {"delivery_message_claim"},
    "promote 20": {"delivery_message_waiting"},
    "promote, nothing due": {"delivery_message_waiting"},
    "reclaim 40": {"delivery_message_lease_idx"},
    "reclaim, nothing lost": {"delivery_message_lease_idx"},
    "expire 20": {"delivery_message_expires"},
    "expire, nothing due": {"delivery_message_expires"},
    # While few are unknown, some versions of PostgreSQL prefer the list's index.
    "resolve 20": {"delivery_message_unknown", "delivery_message_by_status"},
    "resolve, nothing to do": {"delivery_message_unknown", "delivery_message_by_status"},
    "record 40": {"delivery_message_pkey", "delivery_message_lease_idx"},
    "record 1 of a sequence": {"delivery_message_sequence"},
    "list all, status held": {"delivery_message_by_status"},
    "list all, status sending": {"delivery_message_lease_idx"},
    "list all, address, none": {"delivery_message_addresses"},
    "list all, tag, none": {"delivery_message_tags"},
    "list all, group": {"delivery_message_group"},
    "console, not finished": {"delivery_message_by_status"},
    "console, unknown": {"delivery_message_by_status"},
}
#: A claim may cost so much more than on the empty table.
MAX_CLAIM_RATIO = 1.10
#: Steps that take longer are repeated no further.
SLOW_SECONDS = 1.0
#: By then a statement has settled for one plan.
SETTLED_ROUNDS = 8
#: Reading these from end to end is what must not happen.
LARGE = frozenset({"delivery_message", "delivery_attempt", "delivery_event"})

Times = dict[str, list[float]]
Plans = dict[str, "list[Plan]"]


def main() -> int:
    """Build, measure, print and judge."""
    arguments = _arguments()
    measure.prepare()
    measure.set_up_django()
    from bench import flat_sides as sides
    from bench.flat_work import queue_work, worker

    build(arguments.rows)
    with sides.on(sides.FULL):
        stale = explained(queue_work(worker()))
    times, plans = _measure(arguments.rounds, arguments.list_rounds)
    _print_times(times, plans)
    found = faults(stale, "with an empty table's statistics")
    found += faults(plans[sides.FULL], "with fresh statistics")
    ratio = _claim_ratio(times)
    sys.stdout.write(f"\nclaim, full / empty: {ratio:.3f}\n")
    if ratio > MAX_CLAIM_RATIO:
        found.append(f"a claim costs {ratio:.2f} times as much as on an empty table")
    for fault in found:
        sys.stdout.write(f"FAULT: {fault}\n")
    if not arguments.keep:
        for database in (sides.EMPTY, sides.FULL):
            sides.drop(database)
    return 1 if found else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--list-rounds", type=int, default=10, help="of which with the lists")
    parser.add_argument("--keep", action="store_true", help="leave the databases for another run")
    return parser.parse_args()


def build(rows: int) -> None:
    """Make what is missing of the two databases; neither is analysed yet."""
    from django.db import connection
    from django.utils import timezone

    from accounts.models import User
    from bench import flat_sides as sides
    from bench.flat_table import TABLES, fill
    from bench.flat_work import make_people, top_up, worker
    from providers.models import Provider

    for database, count in ((sides.EMPTY, 0), (sides.FULL, rows)):
        if not sides.exists(database):
            sides.make(database)
            with sides.on(database):
                make_people()
                with connection.cursor() as cursor:
                    # When statistics are taken is part of what is measured.
                    for table in TABLES:
                        cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
                started = time.perf_counter()
                owners = list(User.objects.order_by("email").values_list("pk", flat=True))
                providers = list(Provider.objects.order_by("name").values_list("pk", flat=True))
                if count:
                    fill(count=count, owners=owners, providers=providers, now=timezone.now())
                seconds = time.perf_counter() - started
                sys.stdout.write(f"{database}: {count:,} messages in {seconds:.0f} s\n")
        with sides.on(database):
            top_up(worker())


def _steps(one: Worker, *, with_lists: bool = True) -> Iterator[NamedStep]:
    from bench.flat_lists import list_work
    from bench.flat_work import queue_work

    yield from queue_work(one)
    if with_lists:
        yield from list_work()


def explained(steps: Iterable[NamedStep]) -> Plans:
    """Go through the steps; return the plans of their statements by step."""
    from bench.flat_plans import watching

    found: Plans = {}
    for name, step in steps:
        with watching() as plans:
            step()
        found[name] = plans
    return found


def _measure(rounds: int, list_rounds: int) -> tuple[dict[str, Times], dict[str, Plans]]:
    from bench import flat_sides as sides
    from bench.flat_work import forget_cached_figures, top_up, vacuum, worker

    names = (sides.EMPTY, sides.FULL)
    times: dict[str, Times] = {name: defaultdict(list) for name in names}
    workers: dict[str, Worker] = {}
    for name in names:
        with sides.on(name):
            vacuum(analyze=True)
            workers[name] = worker()
    slow: set[str] = set()
    for round_number in range(rounds):
        running = []
        for name in names:
            with sides.on(name):
                workers[name].lease.renew_if_due()
                top_up(workers[name])
                if round_number % 10 == 0:
                    vacuum(analyze=False)
                with_lists = round_number < list_rounds
                running.append((name, _steps(workers[name], with_lists=with_lists)))
        forget_cached_figures()
        _take_turns(running, times, slow)
    plans = {}
    for name in names:
        with sides.on(name):
            vacuum(analyze=True)
            plans[name] = explained(_steps(worker(), with_lists=list_rounds > 0))
    return times, plans


def _take_turns(
    running: list[tuple[str, Iterator[NamedStep]]], times: dict[str, Times], slow: set[str]
) -> None:
    """Do one round on all databases, step by step."""
    from bench import flat_sides as sides

    while True:
        for database, steps in running:
            with sides.on(database):
                step = next(steps, None)
                if step is None:
                    return
                if step[0] in slow:
                    continue
                seconds = _timed(step[1])
            times[database][step[0]].append(seconds)
            if seconds > SLOW_SECONDS and len(times[database][step[0]]) >= SETTLED_ROUNDS:
                slow.add(step[0])


def _timed(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def _claim_ratio(times: Mapping[str, Times]) -> float:
    from bench import flat_sides as sides

    return median(times[sides.FULL]["claim 40"]) / median(times[sides.EMPTY]["claim 40"])


def _print_times(times: Mapping[str, Times], plans: Mapping[str, Plans]) -> None:
    from bench import flat_sides as sides

    sys.stdout.write(
        f"\n{'step (medians, ms)':<40}{'empty':>9}{'full':>10}{'max':>10}{'blocks':>9}{'full':>9}\n"
    )
    for name in plans[sides.FULL]:
        empty, full = (times[side].get(name, [0.0]) for side in (sides.EMPTY, sides.FULL))
        blocks = [
            sum(plan.blocks for plan in plans[side][name]) for side in (sides.EMPTY, sides.FULL)
        ]
        sys.stdout.write(
            f"{name:<40}{1000 * median(empty):>9.2f}{1000 * median(full):>10.2f}"
            f"{1000 * max(full):>10.2f}{blocks[0]:>9}{blocks[1]:>9}\n"
        )


def faults(found: Plans, when: str) -> list[str]:
    """Return what is wrong with the plans, a sentence each."""
    missing: list[str] = []
    for name, plans in found.items():
        missing.extend(
            f"{name}, {when}: reads all of {', '.join(sorted(scanned))}: {plan.sql[:200]}"
            for plan in plans
            if (scanned := plan.scanned & LARGE)
        )
        wanted = INDEXES.get(name)
        if wanted and not any(wanted & plan.indexes for plan in plans):
            shown = " or ".join(sorted(wanted))
            missing.append(f"{name}, {when}: does not use {shown}")
    return missing


if __name__ == "__main__":
    sys.exit(main())
