"""Whose turn it is to send: one worker process at a time, so that receivers never hold them all.

A turn is a mark in the broker's store that its holder renews; a holder that dies loses it within
seconds. Without the store everybody has a turn: claims keep them apart.
"""

from __future__ import annotations

import logging
import secrets

from celery import current_app
from kombu.exceptions import OperationalError

from mailservice.core.broker import BrokerError, redis_client

logger = logging.getLogger(__name__)

DELIVER_TASK = "webhooks.tasks.deliver"
QUEUE = "events"
_MARK = "turn:webhooks"
#: A turn not renewed for so long is over.
TURN_SECONDS = 5
EXPIRY_SECONDS = 86_400


class Turn:
    """The right to send."""

    def __init__(self) -> None:
        self._token = secrets.token_bytes(8)

    def take(self) -> bool:
        """Take the turn; False if another process has it."""
        try:
            return bool(redis_client().set(_MARK, self._token, nx=True, ex=TURN_SECONDS))
        except (BrokerError, OSError) as error:
            logger.warning("Sending webhooks without a turn: %s", error)
            return True

    def keep(self) -> bool:
        """Renew the turn; False if another process has it by now."""
        try:
            client = redis_client()
            holder = client.get(_MARK)
            if holder is not None and holder != self._token:
                return False
            client.set(_MARK, self._token, ex=TURN_SECONDS)
        except (BrokerError, OSError) as error:
            logger.warning("Could not renew the turn of webhooks: %s", error)
        return True

    def give_back(self) -> None:
        """Let another process have it."""
        try:
            client = redis_client()
            if client.get(_MARK) == self._token:
                client.delete(_MARK)
        except (BrokerError, OSError) as error:
            logger.warning("Could not give the turn of webhooks back: %s", error)


def wake() -> bool:
    """Ask for a worker now; False if the broker does not answer, the next tick will do then."""
    try:
        current_app.send_task(DELIVER_TASK, queue=QUEUE, expires=EXPIRY_SECONDS, retry=False)
    except (BrokerError, OperationalError, OSError) as error:
        logger.warning("No wake-up for webhooks, the next tick will do: %s", error)
        return False
    return True
