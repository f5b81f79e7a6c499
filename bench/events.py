"""Provider events: from the post to the state of the message.

    .venv/bin/python -m bench.events [--events 20000] [--per-post 50] [--connections 4] [--rounds 3]

Starts gunicorn with our configuration on the bench's own durable servers. A SendGrid account has
sent all the mails; their deliveries are posted over kept connections while one process works them
off, as a Celery worker does. The clock stops when the last message is delivered. Prints JSON lines
and medians.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bench import measure
from bench.processes import WebServer
from bench.stock import empty_tables, let_rest, queue_mails

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from bench.measure import Figures

_SENT = """
SET LOCAL session_replication_role = replica;
UPDATE delivery_message SET status = 'sent', provider_id = '{provider}', sent_at = now();
INSERT INTO delivery_attempt (id, message_id, number, provider_id, started_at, duration_ms, outcome,
    reason, scope, code, enhanced_code, reply, remote_id, dialogue, worker, cost_nanos)
SELECT gen_random_uuid(), id, 1, '{provider}', now(), 5, 'accepted', '', 'message', 202, '', '',
    'remote-' || id, '', '', 0 FROM delivery_message;
"""


def main() -> int:
    """Run the rounds and print the figures."""
    arguments = _arguments()
    measure.prepare()
    measure.set_up_django()
    rounds = [_round(arguments) for _ in range(arguments.rounds)]
    measure.report(f"{arguments.per_post} events per post", rounds)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--per-post", type=int, default=50)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _round(arguments: argparse.Namespace) -> Figures:
    path, messages = _prepared(arguments.events)
    size = arguments.per_post
    bodies = [_body(messages[first : first + size]) for first in range(0, len(messages), size)]
    let_rest()
    with WebServer() as web:
        database = measure.postmaster_pid()
        before = measure.cpu_seconds(web.pid), measure.cpu_seconds(database)
        started = time.perf_counter()
        posting = threading.Thread(
            target=_post_all, args=(web.port, path, bodies, arguments.connections)
        )
        posting.start()
        events = _work_off(len(messages))
        seconds = time.perf_counter() - started
        posting.join()
        used = {
            "web_cpu_seconds": measure.cpu_seconds(web.pid) - before[0],
            "database_cpu_seconds": measure.cpu_seconds(database) - before[1],
        }
    return {"events_per_second": events / seconds, **used}


def _prepared(count: int) -> tuple[str, list[UUID]]:
    """Queue mails and have them sent; return the path to post to and the mails' ids."""
    from django.db import connection, transaction

    from delivery.models import Message
    from inbound.models import EventSource
    from inbound.services.sources import source_of
    from providers.models import Provider

    empty_tables()
    EventSource.objects.all().delete()
    queue_mails(count)
    provider = Provider.objects.create(name="bench", kind="sendgrid", secrets={"api_key": "x"})
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in _SENT.format(provider=provider.pk).split(";\n"):
            if statement.strip():
                cursor.execute(statement)
    source = source_of(provider_id=provider.pk)
    path = f"/hooks/{provider.pk}/{source.token}"
    return path, list(Message.objects.values_list("pk", flat=True))


def _body(messages: Sequence[UUID]) -> bytes:
    now = int(time.time())
    events = [
        {
            "event": "delivered",
            "email": "someone@customers.example",
            "timestamp": now,
            "sg_event_id": f"event-{message.hex}",
            "sg_message_id": f"{message.hex}.recvd-5d8f",
            "smtp-id": "<x@example.com>",
            "response": "250 2.0.0 OK",
            "mailservice_id": message.hex,
        }
        for message in messages
    ]
    return json.dumps(events).encode()


def _post_all(port: int, path: str, bodies: Sequence[bytes], connections: int) -> None:
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(lambda n: _post_some(port, path, bodies[n::connections]), range(connections)))


def _post_some(port: int, path: str, bodies: Sequence[bytes]) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port)
    for body in bodies:
        client.request("POST", path, body, {"Content-Type": "application/json"})
        answer = client.getresponse()
        answer.read()
        assert answer.status == 200, answer.status  # noqa: PLR2004 - success
    client.close()


def _work_off(count: int) -> int:
    """Work posts off until so many events are done."""
    from inbound.services.events import posts_for_next, work_off_batch

    done, size = 0, 20
    deadline = time.monotonic() + 300
    while done < count:
        worked = work_off_batch(post_count=size)
        done += worked.applied
        if worked.posts:
            size = posts_for_next(worked)
        else:
            time.sleep(0.005)
        if time.monotonic() > deadline:
            raise SystemExit(f"Only {done} of {count} events were applied.")
    return done


if __name__ == "__main__":
    sys.exit(main())
