"""Drain rate: N queued messages to a local SMTP sink by real Celery workers, everything recorded.

    .venv/bin/python -m bench.drain [--count 20000] [--processes 2] [--rounds 3] [--slow]

The message is the one of bench.compose (5.1 KB of HTML with ten variables and a ten-item loop, 0.5
KB of text, distinct recipients). The rate counts from the first mail at the sink to the last result
recorded. CPU is that of accepting, draining (all worker processes) and the database server.
`--slow` has the relay take 5 ms for a reply and 25 ms for the last. Prints JSON lines and medians.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Self

from bench import measure

CHUNK = 1000


def main() -> int:
    """Run the rounds and print the figures."""
    arguments = _arguments()
    measure.prepare()
    measure.set_up_django()
    results = [_round(arguments) for _ in range(arguments.rounds)]
    for result in results:
        sys.stdout.write(json.dumps(result) + "\n")
    summary = {name: round(median(result[name] for result in results), 3) for name in results[0]}
    sys.stdout.write("median " + json.dumps(summary) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="connections per process")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow", action="store_true", help="a relay with delays")
    return parser.parse_args()


def _round(arguments: argparse.Namespace) -> dict[str, float]:
    from django.db import connection

    from delivery.models import Attempt, Message
    from delivery.states import Status
    from mailservice.core.broker import redis_client

    _empty_tables()
    with (
        tempfile.TemporaryDirectory() as folder,
        _Sink(Path(folder), is_slow=arguments.slow) as sink,
    ):
        threads = arguments.threads or (32 if arguments.slow else 4)
        _make_account(sink.port, threads)
        database = measure.postmaster_pid()
        before = time.process_time(), measure.cpu_seconds(database)
        started = time.perf_counter()
        _queue(arguments.count)
        accept_seconds = time.perf_counter() - started
        accept_cpu = time.process_time() - before[0]
        accept_database_cpu = measure.cpu_seconds(database) - before[1]
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE delivery_message")
        redis_client().flushdb()
        with _Worker(arguments.processes, threads) as worker:
            drained = _drain(worker.pid, database, arguments.count)
            peaks = measure.peak_mebibytes(worker.pid)
        sent = Message.objects.filter(status=Status.SENT).count()
        attempts = Attempt.objects.count()
        arrived = sink.finish()
    if not sent == attempts == len(set(arrived)) == len(arrived) == arguments.count:
        raise SystemExit(f"Lost or repeated: {sent=} {attempts=} arrived={len(arrived)}")
    per_thousand = arguments.count / 1000
    cpu = drained["worker_cpu"] + drained["database_cpu"] + accept_cpu + accept_database_cpu
    return {
        "drain_per_second": arguments.count / drained["seconds"],
        "accept_per_second": arguments.count / accept_seconds,
        "cpu_per_thousand": cpu / per_thousand,
        "accept_cpu_per_thousand": (accept_cpu + accept_database_cpu) / per_thousand,
        "worker_cpu_per_thousand": drained["worker_cpu"] / per_thousand,
        "database_cpu_per_thousand": drained["database_cpu"] / per_thousand,
        "peak_mebibytes": max(peaks.values()),
    }


def _empty_tables() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE delivery_message, delivery_content, delivery_attempt, delivery_event,"
            " delivery_lease, delivery_attachment, providers_provider, providers_routingdecision"
            " CASCADE"
        )


def _make_account(port: int, threads: int) -> None:
    from accounts.models import User
    from providers.models import Provider

    if not User.objects.exists():
        User.objects.create_user("bench@example.com")
    Provider.objects.create(
        name="sink",
        kind="smtp",
        from_email="shop@shop.example",
        settings={"host": "127.0.0.1", "port": port},
        max_connections=threads,
    )


def _queue(count: int) -> None:
    from django.utils import timezone

    from accounts.models import User
    from bench.compose import TEXT, context, html
    from delivery.intake import Limits, parse_batch
    from delivery.services.accept import Accepted, Sender, queue_messages

    sender = Sender(User.objects.values_list("pk", flat=True)[0])
    shared = {
        "from": "shop@shop.example",
        "subject": "Your order {{ order }}",
        "html": html(loop=True),
        "text": TEXT,
        "email_type": "marketing",
    }
    for start in range(0, count, CHUNK):
        recipients = [
            {"to": f"customer{number}@customers.example", "context": context(number)}
            for number in range(start, min(start + CHUNK, count))
        ]
        batch = parse_batch(
            {**shared, "recipients": recipients}, now=timezone.now(), limits=Limits(max_batch=CHUNK)
        )
        results = queue_messages(
            messages=[item.message for item in batch.items if item.message is not None],
            sender=sender,
            is_shared_content=True,
        )
        refused = [result for result in results if not isinstance(result, Accepted)]
        if refused:
            raise SystemExit(f"Not accepted: {refused[0]}")


def _drain(worker: int, database: int, count: int) -> dict[str, float]:
    from delivery.dispatch import wake
    from delivery.models import Message
    from delivery.states import Lane, Status

    cpu = measure.cpu_seconds(worker), measure.cpu_seconds(database)
    started = time.time()
    while Message.objects.filter(status__in=[Status.QUEUED, Status.SENDING]).exists():
        wake(Lane.BULK)
        time.sleep(0.1)
        if time.time() - started > 60 + count / 50:
            raise SystemExit("The queue does not drain.")
    last = Message.objects.order_by("-sent_at").values_list("sent_at", flat=True)[0]
    first = Message.objects.order_by("sent_at").values_list("sent_at", flat=True)[0]
    assert first is not None
    assert last is not None
    time.sleep(0.5)
    return {
        "seconds": (last - first).total_seconds(),
        "worker_cpu": measure.cpu_seconds(worker) - cpu[0],
        "database_cpu": measure.cpu_seconds(database) - cpu[1],
    }


class _Sink:
    """The counting sink in a process of its own."""

    def __init__(self, folder: Path, *, is_slow: bool) -> None:
        self._log = folder / "sink.tsv"
        delays = ["--reply-delay-ms", "5", "--final-delay-ms", "25"] if is_slow else []
        self._command = [
            sys.executable, "-m", "bench.sink", "--port", "0", "--log", str(self._log), *delays,
        ]  # fmt: skip

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=measure.ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port: int = json.loads(self._process.stdout.readline())["port"]
        return self

    def finish(self) -> list[str]:
        """Return the Message-IDs that arrived."""
        time.sleep(0.3)
        return [line.split("\t")[0] for line in self._log.read_text().splitlines()]

    def __exit__(self, *_exception: object) -> None:
        self._process.terminate()
        self._process.wait(10)


class _Worker:
    """One Celery worker with so many processes, ready and idle."""

    def __init__(self, processes: int, threads: int) -> None:
        self._environment = {
            **os.environ,
            "PROCESS_ROLE": "worker",
            "DRAIN_THREADS": str(threads),
            "WORKER_CONCURRENCY": str(processes),
        }

    def __enter__(self) -> subprocess.Popen[Any]:
        command = [
            sys.executable, "-m", "celery", "-A", "mailservice", "worker", "-Q",
            "transactional,bulk", "--without-mingle", "--without-gossip", "--without-heartbeat",
            "-l", "warning",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, cwd=measure.ROOT, env=self._environment, start_new_session=True
        )
        time.sleep(4)
        return self._process

    def __exit__(self, *_exception: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


if __name__ == "__main__":
    sys.exit(main())
