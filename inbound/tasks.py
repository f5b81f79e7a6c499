"""Celery tasks: call one service, report."""

from __future__ import annotations

import logging
import time

from celery import shared_task
from django.utils import timezone

from inbound.dispatch import EVENTS_TASK, wake_events, wake_seen
from inbound.services.events import posts_for_next, work_off_batch
from inbound.services.intake import delete_old

logger = logging.getLogger(__name__)

#: After so long a worker gives its slot back, with posts left or not.
EVENTS_SECONDS = 5.0


@shared_task(name=EVENTS_TASK)
def process_events() -> None:
    """Work off what providers posted, for a bounded time."""
    wake_seen()
    ends_at = time.monotonic() + EVENTS_SECONDS
    events = applied = 0
    worked = work_off_batch()
    while worked.posts:
        events += worked.events
        applied += worked.applied
        if time.monotonic() >= ends_at:
            wake_events()
            break
        worked = work_off_batch(post_count=posts_for_next(worked))
    if events:
        logger.info("Worked off %d provider events, %d of them new", events, applied)


@shared_task
def forget_old_events() -> None:
    """Forget old posts of providers."""
    delete_old(now=timezone.now())
