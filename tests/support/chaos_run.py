"""One run of chaos: mail goes in, things break, things heal, the books are compared."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from mailservice.launcher.files import TEST_HOME
from tests.support import ledger
from tests.support.chaos import (
    Cluster,
    House,
    Program,
    children_of,
    connections_to,
    house,
    signal_quietly,
    wait_for,
)
from tests.support.chaos_client import Books, Customers

#: Every run adds a line here.
FIGURES = TEST_HOME / "kill-tests.jsonl"

# Nothing is to be waited for: what would be sent again later is sent again now.
_HURRY = """
UPDATE delivery_message SET due_at = now() - interval '1 second'
 WHERE status IN ('unknown', 'retry', 'scheduled') AND due_at > now()
"""
# Parked mail stays unknown, for good.
_RESTLESS = """
SELECT count(*) FROM delivery_message m JOIN delivery_emailtype t ON t.name = m.email_type
 WHERE m.status IN ('sending', 'scheduled', 'retry', 'queued')
    OR (m.status = 'unknown' AND t.unknown_policy = 'resend')
"""

_STATES = """
SELECT status, email_type, awaits_turn, error, count(*), min(due_at) - now() AS earliest
  FROM delivery_message GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC LIMIT 20
"""


class Run:
    """A house, its customers, the dice, and a tally of what was done to it."""

    def __init__(self, place: House, *, seed: int, pace: float) -> None:
        self.house = place
        self.rng = random.Random(seed)
        self.started_at = datetime.now(UTC)  # noqa: TID251 - not Django's clock
        self.kills: Counter[str] = Counter()
        #: Connections to the sink open in killed processes: what may be in doubt.
        self.at_risk = 0
        self.customers = Customers(
            port=place.cluster.web_port, secret=place.cluster.secret, seed=seed
        )
        self.customers.set_pace(pace)
        self._began = time.monotonic()
        self.storm_seconds = 0.0

    def storm(self, strike: Callable[[], None], *, seconds: float = 0, times: int = 0) -> None:
        """Strike again and again at random, keeping everything that died alive."""
        began = time.monotonic()
        done = 0
        while done < times or time.monotonic() - began < seconds:
            strike()
            done += 1
            self.house.start()
        self.storm_seconds += time.monotonic() - began

    def pause(self, least: float, most: float) -> None:
        time.sleep(self.rng.uniform(least, most))

    def kill_pid(self, pid: int, what: str) -> bool:
        """Kill one process at this very moment; note what it had on the wire."""
        if not signal_quietly(pid, signal.SIGSTOP):
            return False
        self.at_risk += connections_to(self.house.cluster.sink_port, [pid])
        self.kills[what] += signal_quietly(pid, signal.SIGKILL)
        return True

    def kill_program(self, program: Program) -> None:
        """Kill a whole process group."""
        if program.is_running:
            program.send(signal.SIGSTOP)
            self.at_risk += connections_to(self.house.cluster.sink_port, program.pids())
            program.kill()
            self.kills[program.name.rstrip("0123456789")] += 1

    def kill_child(self, program: Program) -> None:
        """Kill a child, if it has one at the moment."""
        children = children_of(program.pid) if program.is_running else []
        if children:
            self.kill_pid(self.rng.choice(children), f"{program.name.rstrip('0123456789')} child")

    def kill_children(self, program: Program) -> None:
        """Kill all its children, as when a host runs out of memory."""
        for pid in children_of(program.pid) if program.is_running else []:
            self.kill_pid(pid, f"{program.name.rstrip('0123456789')} child")

    def kill_draining(self) -> None:
        """Kill a worker's child that drains, or any if none does."""
        at_work = self.draining()
        if at_work:
            self.kill_pid(self.rng.choice(at_work), "worker child")
        else:
            self.kill_child(self.rng.choice(self.house.workers))

    def crash_database(self) -> None:
        """Kill the postmaster; its backends notice and end."""
        self.house.cluster.postgres.kill()
        self.kills["postmaster"] += 1

    def crash_broker(self) -> None:
        """Kill the broker; every other time it forgets everything too."""
        self.house.cluster.valkey.kill()
        self.kills["broker"] += 1
        if self.rng.random() < 0.5:
            self.house.cluster.forget_broker()

    def draining(self) -> list[int]:
        """The pids of the workers' children that hold a lease."""
        ours = {pid for worker in self.house.workers for pid in worker.pids()}
        try:
            workers = self.house.query("SELECT worker FROM delivery_lease")
        except psycopg.OperationalError:
            return []
        return [pid for (name,) in workers if (pid := int(name.rpartition(":")[2])) in ours]

    def warm_up(self) -> None:
        """Wait until mail flows."""
        wait_for(self.house.arrived.read, seconds=30, what="the first mail arrives")

    def next_customers(self) -> Customers:
        """Let a second set of customers in; the caller starts and finishes them."""
        cluster = self.house.cluster
        return Customers(
            port=cluster.web_port, secret=cluster.secret, seed=self.rng.randrange(1000), first=50
        )

    def settle(self, *, seconds: float = 60) -> Books:
        """Heal everything, let customers get their answers and mail its rest."""
        self.house.start()
        books = self.customers.finish()
        try:
            wait_for(self._is_at_rest, seconds=seconds, what="all mail is at rest")
        except AssertionError:
            for row in self.house.query(_STATES):
                sys.stdout.write(f"{row}\n")
            raise
        wait_for(
            lambda: not self.house.query("SELECT 1 FROM delivery_lease"),
            seconds=15,
            what="no lease is left",
        )
        return books

    def _is_at_rest(self) -> bool:
        self.house.start()
        try:
            self.house.query(_HURRY)
            return self.house.query(_RESTLESS) == [(0,)]
        except psycopg.OperationalError:
            return False

    def check(
        self,
        name: str,
        *,
        doubt_limit: int | None = None,
        repeat_limit: int | None = None,
        is_clock_true: bool = True,
    ) -> ledger.Figures:
        """Settle, stop and compare the books; `doubt_limit` is what was at risk unless stated."""
        books = self.settle()
        codes = self.house.stop()
        figures = ledger.check(
            self.house.dsn,
            ledger.Expected(
                accepted=books.accepted,
                arrivals=self.house.arrived.read(),
                doubt_limit=self.at_risk if doubt_limit is None else doubt_limit,
                repeat_limit=repeat_limit,
                sequences=books.sequences,
                since=self.started_at if is_clock_true else None,
            ),
        )
        assert set(codes) == {0}, f"exit codes {codes}\n{self.house.logs()}"
        self._note(name, figures, books)
        return figures

    def _note(self, name: str, figures: ledger.Figures, books: Books) -> None:
        kills = sum(self.kills.values())
        line = {
            "run": name,
            "kills": dict(self.kills),
            "kills_per_minute": round(kills * 60 / self.storm_seconds) if self.storm_seconds else 0,
            **asdict(figures),
            "requests": books.requests,
            "requests_repeated": books.repeats,
            "requests_replayed": books.replays,
            "seconds": round(time.monotonic() - self._began, 1),
        }
        with FIGURES.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        sys.stdout.write(f"{line}\n")


@contextmanager
def run(cluster: Cluster, folder: Path, *, pace: float = 150, **options: object) -> Iterator[Run]:
    """Open a house with customers at the door. CHAOS_SEED repeats a run's dice."""
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1_000_000))
    sys.stdout.write(f"CHAOS_SEED={seed}\n")
    with house(cluster, folder, **options) as place:
        made = Run(place, seed=seed, pace=pace)
        made.customers.start()
        try:
            made.warm_up()
            yield made
        finally:
            if sys.exc_info()[0] is not None:
                sys.stdout.write(f"kills {dict(made.kills)}, at risk {made.at_risk}\n")
            for customer in made.customers.everybody:
                customer.give_up_at = 0
                customer.leaving.set()
