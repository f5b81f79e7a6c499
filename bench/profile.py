"""What each step of a message costs while the queue drains.

    .venv/bin/python -m bench.profile [--count 20000] [--processes 2]

Two sources. Worker: py-spy's samples of the threads that hold the interpreter, sorted into steps by
the innermost frame that belongs to one; a step's share of the samples is taken for its share of the
workers' CPU (all samples are left in var/bench/stacks.txt). Database:
pg_stat_statements, the time that each statement took in the server, waits included (COMMIT is the
disk). Uses servers of its own, so that the extension slows no other figure. py-spy is installed
into var/bench/tools if the package index has it; without it, only the statements are shown. Prints
JSON lines: microseconds of CPU per message, and milliseconds in the server per 1,000 messages.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench import measure
from bench.drain import Case, drain_round

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOOLS = measure.ROOT / "var" / "bench" / "tools"
PY_SPY = "py-spy==0.4.3"
#: Every stack with its samples, as flame graph tools read them.
STACKS = measure.ROOT / "var" / "bench" / "stacks.txt"
SAMPLES_PER_SECOND = 200
STATEMENTS_SHOWN = 12
LABEL_CHARS = 90
_SERVERS = ("DATABASE_URL", "REDIS_URL")

#: The innermost frame whose file and function match says what a sample was spent on.
STEPS = (
    ("claim", re.compile(r"delivery/queue/claims\.py")),
    ("record", re.compile(r"delivery/queue/(record|sequences)\.py|providers/quotas\.py")),
    ("compose: render", re.compile(r"/liquid/|templates_app/")),
    ("compose: encode, headers", re.compile(r"delivery/(compose/|recipients\.py)")),
    ("SMTP", re.compile(r"providers/adapters/")),
    ("route", re.compile(r"providers/(routing|selectors)\.py|delivery/queue/accounts\.py")),
    ("prepare", re.compile(r"delivery/queue/(prepare|contents|outcomes)\.py")),
    ("between threads", re.compile(r"delivery/queue/(senders|calls)\.py|/(threading|queue)\.py")),
    ("drain loop", re.compile(r"delivery/|providers/")),
)
OTHER = "Celery, interpreter"


def main() -> int:
    """Drain once under observation and print what it costs."""
    arguments = _arguments()
    has_statements = _prepare()
    measure.set_up_django()
    samples: Counter[str] = Counter()
    statements: dict[str, float] = {}

    @contextmanager
    def watch(worker: int) -> Iterator[None]:
        with _sampled(worker, samples), _timed(statements, has_statements=has_statements):
            yield

    figures = drain_round(Case(arguments.count, arguments.processes), watch)
    measure.report("drain while profiled", [figures])
    thousands = arguments.count / 1000
    if samples:
        worker = figures["worker_cpu_per_thousand"] * 1000
        share = worker / samples.total()
        steps = {step: count * share for step, count in samples.most_common()}
        measure.report("worker CPU, µs per message", [steps | {"together": worker}])
    if statements:
        measure.report(
            "database, server ms per 1000 messages",
            [{label: spent / thousands for label, spent in statements.items()}],
        )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


def _prepare() -> bool:
    """Start servers with pg_stat_statements; False if the server is another's and lacks it."""
    import psycopg

    from mailservice.launcher.environment import release_all

    is_ours = not os.environ.get("DATABASE_URL")
    measure.prepare(measure.HOME / "profile")
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        row = connection.execute("SHOW shared_preload_libraries").fetchone()
        if row is None or "pg_stat_statements" in row[0]:
            return True
        if not is_ours:
            return False
        connection.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
        connection.execute("ALTER SYSTEM SET pg_stat_statements.track_planning = on")
    release_all()
    for name in _SERVERS:
        os.environ.pop(name)
    measure.prepare(measure.HOME / "profile")
    return True


@contextmanager
def _sampled(worker: int, samples: Counter[str]) -> Iterator[None]:
    """Count the samples of a worker and its children by step."""
    program = _py_spy()
    if program is None:
        yield
        return
    command = [
        str(program), "record", "--pid", str(worker), "--subprocesses", "--format", "raw",
        "--full-filenames", "--gil", "--rate", str(SAMPLES_PER_SECOND), "--duration", "600",
        "--output", str(STACKS),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    for line in STACKS.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        samples[_step(stack.split(";"))] += int(count)


def _step(stack: list[str]) -> str:
    for frame in reversed(stack):
        for step, pattern in STEPS:
            if pattern.search(frame):
                return step
    return OTHER


def _py_spy() -> Path | None:
    program = TOOLS / "bin" / "py-spy"
    if not program.exists():
        commands = (
            [sys.executable, "-m", "venv", str(TOOLS)],
            [str(TOOLS / "bin" / "python"), "-m", "pip", "install", "--quiet",
             "--disable-pip-version-check", PY_SPY],
        )  # fmt: skip
        if any(subprocess.run(command, check=False).returncode for command in commands):
            sys.stderr.write("py-spy cannot be installed: no figures of the worker's steps.\n")
            return None
    return program


@contextmanager
def _timed(statements: dict[str, float], *, has_statements: bool) -> Iterator[None]:
    """Note the milliseconds that each statement took in the server."""
    from django.db import connection

    if not has_statements:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        cursor.execute("SELECT pg_stat_statements_reset()")
    yield
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT query, calls, total_exec_time + total_plan_time FROM pg_stat_statements"
            " ORDER BY 3 DESC LIMIT %s",
            [STATEMENTS_SHOWN],
        )
        for query, calls, spent in cursor.fetchall():
            label = re.sub(r"\s+", " ", query).strip()[:LABEL_CHARS]
            statements[f"{label} ({calls} calls)"] = spent


if __name__ == "__main__":
    sys.exit(main())
