"""Opens and clicks: how fast pixels and links are answered while hits are kept.

    .venv/bin/python -m bench.tracking [--rate 200] [--seconds 60] [--rounds 1]

Starts gunicorn with our configuration on the bench's own durable servers. Requests begin at random
times of a fixed mean rate (Poisson), whatever the answers take, half of them pixels, each of
another mail, over kept connections. The time counts from when a request was due. Then the hits are
judged. Prints JSON lines and medians. What marks cost in a mail: `bench.compose`.
"""

from __future__ import annotations

import argparse
import http.client
import random
import sys
import threading
import time
from itertools import count as counting
from statistics import quantiles
from typing import TYPE_CHECKING
from uuid import uuid4

from bench import measure
from bench.client import run_threads
from bench.processes import WebServer
from bench.stock import empty_tables, let_rest, queue_mails

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from bench.measure import Figures

#: Threads that ask; more than ever wait at once.
ASKERS = 32
_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
_SENT = "UPDATE delivery_message SET status = 'sent', sent_at = now() - interval '1 hour'"


def main() -> int:
    """Run the rounds and print the figures."""
    arguments = _arguments()
    measure.prepare()
    measure.set_up_django()
    rounds = [_round(arguments.rate, arguments.seconds) for _ in range(arguments.rounds)]
    measure.report(f"{arguments.rate} opens and clicks per second", rounds)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


def _round(rate: int, seconds: int) -> Figures:
    from inbound.models import Hit

    empty_tables()
    Hit.objects.all().delete()
    paths = _paths(rate * seconds)
    let_rest()
    with WebServer() as web:
        _ask(web.port, paths[:200], rate)  # opens connections, warms up
        database = measure.postmaster_pid()
        before = measure.cpu_seconds(web.pid), measure.cpu_seconds(database)
        waits = _ask(web.port, paths, rate)
        thousands = len(paths) / 1000
        used = {
            "web_cpu_seconds_per_thousand": (measure.cpu_seconds(web.pid) - before[0]) / thousands,
            "database_cpu_seconds_per_thousand": (measure.cpu_seconds(database) - before[1])
            / thousands,
        }
    assert Hit.objects.count() >= len(paths), "Hits were lost."
    cuts = quantiles(waits, n=1000)
    return {
        "hits": float(len(waits)),
        "p50_ms": cuts[499] * 1000,
        "p99_ms": cuts[989] * 1000,
        "p999_ms": cuts[998] * 1000,
        "most_ms": max(waits) * 1000,
        **used,
        "judged_per_second": _judge(),
    }


def _paths(count: int) -> list[str]:
    """Return a path for every request, of mails that are in the database."""
    from delivery.link_keys import key_ring
    from delivery.links.tracks import click_head, click_token, open_token, recipient_mark

    ring = key_ring()
    paths = []
    for number, message_id in enumerate(_messages(count)):
        mark = recipient_mark(message_id, f"someone{number}@customers.example")
        if number % 2:
            paths.append(f"/o/{open_token(ring, message_id, mark)}.gif")
        else:
            head = click_head(message_id, mark, 9)
            url = f"https://shop.example.com/products/{number}?utm_source=news"
            paths.append(f"/c/{click_token(ring, head, url.encode())}")
    return paths


def _messages(count: int) -> list[UUID]:
    from django.db import connection, transaction

    from delivery.models import Message

    queue_mails(count)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(_SENT)
    found = list(Message.objects.values_list("pk", flat=True))
    # Mails that were purged are asked for as well.
    return [*found[: count * 9 // 10], *(uuid4() for _ in range(count - count * 9 // 10))]


def _ask(port: int, paths: Sequence[str], rate: int) -> list[float]:
    """Ask at random times of a mean rate; return how long each answer took from when it was due."""
    due, moment = [], 0.0
    for _ in paths:
        moment += random.expovariate(rate)
        due.append(moment)
    numbers = counting()
    waits = [0.0] * len(paths)
    start = time.perf_counter() + 0.5
    lock = threading.Lock()

    def work() -> None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while True:
            with lock:
                number = next(numbers)
            if number >= len(paths):
                break
            time.sleep(max(0.0, start + due[number] - time.perf_counter()))
            client.request("GET", paths[number], headers={"User-Agent": _AGENT})
            answer = client.getresponse()
            answer.read()
            waits[number] = time.perf_counter() - start - due[number]
            assert answer.status in {200, 302}, answer.status
        client.close()

    run_threads(work for _ in range(ASKERS))
    return waits


def _judge() -> float:
    from django.utils import timezone

    from inbound.models import Hit
    from inbound.tracking.judging import judge_batch

    Hit.objects.update(due_at=timezone.now())
    started, done = time.perf_counter(), 0
    while (judged := judge_batch()).hits:
        done += judged.hits
    return done / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
