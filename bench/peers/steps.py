"""One step of a peer, run in the peers' virtual environment: `python -m bench.peers.steps STEP N`.

Steps: `migrate`, `empty`, `enqueue-…`, `drain-…`. Prints JSON with the wall time around the work
proper and the CPU seconds of the whole process with its children.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from collections.abc import Callable

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.peers.settings")
CHUNK = 1000
PROCESSES = 2


def migrate(_count: int) -> None:
    """Make the tables."""
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)


def empty(_count: int) -> None:
    """Remove all mail."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE post_office_email, post_office_log, mailer_message, mailer_messagelog,"
            " peers_mail RESTART IDENTITY CASCADE"
        )


def enqueue_post_office(count: int) -> None:
    """Queue rendered mails with `send_many`: cheaper than its own rendering for each delivery."""
    from bench.mail import SENDER, context, recipient
    from bench.peers.content import rendered

    mail = import_module("post_office.mail")
    models = import_module("post_office.models")
    for start in range(0, count, CHUNK):
        emails = []
        for number in range(start, min(start + CHUNK, count)):
            subject, text, html = rendered(context(number))
            emails.append(
                models.Email(
                    from_email=SENDER,
                    to=[recipient(number)],
                    subject=subject,
                    message=text,
                    html_message=html,
                    priority=models.PRIORITY.medium,
                    status=models.STATUS.queued,
                )
            )
        models.Email.objects.bulk_create(emails)
    assert mail.get_queued().count() == min(count, 5000)


def drain_post_office(_count: int) -> None:
    """Send all with its command's function."""
    mail = import_module("post_office.mail")
    with tempfile.TemporaryDirectory() as folder:
        lock = str(Path(folder) / "lock")
        mail.send_queued_mail_until_done(lock, processes=PROCESSES)


def enqueue_mailer(count: int) -> None:
    """Queue through its backend, which inserts many rows in one statement."""
    from django.core.mail import get_connection

    from bench.mail import context, recipient
    from bench.peers.content import message

    backend = get_connection("mailer.backend.DbBackend")
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        backend.send_messages([message(recipient(n), context(n)) for n in numbers])


def drain_mailer(_count: int) -> None:
    """Send all with its command's function, in two processes."""
    from django.db import connections

    send_all = import_module("mailer.engine").send_all
    connections.close_all()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=send_all) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def enqueue_celery(count: int) -> list[int]:
    """Insert the rows; return their keys."""
    from bench.mail import context, recipient
    from bench.peers.models import Mail

    keys: list[int] = []
    for start in range(0, count, CHUNK):
        rows = [
            Mail(recipient=recipient(number), context=context(number))
            for number in range(start, min(start + CHUNK, count))
        ]
        keys += [row.pk for row in Mail.objects.bulk_create(rows)]
    return keys


def enqueue_celery_one(count: int) -> None:
    """Insert the rows and publish a task for each."""
    from bench.peers.tasks import send_one

    _publish(send_one, [(key,) for key in enqueue_celery(count)])


def enqueue_celery_kept(count: int) -> None:
    """Insert the rows and publish a task for each that keeps its connections."""
    from bench.peers.tasks import send_one_kept

    _publish(send_one_kept, [(key,) for key in enqueue_celery(count)])


def enqueue_celery_hundred(count: int) -> None:
    """Insert the rows and publish a task for each hundred."""
    from bench.peers.tasks import send_hundred

    keys = enqueue_celery(count)
    _publish(send_hundred, [(keys[at : at + 100],) for at in range(0, count, 100)])


def _publish(task: object, arguments: list[tuple[object, ...]]) -> None:
    from bench.peers.celery import app

    with app.producer_pool.acquire(block=True) as producer:
        for each in arguments:
            task.apply_async(each, producer=producer)  # type: ignore[attr-defined]  # Celery has no types


STEPS: dict[str, Callable[[int], None]] = {
    "migrate": migrate,
    "empty": empty,
    "enqueue-post_office": enqueue_post_office,
    "drain-post_office": drain_post_office,
    "enqueue-mailer": enqueue_mailer,
    "drain-mailer": drain_mailer,
    "enqueue-celery-one": enqueue_celery_one,
    "enqueue-celery-kept": enqueue_celery_kept,
    "enqueue-celery-hundred": enqueue_celery_hundred,
}


def main() -> int:
    """Run one step."""
    step, count = sys.argv[1], int(sys.argv[2])
    django.setup()
    started = time.time()
    STEPS[step](count)
    ended = time.time()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in used)
    sys.stdout.write(json.dumps({"started_at": started, "ended_at": ended, "cpu": cpu}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
