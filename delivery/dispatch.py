"""Wake-ups: how a lane's workers learn that there is mail.

The database is the queue; a wake-up only says "look". At most one per lane is on its way: whoever
sends one sets a mark, and the drain removes it *before* it looks, so that mail committed after the
look brings a new wake-up and mail committed before it is seen. A lost wake-up costs the time to the
next sweep.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from mailservice.core.broker import BrokerError, redis_client

if TYPE_CHECKING:
    from collections.abc import Iterable

    from delivery.states import Lane

logger = logging.getLogger(__name__)

DRAIN_TASK = "delivery.tasks.drain"
#: A mark older than this belongs to a wake-up that was lost.
MARK_SECONDS = 3
#: Wake-ups that no worker took are dropped after a day: long, since workers' clocks may differ.
EXPIRY_SECONDS = 86_400
#: After the broker failed, requests do not wait for it again for so long: the sweep does it all.
PAUSE_SECONDS = 5.0

_paused_until = 0.0


def _mark(lane: Lane) -> str:
    return f"wake:{lane.label}"


def wake_on_commit(lanes: Iterable[Lane]) -> None:
    """Wake the lanes once the running transaction has committed, or now if there is none."""
    for lane in set(lanes):
        transaction.on_commit(partial(wake, lane))


def wake(lane: Lane) -> bool:
    """Send the lane's workers a wake-up unless one is on its way; True if one was sent.

    Never raises: mail that is committed is safe, whatever the broker does.
    """
    global _paused_until  # noqa: PLW0603 - holds for the whole process
    if time.monotonic() < _paused_until:
        return False
    try:
        if not redis_client().set(_mark(lane), b"1", nx=True, ex=MARK_SECONDS):
            return False
        current_app.send_task(
            DRAIN_TASK, args=[int(lane)], queue=lane.label, expires=EXPIRY_SECONDS, retry=False
        )
    except (BrokerError, OperationalError, OSError) as error:
        _paused_until = time.monotonic() + PAUSE_SECONDS
        logger.warning("No wake-up for lane %s, the next sweep will do: %s", lane.label, error)
        return False
    return True


def wake_seen(lane: Lane) -> None:
    """Note that a drain is about to look: mail committed from now on needs a new wake-up."""
    try:
        redis_client().delete(_mark(lane))
    except (BrokerError, OSError) as error:
        logger.warning("Could not clear the wake-up mark of lane %s: %s", lane.label, error)


def is_first_tick(name: str, *, seconds: float) -> bool:
    """Tell whether no other process did this so lately; ticks may have piled up meanwhile."""
    try:
        return bool(redis_client().set(f"tick:{name}", b"1", nx=True, px=int(seconds * 1000)))
    except (BrokerError, OSError):
        return True
