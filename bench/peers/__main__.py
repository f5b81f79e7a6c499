"""Peers in the same run: the same mails to the same sink from the same PostgreSQL and Valkey.

    .venv/bin/python -m bench.peers [--count 5000] [--rounds 3] [--only post_office ...]

Ours first, then each peer at its best, round after round. Peers are installed into
var/bench/peers-venv from bench/peers/requirements.txt and use a database of their own. The rate
counts from the moment the drain is let go to the last result recorded, with Celery from the first
mail to the last; CPU is that of queueing, draining and the database server. How each peer is set
up: bench/peers/settings.py, steps.py and tasks.py. Prints JSON lines, one a round, medians, and
ours ÷ the best peer.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from bench import measure
from bench.drain import Case, drain_round
from bench.processes import START_SECONDS, SinkProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.measure import Figures

VENV = measure.ROOT / "var" / "bench" / "peers-venv"
REQUIREMENTS = measure.ROOT / "bench" / "peers" / "requirements.txt"
DATABASE = "bench_peers"
OURS = "ours"
STALL_SECONDS = 120
#: The worker's name: commands are for it alone.
NODE = "peers@localhost"


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer's set-up."""

    name: str
    title: str
    #: Part of the count: the slow ones, whose rate does not depend on it, get fewer mails.
    share: float = 1.0
    is_celery: bool = False
    #: Celery: database connections are kept from one task to the next.
    keeps_connections: bool = True


PEERS = (
    Peer("post_office", "django-post_office, 2 processes of 4 threads, batches of 5,000"),
    Peer("mailer", "django-mailer, 2 processes, kept SMTP connection", share=0.4),
    Peer("celery-one", "Celery, task per mail", 0.2, is_celery=True, keeps_connections=False),
    Peer("celery-kept", "Celery, task per mail, kept connections", 0.4, is_celery=True),
    Peer("celery-hundred", "Celery, task per 100 mails", is_celery=True),
)


def main() -> int:
    """Run the rounds and print the figures."""
    arguments = _arguments()
    if not _install():
        sys.stderr.write("The peers cannot be installed from the package index: left out.\n")
        return 0
    measure.prepare()
    measure.set_up_django()
    _make_database()
    _step("migrate", 0)
    peers = [peer for peer in PEERS if not arguments.only or peer.name in arguments.only]
    rounds: dict[str, list[Figures]] = {title: [] for title in (OURS, *(p.title for p in peers))}
    for _ in range(arguments.rounds):
        rounds[OURS].append(_ours(arguments.count))
        for peer in peers:
            rounds[peer.title].append(_peer_round(peer, int(arguments.count * peer.share)))
    for title, figures in rounds.items():
        measure.report(title, figures)
    if peers:
        measure.report("ours ÷ best peer", _ratios(rounds))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], choices=[peer.name for peer in PEERS])
    return parser.parse_args()


def _install() -> bool:
    python = VENV / "bin" / "python"
    stamp = VENV / "requirements.txt"
    if stamp.is_file() and stamp.read_text() == REQUIREMENTS.read_text():
        return True
    commands = (
        [sys.executable, "-m", "venv", str(VENV)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r",
         str(REQUIREMENTS)],
    )  # fmt: skip
    if any(subprocess.run(command, check=False).returncode for command in commands):
        return False
    stamp.write_text(REQUIREMENTS.read_text())
    return True


def _make_database() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE DATABASE {DATABASE}")


def _environment(smtp_port: int = 0, *, keeps_connections: bool = True) -> dict[str, str]:
    from django.conf import settings

    ours = settings.DATABASES["default"]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "bench.peers.settings",
        "PEERS_DB_HOST": str(ours["HOST"]),
        "PEERS_DB_PORT": str(ours["PORT"]),
        "PEERS_DB_USER": str(ours["USER"]),
        "PEERS_DB_PASSWORD": str(ours["PASSWORD"]),
        "PEERS_DB_NAME": DATABASE,
        "PEERS_BROKER_URL": settings.CELERY_BROKER_URL,
        "PEERS_SMTP_PORT": str(smtp_port),
        "PEERS_CONN_MAX_AGE": "600" if keeps_connections else "0",
    }
    if keeps_connections:
        environment["PEERS_DB_REUSE_MAX"] = "100000"
    return environment


