"""Rows by the thousand in one statement.

Rows travel as one JSON array and become a record set on the server: the statement has the same text
for one row and for a thousand, so it stays prepared, and Python spends about a microsecond a row.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, cast

import orjson
from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime


def _plain(value: Any) -> Any:
    # Subclasses such as TextChoices reach orjson as themselves with some options; be explicit.
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"Cannot write {type(value).__name__} as JSON.")


def to_json(rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> str:
    """Return rows as JSON text for `jsonb_to_recordset`."""
    return orjson.dumps(rows, default=_plain, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()


class RecordSet:
    """Columns and their PostgreSQL types, and the statements over rows of that shape."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self.columns = dict(columns)

    @property
    def source(self) -> str:
        """Return the FROM item `jsonb_to_recordset(%s::jsonb) AS r(…)`; one parameter, the JSON."""
        typed = ", ".join(f"{name} {kind}" for name, kind in self.columns.items())
        return f"jsonb_to_recordset(%s::jsonb) AS r({typed})"

    def insert_sql(self, table: str, *, suffix: str = "") -> str:
        """Return the INSERT of all rows into `table`."""
        names = ", ".join(self.columns)
        picked = ", ".join(f"r.{name}" for name in self.columns)
        return (  # the names are the program's own, values are parameters
            f"INSERT INTO {table} ({names}) SELECT {picked} FROM {self.source} {suffix}"  # noqa: S608 - see above
        )

    def insert(self, table: str, rows: Iterable[Mapping[str, Any]], *, suffix: str = "") -> int:
        """Insert the rows; return how many went in."""
        rows = list(rows)
        if not rows:
            return 0
        with connection.cursor() as cursor:
            cursor.execute(self.insert_sql(table, suffix=suffix), [to_json(rows)])
            return int(cursor.rowcount)


#: Has PostgreSQL plan statements for their very values. A prepared statement gets a general plan
#: after a few uses; for a list whose filter is rare one day and common the next, that may read the
#: whole table.
PLAN_FOR_VALUES = {"plan_cache_mode": "force_custom_plan"}


def set_local(settings: Mapping[str, str]) -> None:
    """Change settings of the database session until the transaction ends."""
    calls = ", ".join(["set_config(%s, %s, true)"] * len(settings))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {calls}", [part for item in settings.items() for part in item])


def advisory_key(*parts: object) -> int:
    """Return a signed 64-bit key for PostgreSQL's advisory locks, the same in every process."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def lock_for_transaction(*keys: int) -> None:
    """Take advisory locks until the transaction ends; in key order, so takers cannot deadlock."""
    with connection.cursor() as cursor:
        for key in sorted(set(keys)):
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])


def try_lock_for_transaction(key: int) -> bool:
    """Take an advisory lock until the transaction ends, or return False at once if it is held."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [key])
        row = cursor.fetchone()
    return bool(row and row[0])


def database_now() -> datetime:
    """Return the database server's clock: the one all workers share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    if row is None:
        raise RuntimeError("PostgreSQL did not tell the time.")
    return cast("datetime", row[0])
