"""Django's PostgreSQL with a pool that hands out live connections without asking the server.

Django's own check (`CONN_HEALTH_CHECKS`) costs a round trip per request. The kernel tells for
nothing: a server that stopped, restarted or ended the session has closed the connection, and of a
network that went away the keep-alives (`OPTIONS`) tell. Either way the idle socket has an event.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

import psycopg
from django.db.backends.postgresql import base

if TYPE_CHECKING:
    from psycopg import Connection


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection of a process with a pool; `CONN_HEALTH_CHECKS` is off there."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection[Any]:
        """Take a live connection from the pool; dead ones are replaced on the way."""
        while True:
            connection: Connection[Any] = super().get_new_connection(conn_params)
            if not self.pool or is_alive(connection):
                return connection
            connection.close()
            self.pool.putconn(connection)


def is_alive(connection: Connection[Any]) -> bool:
    """Tell whether an idle connection works; asks the server only if there is news from it."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if not poll.poll(0):
        return True
    # A notice, say: then it answers.
    try:
        connection.execute("")
    except psycopg.Error:
        return False
    return True
