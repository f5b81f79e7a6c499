"""How PostgreSQL answers the statements of a piece of the product, as a prepared statement ages.

A statement is prepared on the server after two uses and planned without its parameters' values
after five more, where that seems no dearer. A condition that a partial index needs must therefore
stand in the text; here is shown which plan a statement ends up with.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from django.db import connection, transaction
from psycopg import sql as pg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: What is explained; the rest (savepoints, settings) has no plan.
_PLANNED = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?[sbt]")
_numbers = itertools.count()
_NAME = "explained"


@dataclass(frozen=True)
class Plan:
    """One statement's plan as it was executed."""

    sql: str
    indexes: frozenset[str]
    #: Tables read from end to end.
    scanned: frozenset[str]
    #: Blocks touched, in the cache or not, and of those the ones read.
    blocks: int
    blocks_read: int
    milliseconds: float
    #: True if it was made without the parameters' values.
    is_generic: bool
    nodes: Mapping[str, Any] = field(repr=False, compare=False)


class _UndoError(Exception):
    """Takes back what an explained statement did."""


@contextmanager
def watching() -> Iterator[list[Plan]]:
    """Explain every statement of the block as it would run at its seventh use; collect the plans.

    Each statement is executed once more than the block says, and that once is taken back.
    """
    plans: list[Plan] = []

    def explain_first(
        execute: Callable[..., Any],
        sql: str,
        params: Any,
        many: bool,  # noqa: FBT001 - Django's signature
        context: Any,
    ) -> Any:
        if not many and _PLANNED.match(sql):
            plans.append(explain(sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain_first):
        yield plans


def explain(sql: str, params: Sequence[Any] | Mapping[str, Any] | None, *, uses: int = 7) -> Plan:
    """Return the plan of a statement's use number `uses`, executed and taken back."""
    connection.ensure_connection()
    plan: Plan | None = None
    try:
        with transaction.atomic():
            plan = _explain(sql, params or (), uses)
            raise _UndoError  # noqa: TRY301 - the way out of the transaction
    except _UndoError:
        pass
    assert plan is not None
    return plan


def _explain(sql: str, params: Sequence[Any] | Mapping[str, Any], uses: int) -> Plan:
    raw: psycopg.Connection[Any] = connection.connection
    cursor = psycopg.Cursor(raw)
    statement, types = _as_prepared(cursor, sql, params)
    declared = f"({', '.join(types)})" if types else ""
    cursor.execute(f"PREPARE {_NAME} {declared} AS {statement}".encode())
    values = pg.SQL(", ").join(pg.Literal(value) for value in _in_order(sql, params))
    given = f"({values.as_string(raw)})" if types else ""
    call = f"EXECUTE {_NAME}{given}".encode()
    for _ in range(uses - 1):
        cursor.execute(b"EXPLAIN " + call)
    cursor.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + call)
    row = cursor.fetchone()
    assert row is not None
    report = row[0] if isinstance(row[0], list) else json.loads(row[0])
    cursor.execute("SELECT generic_plans FROM pg_prepared_statements WHERE name = %s", [_NAME])
    generic = cursor.fetchone()
    cursor.execute(f"DEALLOCATE {_NAME}".encode())
    return _plan(sql, report[0], is_generic=bool(generic and generic[0]))


def _as_prepared(
    cursor: psycopg.Cursor[Any], sql: str, params: Sequence[Any] | Mapping[str, Any]
) -> tuple[str, Sequence[str]]:
    """Return the statement and its parameters' types as psycopg prepares it.

    The types follow from the values, so it is done once; what it does is taken back.
    """
    mark = f"/* explained {next(_numbers)} */"
    found: tuple[str, Sequence[str]] | None = None
    try:
        with transaction.atomic():
            cursor.execute(f"{sql} {mark}".encode(), params, prepare=True)
            cursor.execute(
                "SELECT statement, parameter_types::text[] FROM pg_prepared_statements"
                " WHERE right(statement, %s) = %s",
                [len(mark), mark],
            )
            found = cursor.fetchone()
            raise _UndoError  # noqa: TRY301 - the way out of the transaction
    except _UndoError:
        pass
    assert found is not None
    return found


def _in_order(sql: str, params: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
    if not isinstance(params, Mapping):
        return list(params)
    names = dict.fromkeys(match[1] for match in _PLACEHOLDER.finditer(sql))
    return [params[name] for name in names]


def _plan(sql: str, report: Mapping[str, Any], *, is_generic: bool) -> Plan:
    nodes = list(_nodes(report["Plan"]))
    top = report["Plan"]
    return Plan(
        sql=" ".join(sql.split()),
        indexes=frozenset(node["Index Name"] for node in nodes if "Index Name" in node),
        scanned=frozenset(
            node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"
        ),
        blocks=top["Shared Hit Blocks"] + top["Shared Read Blocks"],
        blocks_read=top["Shared Read Blocks"],
        milliseconds=report["Execution Time"],
        is_generic=is_generic,
        nodes=top,
    )


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
