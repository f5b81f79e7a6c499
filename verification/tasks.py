"""Celery tasks: parse, call one service, report."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from verification.dispatch import VALIDATION_TASK, wake_validation
from verification.services.domains import check_due
from verification.services.tokens import delete_old, end_overdue
from verification.services.validation_jobs import purge_jobs, waiting_workers, work_off

logger = logging.getLogger(__name__)

#: After so long a worker gives its slot back, with addresses left or not.
VALIDATION_SECONDS = 5.0
#: So long one task checks sender domains.
DOMAIN_SECONDS = 30.0


@shared_task(name=VALIDATION_TASK)
def validate_addresses() -> None:
    """Check chunks of validation jobs for a bounded time."""
    done = work_off(seconds=VALIDATION_SECONDS)
    if done.chunks:
        logger.info("Validated %d addresses in %d chunks", done.addresses, done.chunks)
        if waiting_workers():
            wake_validation()


@shared_task
def check_sender_domains() -> None:
    """Check the sender domains that are due, for a bounded time."""
    count = check_due(seconds=DOMAIN_SECONDS)
    if count:
        logger.info("Checked %d sender domains", count)


@shared_task
def tend_verifications() -> None:
    """Write down what has expired, forget what is long over."""
    now = timezone.now()
    end_overdue(now=now)
    delete_old(now=now)


@shared_task
def tend_validation_jobs() -> None:
    """Wake workers for chunks that wait, also for those of dead workers; remove old results."""
    wake_validation(waiting_workers())
    purge_jobs(now=timezone.now())
