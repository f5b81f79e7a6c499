"""Accept rate: mails posted one by one, and in batches of a thousand, to the real web server.

    .venv/bin/python -m bench.accept [--connections 1 4 16 64] [--seconds 4] [--rounds 3]

Starts gunicorn with our configuration on the bench's own durable servers. Each single request is a
mail of about 6 KB to another recipient with an `Idempotency-Key`, over a kept connection; a batch
is one content with 1,000 recipients and their contexts. With `--template`, single mails too are
templates with ten variables and a ten-item loop. CPU is that of gunicorn and of the database
server; the client's, which runs on the same cores, stands beside it. Prints JSON lines and medians.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from bench import measure
from bench.client import BATCH, SINGLE, Crowd
from bench.mail import SENDER, SUBJECT, TEXT, context, html, recipient
from bench.processes import WebServer
from bench.stock import empty_tables, make_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.measure import Figures

RECIPIENTS = 1000
#: Requests that tell how many fill the seconds asked for.
TRIAL = 300


def main() -> int:
    """Run the rounds and print the figures."""
    arguments = _arguments()
    measure.prepare()
    measure.set_up_django()
    empty_tables()
    single = single_mail(is_template=arguments.template)
    with WebServer() as web:
        secret = make_key()
        for connections in arguments.connections:
            crowd = Crowd(web.port, secret, connections)
            rounds = [
                _single_round(crowd, web.pid, single, arguments.seconds)
                for _ in range(arguments.rounds)
            ]
            measure.report(f"single mails, {connections} connections", rounds)
        crowd = Crowd(web.port, secret, arguments.batch_connections)
        batches = [_batch_round(crowd, web.pid, arguments.batches) for _ in range(arguments.rounds)]
        measure.report(f"batches of 1000, {arguments.batch_connections} connections", batches)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=4, help="of single mails, per round")
    parser.add_argument("--batches", type=int, default=20, help="of 1,000 mails, per round")
    parser.add_argument("--batch-connections", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--template", action="store_true", help="single mails are templates")
    return parser.parse_args()


def _single_round(crowd: Crowd, web: int, mail: Callable[[int], bytes], seconds: float) -> Figures:
    started = time.perf_counter()
    crowd.post(TRIAL, SINGLE, mail)
    count = max(TRIAL, int(TRIAL * seconds / (time.perf_counter() - started)))
    measured = _measured(web, count, lambda: crowd.post(count, SINGLE, mail))
    return {"per_second": measured.pop("rate"), **measured}


def _batch_round(crowd: Crowd, web: int, batches: int) -> Figures:
    body = _batch()
    measured = _measured(web, batches * RECIPIENTS, lambda: crowd.post(batches, BATCH, body))
    return {"mails_per_second": measured.pop("rate"), **measured}


def _measured(web: int, mails: int, run: Callable[[], list[float]]) -> Figures:
    database = measure.postmaster_pid()
    before = measure.cpu_seconds(web), measure.cpu_seconds(database), time.process_time()
    started = time.perf_counter()
    took = run()
    seconds = time.perf_counter() - started
    cuts = quantiles(took, n=100)
    used = {
        "web_cpu_per_thousand": measure.cpu_seconds(web) - before[0],
        "database_cpu_per_thousand": measure.cpu_seconds(database) - before[1],
        "client_cpu_per_thousand": time.process_time() - before[2],
    }
    return {
        "rate": mails / seconds,
        "p50_ms": cuts[49] * 1000,
        "p99_ms": cuts[98] * 1000,
        **{name: value / mails * 1000 for name, value in used.items()},
    }


def single_mail(*, is_template: bool) -> Callable[[int], bytes]:
    """Return a function that gives the body of a request for one mail."""
    mark = "@@@"
    text = html(loop=True) if is_template else html(loop=False).replace("{{", "").replace("}}", "")
    mail: dict[str, Any] = {
        "from": SENDER,
        "to": f"customer{mark}@customers.example",
        "subject": f"Your order {mark}",
        "html": text,
        "text": TEXT if is_template else TEXT.replace("{{", "").replace("}}", ""),
        "tags": ["order"],
        "metadata": {"order": mark},
    }
    if is_template:
        mail |= {"subject": SUBJECT, "context": context(7)}
    body = json.dumps(mail)
    return lambda number: body.replace(mark, str(number)).encode()


def _batch() -> Callable[[int], bytes]:
    shared = {
        "from": SENDER,
        "subject": SUBJECT,
        "html": html(loop=True),
        "text": TEXT,
        "email_type": "marketing",
        "recipients": [
            {"to": recipient(number), "context": context(number)} for number in range(RECIPIENTS)
        ],
    }
    body = json.dumps(shared).encode()
    return lambda _number: body


if __name__ == "__main__":
    sys.exit(main())
