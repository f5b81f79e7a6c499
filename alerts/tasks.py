"""Celery tasks: parse, call one function, report."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from alerts.dispatch import NOTIFY_TASK, wake_seen
from alerts.queue import notify_all
from alerts.services import delete_old

logger = logging.getLogger(__name__)


@shared_task(name=NOTIFY_TASK)
def notify() -> None:
    """Tell the channels what is due."""
    wake_seen()
    count = notify_all()
    if count:
        logger.info("Told channels of alerts: %d letters", count)


@shared_task
def housekeeping() -> None:
    """Delete alerts that were over long ago."""
    delete_old(now=timezone.now())
