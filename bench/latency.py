"""How long mail waits behind other mail.

    .venv/bin/python -m bench.latency [--bulk 200000] [--seconds 30] [--rate 20]

First: so many bulk mails are queued and being drained by two worker processes while transactional
mails are posted at a steady rate to the real web server; the time from the request sent to the
mail's arrival at the sink. Then priorities within a lane: bulk mail of priority 1 is queued faster
than it drains, and the wait of mails of priority 5 is taken, from their acceptance to their arrival
(AGEING_SECONDS is at its default). Prints JSON lines.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from itertools import count as counting
from statistics import quantiles
from typing import TYPE_CHECKING

from bench import measure
from bench.accept import single_mail
from bench.client import SINGLE, Answer, Connection, run_threads
from bench.processes import SinkProcess, WebServer, WorkerProcess
from bench.stock import CHUNK, empty_tables, let_rest, make_accounts, make_key, queue_mails

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.measure import Figures
    from bench.processes import Arrival

POSTERS = 8
CONNECTIONS = 4
PROCESSES = 2
#: Priority 5: so many mails, to recipients numbered from here.
LOW_COUNT, LOW_START = 200, 90_000_000
#: Mails of priority 1 that are always waiting.
HIGH_WATER = 8_000
PATIENCE_SECONDS = 150.0


def main() -> int:
    """Run both parts and print the figures."""
    arguments = _arguments()
    measure.prepare()
    measure.set_up_django()
    title = f"transactional mail behind {arguments.bulk} bulk mails, {arguments.rate}/s"
    rounds = [_lanes(arguments.bulk, arguments.rate, arguments.seconds)]
    measure.report(title, rounds)
    measure.report("priority 5 under a steady stream of priority 1", [_priorities()])
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bulk", type=int, default=200_000)
    parser.add_argument("--rate", type=int, default=20, help="transactional mails per second")
    parser.add_argument("--seconds", type=int, default=30)
    return parser.parse_args()


def _lanes(bulk: int, rate: int, seconds: int) -> Figures:
    from delivery.dispatch import wake
    from delivery.models import Message
    from delivery.states import Lane, Status

    empty_tables()
    with SinkProcess() as sink, WebServer() as web:
        make_accounts(sink.port, connections=PROCESSES * CONNECTIONS)
        secret = make_key()
        queue_mails(bulk)
        let_rest()
        with WorkerProcess(PROCESSES, CONNECTIONS):
            wake(Lane.BULK)
            sink.wait_for(min(2000, bulk // 10), seconds=30)
            started = time.time()
            posted = _post_steadily(web.port, secret, rate * seconds, rate)
            ended = time.time()
            time.sleep(2)
            left = Message.objects.filter(lane=Lane.BULK, status=Status.QUEUED).count()
        arrivals = sink.arrivals()
    if not left:
        raise SystemExit("The bulk mails ran out: queue more.")
    during = sum(started <= arrival.at <= ended for arrival in arrivals)
    return _waits(posted, arrivals) | {
        "bulk_per_second": (during - len(posted)) / (ended - started),
        "bulk_left": float(left),
    }


def _post_steadily(port: int, secret: str, count: int, rate: int) -> dict[str, Answer]:
    """Post at fixed times, whatever the answers take; return the answers by message id."""
    answers: dict[str, Answer] = {}
    body = single_mail(is_template=False)
    numbers = counting()
    start = time.monotonic() + 0.2

    def work() -> None:
        with Connection(port, secret) as connection:
            while (number := next(numbers)) < count:
                time.sleep(max(0.0, start + number / rate - time.monotonic()))
                answer = connection.post(SINGLE, body(number))
                answers[str(json.loads(answer.body)["id"]).replace("-", "")] = answer

    run_threads(work for _ in range(POSTERS))
    return answers


def _waits(posted: Mapping[str, Answer], arrivals: Sequence[Arrival]) -> Figures:
    arrived = {arrival.message_id.strip("<>").partition("@")[0]: arrival.at for arrival in arrivals}
    missing = posted.keys() - arrived.keys()
    if missing:
        raise SystemExit(f"{len(missing)} of {len(posted)} transactional mails have not arrived.")
    waits = [arrived[key] - answer.sent_at for key, answer in posted.items()]
    answers = [answer.seconds for answer in posted.values()]
    return {
        "mails": float(len(posted)),
        **_spread("wire", waits),
        **_spread("answer", answers),
    }


def _spread(name: str, seconds: Sequence[float]) -> Figures:
    cuts = quantiles(seconds, n=100)
    return {
        f"{name}_p50_ms": cuts[49] * 1000,
        f"{name}_p99_ms": cuts[98] * 1000,
        f"{name}_max_ms": max(seconds) * 1000,
    }


def _priorities() -> Figures:
    from delivery.dispatch import wake
    from delivery.states import Lane

    empty_tables()
    fewest: list[int] = []
    enough = threading.Event()
    with SinkProcess(logs_recipients=True) as sink:
        make_accounts(sink.port, connections=PROCESSES * CONNECTIONS)
        queue_mails(HIGH_WATER, priority=1)
        let_rest()
        with WorkerProcess(PROCESSES, CONNECTIONS):
            feeder = threading.Thread(target=_keep_full, args=(enough, fewest))
            feeder.start()
            wake(Lane.BULK)
            try:
                sink.wait_for(1000, seconds=30)
                queue_mails(LOW_COUNT, start=LOW_START, priority=5)
                queued_at = time.time()
                waits = _low_waits(sink, queued_at)
            finally:
                enough.set()
                feeder.join()
    return {
        "priority_5_first_seconds": min(waits),
        "priority_5_median_seconds": quantiles(waits, n=2)[0],
        "priority_5_last_seconds": max(waits),
        "priority_1_fewest_waiting": float(min(fewest)),
    }


def _keep_full(enough: threading.Event, fewest: list[int]) -> None:
    """Keep mails of priority 1 waiting; note how few there ever were."""
    from django.db import connection

    from delivery.models import Message
    from delivery.states import Lane, Status

    start = HIGH_WATER
    waiting = Message.objects.filter(lane=Lane.BULK, status=Status.QUEUED, priority=1)
    while not enough.is_set():
        fewest.append(waiting.count())
        if fewest[-1] < HIGH_WATER:
            queue_mails(CHUNK, start=start, priority=1)
            start += CHUNK
        else:
            enough.wait(0.05)
    connection.close()


def _low_waits(sink: SinkProcess, queued_at: float) -> list[float]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        time.sleep(1)
        arrived = [
            arrival.at - queued_at
            for arrival in sink.arrivals()
            if int(arrival.recipients.partition("@")[0].removeprefix("customer")) >= LOW_START
        ]
        if len(arrived) == LOW_COUNT:
            return arrived
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(arrived)} of {LOW_COUNT} mails of priority 5 arrived.")


if __name__ == "__main__":
    sys.exit(main())
