"""The pool of web processes: what it hands out works, whatever happened to idle connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection, connections

from mailservice.core.pooled.base import DatabaseWrapper, is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db


@pytest.fixture
def pooled() -> Iterator[DatabaseWrapper]:
    settings = connections.settings["default"] | {"NAME": connection.settings_dict["NAME"]}
    settings |= {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False}
    settings["OPTIONS"] = settings["OPTIONS"] | {"pool": {"min_size": 2, "timeout": 5}}
    wrapper = DatabaseWrapper(settings, alias="pooled")
    yield wrapper
    wrapper.close()
    wrapper.close_pool()


def session(wrapper: DatabaseWrapper) -> int:
    """Ask for the server's process on a connection from the pool, and give it back."""
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    wrapper.close()
    return int(pid)


def end(pids: set[int]) -> None:
    with connection.cursor() as cursor:
        for pid in pids:
            # Waits up to five seconds until the session is gone.
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_a_connection_is_used_again(pooled: DatabaseWrapper) -> None:
    assert len({session(pooled) for _ in range(20)}) <= 2


def test_sessions_that_the_server_ended_are_replaced_unseen(pooled: DatabaseWrapper) -> None:
    before = {session(pooled) for _ in range(20)}
    end(before)
    after = {session(pooled) for _ in range(20)}
    assert not before & after


def raw() -> psycopg.Connection[Any]:
    parameters: dict[str, Any] = connection.get_connection_params()
    parameters.pop("cursor_factory")
    parameters.pop("context")
    parameters.pop("prepare_threshold")
    return psycopg.connect(**parameters, autocommit=True)


def test_an_idle_connection_is_alive_until_the_server_ends_it(db: None) -> None:
    with raw() as idle:
        assert is_alive(idle)
        end({idle.info.backend_pid})
        assert not is_alive(idle)


def test_a_closed_connection_is_not_alive(db: None) -> None:
    idle = raw()
    idle.close()
    assert not is_alive(idle)


def test_news_on_an_idle_connection_do_not_end_it(db: None) -> None:
    with raw() as idle, raw() as other:
        idle.execute("LISTEN something")
        other.execute("NOTIFY something")
        assert is_alive(idle)
        assert not idle.closed
