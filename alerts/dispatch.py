"""Wake-ups: how workers learn that somebody is to be told.

The database knows what is to be told; a wake-up only says "look", and one that is lost costs the
time to the next tick of beat.
"""

from __future__ import annotations

import logging

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from mailservice.core.broker import BrokerError, redis_client

logger = logging.getLogger(__name__)

NOTIFY_TASK = "alerts.tasks.notify"
_MARK = "wake:alerts"
#: A mark older than this belongs to a wake-up that was lost.
MARK_SECONDS = 3
#: Wake-ups that no worker took are dropped after a day: long, since workers' clocks may differ.
EXPIRY_SECONDS = 86_400


def wake_on_commit() -> None:
    """Wake a worker once the running transaction has committed, or now if there is none."""
    transaction.on_commit(wake, robust=True)


def wake() -> bool:
    """Send a wake-up unless one is on its way; True if one was sent. Never raises."""
    try:
        if not redis_client().set(_MARK, b"1", nx=True, ex=MARK_SECONDS):
            return False
        current_app.send_task(NOTIFY_TASK, queue="maintenance", expires=EXPIRY_SECONDS, retry=False)
    except (BrokerError, OperationalError, OSError) as error:
        logger.warning("No wake-up for alerts, the next tick will do: %s", error)
        return False
    return True


def wake_seen() -> None:
    """Note that a worker is about to look: what is committed from now on needs a new wake-up."""
    try:
        redis_client().delete(_MARK)
    except (BrokerError, OSError) as error:
        logger.warning("Could not clear the wake-up mark of alerts: %s", error)
