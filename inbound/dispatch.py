"""Wake-ups of the workers that work off events; the queue is the database, so a loss costs time."""

from __future__ import annotations

import logging
import time

from celery import current_app
from kombu.exceptions import OperationalError

from mailservice.core.broker import BrokerError, redis_client

logger = logging.getLogger(__name__)

EVENTS_TASK = "inbound.tasks.process_events"
QUEUE = "events"
_MARK = "wake:provider-events"
#: A mark older than this belongs to a wake-up that was lost.
_MARK_SECONDS = 3
#: What no worker took by then is dropped; the next tick looks again.
_EXPIRY_SECONDS = 3600
#: After the broker failed, posts do not wait for it again for so long.
_PAUSE_SECONDS = 5.0

_paused_until = 0.0


def wake_events() -> bool:
    """Have a worker look, unless one is about to; never raises. True if one was woken."""
    global _paused_until  # noqa: PLW0603 - holds for the whole process
    if time.monotonic() < _paused_until:
        return False
    try:
        if not redis_client().set(_MARK, b"1", nx=True, ex=_MARK_SECONDS):
            return False
        current_app.send_task(EVENTS_TASK, queue=QUEUE, expires=_EXPIRY_SECONDS, retry=False)
    except (BrokerError, OperationalError, OSError) as error:
        _paused_until = time.monotonic() + _PAUSE_SECONDS
        logger.warning("No wake-up for provider events, the next tick will do: %s", error)
        return False
    return True


def wake_seen() -> None:
    """Note that a worker is about to look: what is stored from now on needs a new wake-up."""
    try:
        redis_client().delete(_MARK)
    except (BrokerError, OSError) as error:
        logger.warning("Could not clear the mark of provider events: %s", error)
