"""Accept rate: mails posted one by one, and in batches of a thousand, to the real web server.

    .venv/bin/python -m bench.accept [--count 5000] [--connections 16] [--rounds 3] [--template]

Starts gunicorn with our configuration on the bench's own durable servers. Each single request is a
mail of about 6 KB to another recipient with an `Idempotency-Key`, over a kept connection; a batch
is one content with 1,000 recipients and their contexts. With `--template`, single mails too are
templates with ten variables and a ten-item loop. CPU is that of gunicorn and of the database
server; the client's, which runs on the same cores, stands beside it. Prints JSON lines and medians.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from bench import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECIPIENTS = 1000
START_SECONDS = 30


def main() -> int:
    """Run the rounds and print the figures."""
    arguments = _arguments()
    measure.prepare()
    measure.set_up_django()
    secret = _make_key()
    with _web_server() as (port, pid):
        client = _Client(port, secret, arguments.connections)
        results = [_round(arguments, client, pid) for _ in range(arguments.rounds)]
    for result in results:
        sys.stdout.write(json.dumps(result) + "\n")
    summary = {name: round(median(result[name] for result in results), 3) for name in results[0]}
    sys.stdout.write("median " + json.dumps(summary) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=5000, help="single mails per round")
    parser.add_argument("--batches", type=int, default=20, help="of 1,000 mails, per round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--template", action="store_true", help="single mails are templates")
    return parser.parse_args()


def _make_key() -> str:
    from django.db import connection

    from accounts.models import User
    from accounts.services import create_api_key

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE delivery_message, delivery_content, delivery_attempt, delivery_event,"
            " delivery_attachment, delivery_idempotencyrecord"
        )
    user, _ = User.objects.get_or_create(email="bench@example.com")
    return create_api_key(user=user, name="bench").secret


@contextmanager
def _web_server() -> Iterator[tuple[int, int]]:
    """Run gunicorn as production does; yield its port and process id."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "PROCESS_ROLE": "web", "PORT": str(port), "DEBUG": "0"}
    command = [
        sys.executable, "-m", "gunicorn", "--config", "mailservice/gunicorn.py",
        "--log-level", "warning", "mailservice.wsgi",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=measure.ROOT, env=environment)
    try:
        _wait_for(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit("The web server does not start.")
        time.sleep(0.1)


@dataclass
class _Client:
    """Kept connections that send prepared requests as fast as answers come."""

    port: int
    secret: str
    connections: int
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, count: int, path: str, body: Callable[[int], bytes]) -> list[float]:
        """Send `count` requests; return the seconds each took. Ends at any answer but 202."""
        numbers = iter(range(count))
        took: list[float] = []
        failures: list[str] = []

        def work() -> None:
            with socket.create_connection(("127.0.0.1", self.port), timeout=60) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while not failures:
                    with self._lock:
                        number = next(numbers, None)
                    if number is None:
                        return
                    request = self._request(path, body(number))
                    started = time.perf_counter()
                    answer = _exchange(sock, request)
                    took.append(time.perf_counter() - started)
                    if not answer.startswith(b"HTTP/1.1 202"):
                        failures.append(answer[:2000].decode(errors="replace"))

        threads = [threading.Thread(target=work) for _ in range(self.connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise SystemExit(failures[0])
        return took

    def _request(self, path: str, body: bytes) -> bytes:
        return (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.secret}\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: {uuid4()}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body


def _exchange(sock: socket.socket, request: bytes) -> bytes:
    """Send a request and return the whole answer, which must say its length."""
    sock.sendall(request)
    answer = b""
    while (end := answer.find(b"\r\n\r\n")) < 0:
        answer += _receive(sock)
    head = answer[:end].lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(answer) < end + 4 + length:
        answer += _receive(sock)
    return answer


def _receive(sock: socket.socket) -> bytes:
    data = sock.recv(1 << 18)
    if not data:
        raise SystemExit("The server hung up.")
    return data


def _round(arguments: argparse.Namespace, client: _Client, web: int) -> dict[str, float]:
    single = _single(is_template=arguments.template)
    client.run(min(500, arguments.count), "/api/v1/emails", single)  # warm
    one = _measured(web, arguments.count, client, "/api/v1/emails", single)
    many = _measured(web, arguments.batches, client, "/api/v1/emails/batch", _batch())
    mails = many["rate"] * RECIPIENTS
    return {
        "single_per_second": one["rate"],
        "single_p50_ms": one["p50_ms"],
        "single_p99_ms": one["p99_ms"],
        "web_cpu_per_thousand": one["web_cpu"] / arguments.count * 1000,
        "database_cpu_per_thousand": one["database_cpu"] / arguments.count * 1000,
        "client_cpu_per_thousand": one["client_cpu"] / arguments.count * 1000,
        "batch_mails_per_second": mails,
        "batch_web_cpu_per_thousand": many["web_cpu"] / arguments.batches,
        "batch_database_cpu_per_thousand": many["database_cpu"] / arguments.batches,
    }


def _measured(
    web: int, count: int, client: _Client, path: str, body: Callable[[int], bytes]
) -> dict[str, Any]:
    database = measure.postmaster_pid()
    before = measure.cpu_seconds(web), measure.cpu_seconds(database), time.process_time()
    started = time.perf_counter()
    took = client.run(count, path, body)
    seconds = time.perf_counter() - started
    cuts = quantiles(took, n=100)
    return {
        "rate": count / seconds,
        "p50_ms": cuts[49] * 1000,
        "p99_ms": cuts[98] * 1000,
        "web_cpu": measure.cpu_seconds(web) - before[0],
        "database_cpu": measure.cpu_seconds(database) - before[1],
        "client_cpu": time.process_time() - before[2],
    }


def _single(*, is_template: bool) -> Callable[[int], bytes]:
    from bench.compose import TEXT, context, html

    mark = "@@@"
    text = html(loop=True) if is_template else html(loop=False).replace("{{", "").replace("}}", "")
    mail: dict[str, Any] = {
        "from": "shop@shop.example",
        "to": f"customer{mark}@customers.example",
        "subject": f"Your order {mark}",
        "html": text,
        "text": TEXT if is_template else TEXT.replace("{{", "").replace("}}", ""),
        "tags": ["order"],
        "metadata": {"order": mark},
    }
    if is_template:
        mail |= {"subject": "Your order {{ order }}", "context": context(7)}
    body = json.dumps(mail)
    return lambda number: body.replace(mark, str(number)).encode()


def _batch() -> Callable[[int], bytes]:
    from bench.compose import TEXT, context, html

    shared = {
        "from": "shop@shop.example",
        "subject": "Your order {{ order }}",
        "html": html(loop=True),
        "text": TEXT,
        "email_type": "marketing",
        "recipients": [
            {"to": f"customer{number}@customers.example", "context": context(number)}
            for number in range(RECIPIENTS)
        ],
    }
    body = json.dumps(shared).encode()
    return lambda _number: body


if __name__ == "__main__":
    sys.exit(main())
