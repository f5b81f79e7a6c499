"""Drain rate: N queued messages to a local SMTP sink by real Celery workers, everything recorded.

    .venv/bin/python -m bench.drain [--count 20000 ...] [--processes 2 ...] [--rounds 3] [--slow]

The mail is that of bench.mail, to distinct recipients, one content. The rate counts from the first
result recorded to the last. CPU is that of accepting, draining (all worker processes) and the
database server; the sink's, on the same cores, stands beside it. Memory is that of the largest
worker process: its peak, and what was resident after 1 %, half and all of the mails. `--slow` has
the relay take 5 ms for a reply and 25 ms for the last. `--growth` adds CPU per message at 50,000
queued ÷ at 5,000. `--routing` adds CPU per message with five accounts that have prices and limits
and twenty rules ÷ with one account and none: once where the last rule takes the cheapest account,
once where it splits the mail among all five. `--suppressions` adds CPU per message with a million
suppressed addresses ÷ with none, and `--listening` with every result announced to a listener ÷ with
nobody who listens, and `--tracked` with a pixel in each mail ÷ without. Prints JSON lines, one a
round, and medians.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import measure
from bench.processes import SinkProcess, WorkerProcess
from bench.stock import (
    empty_tables,
    let_rest,
    make_accounts,
    make_rules,
    make_suppressions,
    queue_mails,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from bench.measure import Figures

    Watch = Callable[[int], AbstractContextManager[object]]

#: Connections per process: to a relay that answers at once, and to a slow one.
THREADS, SLOW_THREADS = 4, 32
GROWTH = (5_000, 50_000)
#: What is routed: mails, accounts, rules.
ROUTED, ACCOUNTS, RULES = 10_000, 5, 20
#: Mails drained beside so many suppressed addresses, and beside a listener.
BESIDE, SUPPRESSIONS = 20_000, 1_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """What one round drains, and with what."""

    count: int
    processes: int = 2
    is_slow: bool = False
    threads: int = 0
    #: `DRAIN_CHUNK` of the workers; 0 leaves it at its default.
    chunk: int = 0
    accounts: int = 1
    rules: int = 0
    #: Of the last rule, which is for all mail.
    strategy: str = "cheapest"
    suppressions: int = 0
    #: Kinds of announcements that somebody wants.
    listened: tuple[str, ...] = ()
    is_tracked: bool = False

    @property
    def name(self) -> str:
        """Return the case in words."""
        relay = ", slow relay" if self.is_slow else ""
        threads = f", {self.threads} connections each" if self.threads else ""
        chunk = f", chunks of {self.chunk}" if self.chunk else ""
        return f"{self.count} mails, processes: {self.processes}{relay}{threads}{chunk}"

    @property
    def connections(self) -> int:
        """Return how many connections each process may have."""
        return self.threads or (SLOW_THREADS if self.is_slow else THREADS)


def main() -> int:
    """Run the rounds of every case and print the figures."""
    arguments = _arguments()
    measure.prepare()
    measure.set_up_django()
    for count in arguments.count:
        for processes in arguments.processes:
            case = Case(count, processes, arguments.slow, arguments.threads, arguments.chunk)
            measure.report(case.name, [drain_round(case) for _ in range(arguments.rounds)])
    if arguments.growth:
        rounds = [_growth_round() for _ in range(arguments.rounds)]
        measure.report("growth: CPU per mail at 50000 queued against 5000", rounds)
    if arguments.routing:
        rounds = [_routing_round() for _ in range(arguments.rounds)]
        measure.report(f"routing: {ACCOUNTS} accounts, {RULES} rules against 1 and none", rounds)
    if arguments.suppressions:
        case = Case(BESIDE, suppressions=SUPPRESSIONS)
        rounds = [_beside_round(case) for _ in range(arguments.rounds)]
        measure.report(f"suppressions: {SUPPRESSIONS} addresses against none", rounds)
    if arguments.listening:
        case = Case(BESIDE, listened=("email.sent",))
        rounds = [_beside_round(case) for _ in range(arguments.rounds)]
        measure.report("listening: every result announced against nobody who listens", rounds)
    if arguments.tracked:
        rounds = [_beside_round(Case(BESIDE, is_tracked=True)) for _ in range(arguments.rounds)]
        measure.report("tracked: a pixel in each mail against none", rounds)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, nargs="*", default=[20_000])
    parser.add_argument("--processes", type=int, nargs="+", default=[2])
    parser.add_argument("--threads", type=int, default=0, help="connections per process")
    parser.add_argument("--chunk", type=int, default=0, help="messages claimed at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow", action="store_true", help="a relay with delays")
    parser.add_argument("--growth", action="store_true", help="add the 50,000 to 5,000 ratio")
    parser.add_argument("--routing", action="store_true", help="add what accounts and rules cost")
    parser.add_argument("--suppressions", action="store_true", help="add what a long list costs")
    parser.add_argument("--listening", action="store_true", help="add what announcing costs")
    parser.add_argument("--tracked", action="store_true", help="add what tracking costs")
    return parser.parse_args()


def _beside_round(case: Case) -> Figures:
    """Compare a case with the same mails and nothing beside them."""
    plain, loaded = drain_round(Case(case.count)), drain_round(case)
    return {
        "ratio": loaded["cpu_per_thousand"] / plain["cpu_per_thousand"],
        "cpu_per_thousand_plain": plain["cpu_per_thousand"],
        "cpu_per_thousand_beside": loaded["cpu_per_thousand"],
        "database_ratio": loaded["database_cpu_per_thousand"] / plain["database_cpu_per_thousand"],
    }


def _growth_round() -> Figures:
    few, many = (drain_round(Case(count)) for count in GROWTH)
    return {
        "ratio": many["cpu_per_thousand"] / few["cpu_per_thousand"],
        "cpu_per_thousand_at_5000": few["cpu_per_thousand"],
        "cpu_per_thousand_at_50000": many["cpu_per_thousand"],
    }


def _routing_round() -> Figures:
    plain = drain_round(Case(ROUTED))
    figures = {"cpu_per_thousand_plain": plain["cpu_per_thousand"]}
    for strategy in ("cheapest", "weighted_split"):
        routed = drain_round(Case(ROUTED, accounts=ACCOUNTS, rules=RULES, strategy=strategy))
        figures[f"cpu_per_thousand_{strategy}"] = routed["cpu_per_thousand"]
        figures[f"ratio_{strategy}"] = routed["cpu_per_thousand"] / plain["cpu_per_thousand"]
        figures[f"speed_{strategy}"] = routed["drain_per_second"] / plain["drain_per_second"]
    return figures


def drain_round(case: Case, watch: Watch | None = None) -> Figures:
    """Queue the case's mails, drain them, check that each arrived once; return the figures.

    `watch` is entered with the worker's process id while the queue drains.
    """
    from delivery.announcements import listen_to

    empty_tables()
    make_suppressions(case.suppressions)
    listen_to(case.listened)
    with SinkProcess(is_slow=case.is_slow) as sink:
        connections = case.connections * case.processes
        make_accounts(sink.port, connections=connections, count=case.accounts)
        make_rules(case.rules, strategy=case.strategy)
        accepted = _accept(case.count, is_tracked=case.is_tracked)
        let_rest()
        more = {"DRAIN_CHUNK": str(case.chunk)} if case.chunk else {}
        with (
            WorkerProcess(case.processes, case.connections, more) as worker,
            watch(worker.pid) if watch else nullcontext(),
        ):
            drained = _drain(sink, worker.pid, case.count)
        _check(sink, case.count)
    cpu = sum(drained[name] for name in ("worker_cpu", "database_cpu")) + accepted["cpu"]
    thousands = case.count / 1000
    memory = {name: value for name, value in drained.items() if name.endswith("_mebibytes")}
    return {
        "drain_per_second": case.count / drained["seconds"],
        "from_wake_per_second": case.count / drained["seconds_from_wake"],
        "cpu_per_thousand": cpu / thousands,
        "accept_cpu_per_thousand": accepted["cpu"] / thousands,
        "worker_cpu_per_thousand": drained["worker_cpu"] / thousands,
        "database_cpu_per_thousand": drained["database_cpu"] / thousands,
        "sink_cpu_per_thousand": drained["sink_cpu"] / thousands,
        "sink_share_of_a_core": drained["sink_cpu"] / drained["seconds_from_wake"],
        "accept_per_second": case.count / accepted["seconds"],
        **memory,
    }


def _accept(count: int, *, is_tracked: bool) -> Figures:
    database = measure.postmaster_pid()
    before = time.process_time() + measure.cpu_seconds(database)
    started = time.perf_counter()
    queue_mails(count, is_tracked=is_tracked)
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "cpu": time.process_time() + measure.cpu_seconds(database) - before,
    }


def _drain(sink: SinkProcess, worker: int, count: int) -> Figures:
    from delivery.models import Message

    pids = {"worker_cpu": worker, "database_cpu": measure.postmaster_pid(), "sink_cpu": sink.pid}
    before = {name: measure.cpu_seconds(pid) for name, pid in pids.items()}
    started = time.time()
    memory = _wait_until_drained(sink, worker, count)
    first = Message.objects.order_by("sent_at").values_list("sent_at", flat=True)[0]
    last = Message.objects.order_by("-sent_at").values_list("sent_at", flat=True)[0]
    assert first is not None
    assert last is not None
    time.sleep(0.5)
    return {
        "seconds": (last - first).total_seconds(),
        "seconds_from_wake": last.timestamp() - started,
        **{name: measure.cpu_seconds(pid) - before[name] for name, pid in pids.items()},
        "peak_mebibytes": measure.peak_mebibytes(worker),
        **memory,
    }


def _wait_until_drained(sink: SinkProcess, worker: int, count: int) -> Figures:
    """Return when every result is recorded, with the memory of the workers on the way."""
    from delivery.dispatch import wake
    from delivery.models import Message
    from delivery.states import Lane, Status

    memory: Figures = {}
    points = {"start": count // 100, "middle": count // 2, "end": count}
    deadline = time.monotonic() + 60 + count / 50
    while (arrived := sink.count()) < count or Message.objects.exclude(status=Status.SENT).exists():
        wake(Lane.BULK)
        for name in [name for name, point in points.items() if arrived >= point]:
            del points[name]
            memory[f"{name}_mebibytes"] = measure.resident_mebibytes(worker)
        if time.monotonic() > deadline:
            raise SystemExit("The queue does not drain.")
        time.sleep(0.1)
    for name in points:
        memory[f"{name}_mebibytes"] = measure.resident_mebibytes(worker)
    return memory


def _check(sink: SinkProcess, count: int) -> None:
    from delivery.models import Attempt, Message
    from delivery.states import Status

    sent = Message.objects.filter(status=Status.SENT).count()
    attempts = Attempt.objects.count()
    arrived = [arrival.message_id for arrival in sink.arrivals()]
    if not sent == attempts == len(set(arrived)) == len(arrived) == count:
        raise SystemExit(f"Lost or repeated: {sent=} {attempts=} arrived={len(arrived)}")


if __name__ == "__main__":
    sys.exit(main())
