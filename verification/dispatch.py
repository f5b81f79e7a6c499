"""Wake-ups of the workers that validate. The queue is the database: a lost one costs only time."""

from __future__ import annotations

import logging

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from mailservice.core.broker import BrokerError

logger = logging.getLogger(__name__)

VALIDATION_TASK = "verification.tasks.validate_addresses"
QUEUE = "verification"
#: What no worker took by then is dropped; the next tick looks again.
EXPIRY_SECONDS = 3600


def wake_validation(count: int = 1) -> None:
    """Have up to `count` workers look for chunks; never raises."""
    try:
        for _ in range(min(count, settings.VALIDATION_CONCURRENCY)):
            current_app.send_task(VALIDATION_TASK, queue=QUEUE, expires=EXPIRY_SECONDS, retry=False)
    except (BrokerError, OperationalError, OSError) as error:
        logger.warning("No wake-up for validation, the next tick will do: %s", error)
