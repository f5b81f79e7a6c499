"""Celery tasks: parse, call one function, report."""

from __future__ import annotations

import logging
import time

from celery import shared_task
from django.utils import timezone

from delivery.dispatch import is_first_tick
from delivery.tasks import is_stopping
from webhooks.dispatch import DELIVER_TASK, Turn, wake
from webhooks.queue.send import deliver_due
from webhooks.services.deliveries import delete_old

logger = logging.getLogger(__name__)

#: A turn ends after so long; whoever follows begins at once, while the last answers come in.
WORK_SECONDS = 20.0
#: Ticks that piled up count as one.
TICK_SECONDS = 0.2


@shared_task(name=DELIVER_TASK)
def deliver() -> None:
    """Tell endpoints what happened, for a bounded time; go on in another task if there is more."""
    turn = Turn()
    if not is_first_tick("webhooks", seconds=TICK_SECONDS) or not turn.take():
        return
    end = time.monotonic() + WORK_SECONDS

    def hand_over() -> None:
        turn.give_back()
        if time.monotonic() >= end:
            wake()

    try:
        count = deliver_due(
            seconds=WORK_SECONDS,
            go_on=lambda: not is_stopping() and turn.keep(),
            on_end=hand_over,
        )
    finally:
        turn.give_back()
    if count:
        logger.info("Told webhook endpoints: %d requests", count)


@shared_task
def housekeeping() -> None:
    """Forget what happened long ago."""
    delete_old(now=timezone.now())
