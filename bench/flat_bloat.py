"""What a long run leaves behind: sizes, dead rows and the cost of a claim, by the million.

    .venv/bin/python -m bench.flat_bloat [--rows 10000000] [--count 2000000] [--stock]

On top of `--rows` finished messages, `--count` more are accepted in campaigns of 20,000, claimed
and recorded as accepted, by the product's own functions and without SMTP, at full speed. Autovacuum
runs as our tables set it, or with `--stock` as PostgreSQL comes. Prints a line for every 100,000
messages.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from bench import measure

if TYPE_CHECKING:
    from bench.flat_work import Worker

CAMPAIGN, REPORT_EVERY, RECORD_CHUNK = 20_000, 100_000, 100
#: The tables with storage settings of ours, and the indexes whose growth matters.
TABLES = (
    "delivery_message",
    "delivery_attempt",
    "delivery_lease",
    "delivery_idempotencyrecord",
    "providers_providerusage",
    "providers_reservation",
)
INDEXES = ("delivery_message_claim", "delivery_message_lease_idx", "delivery_message_addresses")


def main() -> int:
    """Run and print."""
    arguments = _arguments()
    measure.prepare()
    measure.set_up_django()
    from bench import flat_sides as sides
    from bench.flat import build
    from bench.flat_work import vacuum

    build(arguments.rows)
    with sides.on(sides.FULL):
        _reset("%" if arguments.stock else "autovacuum_enabled")
        vacuum(analyze=True)
        _run(arguments.count)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--count", type=int, default=2_000_000)
    parser.add_argument("--stock", action="store_true", help="PostgreSQL's own settings")
    return parser.parse_args()


def _reset(options: str) -> None:
    """Take storage settings off the tables: all, or the one that `bench.flat` works under."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, option_name FROM pg_class, pg_options_to_table(reloptions)"
            " WHERE relname = ANY(%s) AND option_name LIKE %s",
            [list(TABLES), options],
        )
        for table, option in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {table} RESET ({option})")


def _run(count: int) -> None:
    from bench.flat_work import worker

    one = worker()
    claims: list[float] = []
    started, cpu = time.perf_counter(), measure.cpu_seconds(measure.postmaster_pid())
    for done in range(CAMPAIGN, count + 1, CAMPAIGN):
        _campaign(one, claims)
        if done % REPORT_EVERY == 0:
            seconds, server = time.perf_counter(), measure.cpu_seconds(measure.postmaster_pid())
            figures = {
                "messages": done,
                "claim_ms": round(1000 * median(claims), 2),
                "claim_ms_p99": round(1000 * quantiles(claims, n=100)[98], 2),
                "per_second": round(REPORT_EVERY / (seconds - started)),
                "server_cpu_per_thousand": round((server - cpu) / REPORT_EVERY * 1000, 3),
                **_sizes(),
            }
            sys.stdout.write(json.dumps(figures) + "\n")
            sys.stdout.flush()
            claims.clear()
            started, cpu = seconds, server


def _campaign(one: Worker, claims: list[float]) -> None:
    """Accept so many, then claim and record them as a drain would."""
    from delivery.queue.claims import LeaseHolder
    from delivery.states import Lane

    # A drain takes a new lease every few seconds.
    one.lease.close()
    one.lease = LeaseHolder(worker="bench", lane=Lane.TRANSACTIONAL)
    for _ in range(0, CAMPAIGN, 1000):
        one.accept(one.messages(1000))
    held = []
    while True:
        one.lease.renew_if_due()
        started = time.perf_counter()
        claimed = one.claim()
        claims.append(time.perf_counter() - started)
        if claimed:
            one.reserve(len(claimed))
        held += claimed
        while len(held) >= RECORD_CHUNK or (held and not claimed):
            one.record(held[:RECORD_CHUNK])
            del held[:RECORD_CHUNK]
        if not claimed:
            return


def _sizes() -> dict[str, Any]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT relname, pg_relation_size(oid) / 1048576.0 FROM pg_class"
            " WHERE relname = ANY(%s) ORDER BY 1",
            [["delivery_message", *INDEXES]],
        )
        sizes: dict[str, Any] = {
            f"{name}_mib": round(float(size), 1) for name, size in cursor.fetchall()
        }
        cursor.execute(
            "SELECT relname, n_dead_tup, n_tup_upd, n_tup_hot_upd, autovacuum_count,"
            " pg_relation_size(relid) / 8192 FROM pg_stat_user_tables"
            " WHERE relname = ANY(%s) ORDER BY 1",
            [["delivery_message", "providers_providerusage", "providers_reservation"]],
        )
        for name, dead, updated, hot, vacuums, pages in cursor.fetchall():
            sizes[name] = {
                "dead": dead,
                "hot": round(hot / updated, 3) if updated else None,
                "autovacuums": vacuums,
                "pages": pages,
            }
    return sizes


if __name__ == "__main__":
    sys.exit(main())
