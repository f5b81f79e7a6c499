"""Wake-ups of the workers that work off events; the queue is the database, so a loss costs time."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from celery import current_app
from kombu.exceptions import OperationalError

from mailservice.core.broker import BrokerError, redis_client

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger(__name__)

EVENTS_TASK = "inbound.tasks.process_events"
RETURNED_TASK = "inbound.tasks.process_returned_mail"
MAILBOX_TASK = "inbound.tasks.read_bounce_mailbox"
QUEUE = "events"
_EVENTS_MARK, _RETURNED_MARK = "wake:provider-events", "wake:returned-mail"
#: A mark older than this belongs to a wake-up that was lost.
_MARK_SECONDS = 3
#: What no worker took by then is dropped; the next tick looks again.
_EXPIRY_SECONDS = 3600
#: After the broker failed, posts do not wait for it again for so long.
_PAUSE_SECONDS = 5.0

_paused_until = 0.0


def wake_events() -> bool:
    """Have a worker look at posts, unless one is about to; never raises. True if one was woken."""
    return _wake(EVENTS_TASK, _EVENTS_MARK)


def wake_returned() -> bool:
    """Have a worker look at returned mail, likewise."""
    return _wake(RETURNED_TASK, _RETURNED_MARK)


def ask_to_read(mailbox_id: UUID) -> bool:
    """Have a worker read a bounce mailbox; never raises. True if one was asked."""
    return _wake(MAILBOX_TASK, f"wake:mailbox:{mailbox_id.hex}", str(mailbox_id))


def wake_seen() -> None:
    """Note that a worker is about to look: what is stored from now on needs a new wake-up."""
    _seen(_EVENTS_MARK)


def returned_seen() -> None:
    """Note the same of returned mail."""
    _seen(_RETURNED_MARK)


def _wake(task: str, mark: str, *args: str) -> bool:
    global _paused_until  # noqa: PLW0603 - holds for the whole process
    if time.monotonic() < _paused_until:
        return False
    try:
        if not redis_client().set(mark, b"1", nx=True, ex=_MARK_SECONDS):
            return False
        current_app.send_task(
            task, args=list(args), queue=QUEUE, expires=_EXPIRY_SECONDS, retry=False
        )
    except (BrokerError, OperationalError, OSError) as error:
        _paused_until = time.monotonic() + _PAUSE_SECONDS
        logger.warning("No wake-up for %s, the next tick will do: %s", task, error)
        return False
    return True


def _seen(mark: str) -> None:
    try:
        redis_client().delete(mark)
    except (BrokerError, OSError) as error:
        logger.warning("Could not clear the mark %s: %s", mark, error)
