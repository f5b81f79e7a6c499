"""The limits of this machine, with nothing of a mail service around them.

    .venv/bin/python -m bench.raw [--mails 5000] [--rows 100000] [--rounds 3]

Sending: ready-made mails over one connection, by smtplib, by our SMTP session, and by a bare socket
that pipelines. Writing: rows of the message table with its indexes and constraints but without
foreign keys and triggers, by COPY and by the one statement that accepts a batch of ours.
Committing: one row a transaction, by one connection and by sixteen. CPU per thousand is this
process's and the database server's. Last, the sink by itself, with its own CPU. Prints JSON lines
and medians.
"""

from __future__ import annotations

import argparse
import smtplib
import socket
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bench import measure
from bench.client import run_threads
from bench.mail import SENDER, recipient
from bench.processes import SinkProcess
from bench.sink import run_self_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.measure import Figures

TABLE = "bench_rows"
BATCH = 1000
COMMIT_SECONDS = 2.0


def main() -> int:
    """Run the rounds and print the figures."""
    arguments = _arguments()
    measure.prepare()
    measure.set_up_django()
    mails = _ready_mails(min(arguments.mails, 2000))
    rows = _sample_rows()
    cases: dict[str, Callable[[], Figures]] = {
        "smtplib, one connection": partial(_send, _by_smtplib, mails, arguments.mails),
        "our SMTP session, one connection": partial(_send, _by_session, mails, arguments.mails),
        "bare pipelined socket, one connection": partial(_send, _by_socket, mails, arguments.mails),
        "COPY of message rows": partial(_write, _by_copy, rows, arguments.rows),
        "INSERT of message rows from JSON, 1000 each": partial(
            _write, _by_json, rows, arguments.rows
        ),
        "commits of one row, 1 connection": partial(_commit, 1),
        "commits of one row, 16 connections": partial(_commit, 16),
        "sink alone": partial(_sink_alone, arguments.mails * 4),
    }
    for case, run in cases.items():
        measure.report(case, [run() for _ in range(arguments.rounds)])
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mails", type=int, default=5_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _measured(count: int, run: Callable[[], object]) -> Figures:
    database = measure.postmaster_pid()
    before = time.process_time() + measure.cpu_seconds(database)
    started = time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    cpu = time.process_time() + measure.cpu_seconds(database) - before
    return {"per_second": count / seconds, "cpu_per_thousand": cpu / count * 1000}


# Sending


def _ready_mails(count: int) -> list[bytes]:
    from bench.compose import content, fields

    compiled = content(loop=True)
    mails = [compiled.compose(fields(number)) for number in range(count)]
    return [mail for mail in mails if isinstance(mail, bytes)]


def _send(by: Callable[[int, Iterator[bytes]], None], mails: list[bytes], count: int) -> Figures:
    with SinkProcess() as sink:
        supply = (mails[number % len(mails)] for number in range(count))
        figures = _measured(count, lambda: by(sink.port, supply))
        if sink.count() != count:
            raise SystemExit(f"The sink has {sink.count()} of {count} mails.")
    return figures


def _by_smtplib(port: int, mails: Iterator[bytes]) -> None:
    with smtplib.SMTP("127.0.0.1", port) as client:
        for mail in mails:
            client.sendmail(SENDER, [recipient(0)], mail)


def _by_session(port: int, mails: Iterator[bytes]) -> None:
    from providers.adapters.smtp.adapter import SmtpAdapter
    from providers.ports import AccountConfig, Outcome, OutgoingMail

    settings = {"host": "127.0.0.1", "port": port}
    session = SmtpAdapter(AccountConfig(UUID(int=0), "sink", "smtp", settings)).open()
    for mail in mails:
        result = session.send(OutgoingMail(UUID(int=0), SENDER, (recipient(0),), mail))
        assert result.outcome is Outcome.ACCEPTED
    session.close()


def _by_socket(port: int, mails: Iterator[bytes]) -> None:
    envelope = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{recipient(0)}>\r\nDATA\r\n".encode()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.recv(4096)
        sock.sendall(envelope)
        for mail in mails:
            while b"354" not in sock.recv(4096):
                pass
            # The next envelope rides on this mail's end.
            sock.sendall(mail.replace(b"\n.", b"\n..") + b"\r\n.\r\n" + envelope)


# Writing


def _sample_rows() -> list[dict[str, Any]]:
    """Return message rows as our bulk statement takes them, and make an empty table like theirs."""
    import orjson
    from django.db import connection

    from bench.stock import empty_tables, queue_mails
    from delivery.tables import MESSAGE, MESSAGE_ROWS

    empty_tables()
    queue_mails(BATCH)
    names = ", ".join(MESSAGE_ROWS.columns)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT to_json(r)::text FROM (SELECT {names} FROM {MESSAGE}) r")  # noqa: S608 - our names
        rows = [orjson.loads(row[0]) for row in cursor.fetchall()]
        cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")
        cursor.execute(f"CREATE TABLE {TABLE} (LIKE {MESSAGE} INCLUDING ALL)")
    return rows


def _write(
    by: Callable[[list[list[dict[str, Any]]]], None], rows: list[dict[str, Any]], count: int
) -> Figures:
    from django.db import connection

    from mailservice.core.ids import uuid7

    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {TABLE}")
    batches = [[row | {"id": str(uuid7())} for row in rows] for _ in range(count // BATCH)]
    return _measured(count, lambda: by(batches))


def _by_copy(batches: list[list[dict[str, Any]]]) -> None:
    import orjson
    from django.db import connection
    from psycopg.types.json import Jsonb, set_json_dumps

    from delivery.tables import MESSAGE_ROWS

    set_json_dumps(orjson.dumps)
    kinds = MESSAGE_ROWS.columns
    connection.ensure_connection()
    assert connection.connection is not None
    with (
        connection.connection.cursor() as cursor,
        cursor.copy(f"COPY {TABLE} ({', '.join(kinds)}) FROM STDIN") as copy,
    ):
        for batch in batches:
            for row in batch:
                copy.write_row(
                    [
                        Jsonb(row[name]) if kind == "jsonb" and row[name] is not None else row[name]
                        for name, kind in kinds.items()
                    ]
                )


def _by_json(batches: list[list[dict[str, Any]]]) -> None:
    from delivery.tables import MESSAGE_ROWS

    for batch in batches:
        MESSAGE_ROWS.insert(TABLE, batch)


# Committing


def _commit(connections: int) -> Figures:
    import psycopg
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS bench_commits (at timestamptz)")
        cursor.execute("TRUNCATE bench_commits")
    known = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    counts: list[int] = []
    database = measure.postmaster_pid()

    def work() -> None:
        with psycopg.connect(**{name: known[name] for name in names}, autocommit=True) as own:
            count, deadline = 0, time.monotonic() + COMMIT_SECONDS
            while time.monotonic() < deadline:
                own.execute("INSERT INTO bench_commits VALUES (now())")
                count += 1
            counts.append(count)

    before = time.process_time() + measure.cpu_seconds(database)
    started = time.perf_counter()
    run_threads(work for _ in range(connections))
    seconds = time.perf_counter() - started
    cpu = time.process_time() + measure.cpu_seconds(database) - before
    return {"per_second": sum(counts) / seconds, "cpu_per_thousand": cpu / sum(counts) * 1000}


def _sink_alone(count: int) -> Figures:
    figures = run_self_test(count)
    return {
        "per_second": figures["mails_per_second"],
        "cpu_per_thousand": figures["sink_cpu_ms_per_mail"],
    }


if __name__ == "__main__":
    sys.exit(main())
