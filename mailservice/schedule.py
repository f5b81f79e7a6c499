"""Celery beat: entries made from code once, then the operator's; one active beat at a time."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import psycopg
from django.db import connection
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry
from django_celery_beat.utils import make_aware

from mailservice.core.sql import advisory_key

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

_LOCK = advisory_key("mailservice", "beat")
#: How long a beat that is not the active one waits before it asks again.
STANDBY_SECONDS = 5.0


class SteadyEntry(ModelEntry):  # type: ignore[misc] # the package has no types
    """An entry that goes on when the clock was set back: it then counts from now."""

    def is_due(self) -> Any:
        """Tell whether to run now, and in how many seconds to look again."""
        now = self._default_now()
        if make_aware(self.model.last_run_at) > now:
            self.model.last_run_at = now
            self.last_run_at = now
        return super().is_due()


class CodeFirstScheduler(DatabaseScheduler):  # type: ignore[misc] # the package has no types
    """The database scheduler with two habits of its own.

    An entry of `beat_schedule` is created if it is missing and never overwritten, so that what an
    operator changes in the admin stays. And only the beat that holds a session advisory lock ticks:
    further ones stand by and take over when it goes.
    """

    Entry = SteadyEntry

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock_connection: psycopg.Connection[Any] | None = None
        self._clock_offset = time.time() - time.monotonic()
        super().__init__(*args, **kwargs)

    def update_from_dict(self, mapping: Mapping[str, Any]) -> None:
        """Create the entries that do not exist yet."""
        present = set(PeriodicTask.objects.filter(name__in=mapping).values_list("name", flat=True))
        missing = {name: entry for name, entry in mapping.items() if name not in present}
        if missing:
            super().update_from_dict(missing)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due if this is the active beat; return seconds until the next look."""
        if not self._is_active():
            return STANDBY_SECONDS
        self._note_clock()
        return float(super().tick(*args, **kwargs))

    def close(self) -> None:
        """Save what is known and give up the lock."""
        super().close()
        if self._lock_connection is not None:
            self._lock_connection.close()

    def _note_clock(self) -> None:
        """Plan anew when the clock was set back: the plan names times of day."""
        offset = time.time() - time.monotonic()
        if offset < self._clock_offset - 1:
            self._heap = None
        self._clock_offset = offset

    def _is_active(self) -> bool:
        try:
            if self._lock_connection is not None:
                # The lock lives and dies with this session.
                self._lock_connection.execute("SELECT 1")
                return True
            return self._take_lock()
        except psycopg.Error as error:
            logger.warning("The beat lost its database connection: %s", error)
            if self._lock_connection is not None:
                self._lock_connection.close()
            self._lock_connection = None
            return False

    def _take_lock(self) -> bool:
        parameters = connection.get_connection_params()
        session = psycopg.connect(
            host=parameters.get("host"),
            port=parameters.get("port"),
            dbname=parameters.get("dbname"),
            user=parameters.get("user"),
            password=parameters.get("password"),
            connect_timeout=5,
            autocommit=True,
        )
        row = session.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
        if row is None or not row[0]:
            session.close()
            logger.info("Another beat is active; standing by.")
            return False
        self._lock_connection = session
        return True
