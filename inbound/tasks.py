"""Celery tasks: call one service, report."""

from __future__ import annotations

import logging
import time
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from delivery.dispatch import is_first_tick
from inbound.dispatch import (
    EVENTS_TASK,
    MAILBOX_TASK,
    RETURNED_TASK,
    ask_to_read,
    returned_seen,
    wake_events,
    wake_returned,
    wake_seen,
)
from inbound.services.events import posts_for_next, work_off_batch
from inbound.services.intake import delete_old
from inbound.services.returned import delete_old as delete_old_mail
from inbound.services.returned_mailboxes import mailboxes_due, read_mailbox
from inbound.services.returned_work import work_off_returned
from inbound.tracking.judging import judge_batch
from inbound.tracking.service import delete_old_hits

logger = logging.getLogger(__name__)

#: After so long a worker gives its slot back, with posts left or not.
EVENTS_SECONDS = 5.0
#: Hits wait for their neighbours anyway: looks follow each other no faster.
JUDGING_SECONDS = 2.0


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


@shared_task(name=RETURNED_TASK)
def process_returned_mail() -> None:
    """Work off mail that came back, for a bounded time."""
    returned_seen()
    ends_at = time.monotonic() + EVENTS_SECONDS
    mails = applied = 0
    worked = work_off_returned()
    while worked.mails:
        mails += worked.mails
        applied += worked.applied
        if time.monotonic() >= ends_at:
            wake_returned()
            break
        worked = work_off_returned()
    if mails:
        logger.info("Worked off %d returned mails: %d news", mails, applied)


@shared_task
def check_bounce_mailboxes() -> None:
    """Have each bounce mailbox that is due read by a task of its own: one may be slow."""
    for mailbox_id in mailboxes_due():
        ask_to_read(mailbox_id)


@shared_task(name=MAILBOX_TASK)
def read_bounce_mailbox(mailbox_id: str) -> None:
    """Fetch what is in a bounce mailbox."""
    count = read_mailbox(UUID(mailbox_id))
    if count:
        logger.info("Fetched %d mails from the bounce mailbox %s", count, mailbox_id)
    if count and UUID(mailbox_id) in mailboxes_due():
        # There was more than one go could take.
        ask_to_read(UUID(mailbox_id))


@shared_task
def forget_old_events() -> None:
    """Forget old posts of providers and old returned mail."""
    now = timezone.now()
    delete_old(now=now)
    delete_old_mail(now=now)


@shared_task
def judge_hits() -> None:
    """Tell people from machines among those who opened and clicked, for a bounded time."""
    if not is_first_tick("judge-hits", seconds=JUDGING_SECONDS):
        return
    ends_at = time.monotonic() + EVENTS_SECONDS
    hits = events = 0
    judged = judge_batch()
    while judged.hits:
        hits += judged.hits
        events += judged.events
        if time.monotonic() >= ends_at:
            # What is left is a later tick's.
            break
        judged = judge_batch()
    if hits:
        logger.info("Judged %d opens and clicks: %d new events", hits, events)


@shared_task
def forget_old_hits() -> None:
    """Forget old hits of pixels and links."""
    delete_old_hits(now=timezone.now())
