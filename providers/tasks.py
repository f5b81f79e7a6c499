"""Celery tasks: parse, call one function, report."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from providers.budgets import watch_budgets
from providers.watch import watch as watch_accounts

logger = logging.getLogger(__name__)


@shared_task
def watch() -> None:
    """Open and close the alerts of accounts and of budgets."""
    count = watch_accounts(timezone.now())
    if count:
        logger.info("Alerts of accounts that changed: %d", count)
    watch_budgets(timezone.now())
