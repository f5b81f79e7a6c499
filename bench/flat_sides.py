"""Two databases on one server, the same but for the rows, and the product at work on either."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.core.management import call_command
from django.db import connection, connections

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Names of the databases.
EMPTY, FULL = "flat_empty", "flat_full"


@contextmanager
def on(database: str) -> Iterator[None]:
    """Let everything that uses Django's connection work on that database of the same server."""
    if database not in connections.settings:
        connections.settings[database] = {**connections.settings["default"], "NAME": database}
    before = connections["default"]
    other = connections[database]
    # A wrapper asks the settings by its alias, for instance which one transactions are for.
    other.alias = "default"
    connections["default"] = other
    try:
        yield
    finally:
        connections["default"] = before


def exists(database: str) -> bool:
    """Tell whether the database is there."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
        return cursor.fetchone() is not None


def make(database: str) -> None:
    """Make the database and its tables."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {database}")
    with on(database):
        call_command("migrate", verbosity=0)


def drop(database: str) -> None:
    """Remove the database, if it is there."""
    if database in connections.settings:
        connections[database].close()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {database} (FORCE)")