def _step(step: str, count: int, smtp_port: int = 0) -> Figures:
    command = [str(VENV / "bin" / "python"), "-m", "bench.peers.steps", step, str(count)]
    done = subprocess.run(
        command,
        cwd=measure.ROOT,
        env=_environment(smtp_port),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return cast("Figures", json.loads(done.stdout.splitlines()[-1]))


def _ours(count: int) -> Figures:
    figures = drain_round(Case(count))
    return {
        "per_second": figures["from_wake_per_second"],
        "cpu_per_thousand": figures["cpu_per_thousand"],
        "queue_cpu_per_thousand": figures["accept_cpu_per_thousand"],
    }


def _peer_round(peer: Peer, count: int) -> Figures:
    from mailservice.core.broker import redis_client

    redis_client().flushdb()
    _step("empty", 0)
    database = measure.postmaster_pid()
    with SinkProcess() as sink:
        before = measure.cpu_seconds(database)
        queue = _step(f"enqueue-{peer.name}", count)["cpu"] + measure.cpu_seconds(database) - before
        before = measure.cpu_seconds(database)
        drain = _celery_drain if peer.is_celery else _command_drain
        seconds, cpu = drain(peer, count, sink)
        cpu += measure.cpu_seconds(database) - before
        ids = [arrival.message_id for arrival in sink.arrivals()]
    if not len(ids) == len(set(ids)) == count:
        raise SystemExit(f"{peer.name}: {len(ids)} mails of {count}, {len(set(ids))} different")
    return {
        "per_second": count / seconds,
        "cpu_per_thousand": (queue + cpu) / count * 1000,
        "queue_cpu_per_thousand": queue / count * 1000,
    }


def _command_drain(peer: Peer, count: int, sink: SinkProcess) -> tuple[float, float]:
    done = _step(f"drain-{peer.name}", count, sink.port)
    return done["ended_at"] - done["started_at"], done["cpu"]


def _celery_drain(peer: Peer, count: int, sink: SinkProcess) -> tuple[float, float]:
    """Let an idle worker loose; return seconds from the first to the last mail, and its CPU."""
    with _celery_worker(peer, sink.port) as worker:
        before = measure.cpu_seconds(worker.pid)
        # Once only, answered or not: a second consumer of the queue would hold back tasks.
        _celery(peer, sink.port, "control", "-d", NODE, "-t", "5", "add_consumer", "peers")
        sink.wait_for(count, seconds=STALL_SECONDS)
        time.sleep(0.5)
        cpu = measure.cpu_seconds(worker.pid) - before
        times = [arrival.at for arrival in sink.arrivals()]
    return max(times) - min(times), cpu


@contextmanager
def _celery_worker(peer: Peer, smtp_port: int) -> Iterator[subprocess.Popen[Any]]:
    command = [
        str(VENV / "bin" / "python"), "-m", "celery", "-A", "bench.peers.celery", "worker", "-Q",
        "nothing", "-c", "2", "--without-mingle", "--without-gossip", "--without-heartbeat",
        "-l", "error", "-Ofair", "-n", NODE,
    ]  # fmt: skip
    worker = subprocess.Popen(
        command,
        cwd=measure.ROOT,
        env=_environment(smtp_port, keeps_connections=peer.keeps_connections),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for_worker(peer, smtp_port)
        yield worker
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)


def _celery(peer: Peer, smtp_port: int, *words: str) -> int:
    """Run one of Celery's commands; return its exit code."""
    return subprocess.run(
        [str(VENV / "bin" / "python"), "-m", "celery", "-A", "bench.peers.celery", "-q", *words],
        cwd=measure.ROOT,
        env=_environment(smtp_port, keeps_connections=peer.keeps_connections),
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ).returncode


def _wait_for_worker(peer: Peer, smtp_port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while _celery(peer, smtp_port, "inspect", "-d", NODE, "-t", "2", "ping"):
        if time.monotonic() > deadline:
            raise SystemExit(f"{peer.name}: the worker does not answer.")


def _ratios(rounds: dict[str, list[Figures]]) -> list[Figures]:
    ours = rounds[OURS]
    peers = [figures for title, figures in rounds.items() if title != OURS]
    return [
        {
            "rate": own["per_second"] / max(peer[at]["per_second"] for peer in peers),
            "cpu": own["cpu_per_thousand"] / min(peer[at]["cpu_per_thousand"] for peer in peers),
        }
        for at, own in enumerate(ours)
    ]


if __name__ == "__main__":
    sys.exit(main())
