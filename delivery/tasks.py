"""Celery tasks: parse, call one service, report."""

from __future__ import annotations

import logging
import mmap
import os
import socket

from celery import shared_task
from celery.signals import worker_process_shutdown, worker_shutting_down
from django.conf import settings
from django.utils import timezone

from delivery.dispatch import DRAIN_TASK, is_first_tick
from delivery.queue.drain import drain_lane
from delivery.queue.sweep import sweep as sweep_queue
from delivery.services.alignment import refresh_alignment as bring_alignment
from delivery.services.attachments import purge_blobs
from delivery.services.idempotency import purge_records
from delivery.states import Lane
from providers import figures, throttles
from providers.connections import own_connections

logger = logging.getLogger(__name__)

#: Sweeps follow each other no faster, however many ticks have piled up.
SWEEP_SECONDS = 1.0

# One byte shared by the worker's main process, which hears of the shutdown, and its forked
# children, which drain.
_stopping = mmap.mmap(-1, 1)


@worker_shutting_down.connect
def _note_shutdown(**_signal: object) -> None:
    _stopping[0] = 1


@worker_process_shutdown.connect
def _give_connections_up(**_signal: object) -> None:
    own_connections().release_all()


def is_stopping() -> bool:
    """Tell whether this worker is shutting down and drains should wind up."""
    return _stopping[0] != 0


def worker_name() -> str:
    """Return a name for leases and attempts: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


@shared_task(name=DRAIN_TASK)
def drain(lane: int) -> None:
    """Drain a lane for a bounded time."""
    report = drain_lane(
        lane=Lane(lane),
        worker=worker_name(),
        seconds=settings.DRAIN_SECONDS,
        is_stopping=is_stopping,
    )
    if report.claimed:
        logger.info(
            "Drained %s: %d claimed, %d sent", Lane(lane).label, report.claimed, report.sent
        )


@shared_task
def sweep() -> None:
    """Promote what is due, reclaim what dead workers held, expire, resolve, wake."""
    if not is_first_tick("sweep", seconds=SWEEP_SECONDS):
        return
    moved = sweep_queue()
    if any(moved.values()):
        logger.info(
            "Swept: %s", ", ".join(f"{count} {what}" for what, count in moved.items() if count)
        )


@shared_task
def refresh_alignment() -> None:
    """Mend what routing knows of sender domains; mostly each change has told it already."""
    count = bring_alignment()
    if count:
        logger.info("Lists of aligned From domains that were not up to date: %d", count)


@shared_task
def housekeeping() -> None:
    """Forget old idempotency keys, figures and slow-downs; remove attachments nobody refers to."""
    now = timezone.now()
    figures.delete_old(now)
    throttles.delete_old(now)
    purge_records(now=now)
    while purge_blobs(now=now):
        pass
