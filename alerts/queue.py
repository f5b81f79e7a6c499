"""Who is still to be told what, and telling them.

One worker at a time has a channel, by a lease in its row, and tells it one thing after another: so
nothing is told twice unless a worker dies on the way, and what is told last is true. What has been
overtaken by events meanwhile is dropped. Retries stand in the rows.

A channel is told of thirty alerts an hour one by one; from then on what comes is collected and told
together, at most every ten minutes.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection
from django.db.models import Max

from alerts.channels import TellError, tell
from alerts.models import ERROR_CHARS, Channel, News, Notification, Telling
from alerts.words import Item, Letter
from mailservice.core.presentation import console_path
from mailservice.core.sql import database_now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from alerts.models import Alert

logger = logging.getLogger(__name__)

#: How long to wait after each failed attempt but the last.
RETRY_SECONDS = (5, 15, 60, 120, 300, 900, 1800, 3600, 3600)
MAX_ATTEMPTS = len(RETRY_SECONDS) + 1
#: A channel is told so much in an hour, one by one.
MAX_PER_HOUR = 30
HOUR = timedelta(hours=1)
SUMMARY_EVERY = timedelta(minutes=10)
MAX_IN_SUMMARY = 500
#: A worker looks for channels so long; telling takes ten seconds at most.
WORK_SECONDS = 60.0
#: A worker that does not give its channel back is dead.
LEASE_SECONDS = 120

_TAKE = """
UPDATE alerts_channel SET busy_until = clock_timestamp() + make_interval(secs => %(lease)s)
 WHERE id = (
    SELECT c.id FROM alerts_channel c
     WHERE (c.busy_until IS NULL OR c.busy_until <= clock_timestamp())
       AND EXISTS (SELECT 1 FROM alerts_notification n
                    WHERE n.channel_id = c.id AND n.state = 'pending'
                      AND n.due_at <= clock_timestamp())
     ORDER BY c.busy_until NULLS FIRST, c.id LIMIT 1 FOR UPDATE OF c SKIP LOCKED)
RETURNING id, busy_until
"""

# One that was asked for again meanwhile stays.
_TOLD = """
UPDATE alerts_notification n
   SET state = 'sent', told_at = clock_timestamp(), in_summary = %(in_summary)s,
       attempts = n.attempts + 1, last_error = ''
  FROM unnest(%(ids)s::uuid[], %(asked)s::timestamptz[]) AS told(id, asked_at)
 WHERE n.id = told.id AND n.asked_at = told.asked_at AND n.state = 'pending'
"""

_FAILED = """
UPDATE alerts_notification
   SET attempts = attempts + 1, last_error = %(error)s,
       state = CASE WHEN attempts + 1 >= %(most)s THEN 'failed' ELSE 'pending' END,
       due_at = clock_timestamp()
           + make_interval(secs => (%(waits)s::int[])[LEAST(attempts + 1, %(most)s - 1)])
 WHERE id = ANY(%(ids)s) AND state = 'pending'
"""

# What each alert's last news to a channel were.
_HEARD = """
SELECT DISTINCT ON (alert_id) alert_id, event FROM alerts_notification
 WHERE channel_id = %(channel)s AND alert_id = ANY(%(alerts)s) AND state = 'sent'
 ORDER BY alert_id, told_at DESC
"""


def notify_all(seconds: float = WORK_SECONDS) -> int:
    """Tell all channels what is due, for a bounded time; return how many letters went out."""
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        taken = _take()
        if taken is None:
            break
        channel, busy_until = taken
        count += _serve(channel, end)
        # Not after a fault of ours: the others come first then.
        Channel.objects.filter(pk=channel.pk, busy_until=busy_until).update(busy_until=None)
    return count


def _take() -> tuple[Channel, datetime] | None:
    """Take a channel that is to be told something and is nobody else's."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"lease": LEASE_SECONDS})
        row = cursor.fetchone()
    if row is None:
        return None
    channel = Channel.objects.defer("secrets").filter(pk=row[0]).first()
    return None if channel is None else (channel, row[1])


def _serve(channel: Channel, end: float) -> int:
    """Tell a channel what is due until nothing is, it fails, or it has been told enough."""
    count = 0
    while time.monotonic() < end:
        due = _still_news(channel, _due(channel))
        if not due:
            break
        piece, is_summary = _piece(channel, due)
        if not piece:
            break
        try:
            tell(channel, letter_of(piece, is_summary=is_summary))
        except TellError as error:
            _note_failure(channel, due, str(error))
            break
        _note_told(piece, in_summary=is_summary)
        count += 1
    return count


def _due(channel: Channel) -> list[Notification]:
    """Return what is due; what has failed already comes last and holds up nothing else."""
    pending = channel.notifications.filter(state=Telling.PENDING, due_at__lte=database_now())
    ordered = pending.select_related("alert").order_by("attempts", "due_at", "id")
    return list(ordered[:MAX_IN_SUMMARY])


def _still_news(channel: Channel, due: Sequence[Notification]) -> list[Notification]:
    """Drop what is not true, or no news, any more; return the rest."""
    if not due:
        return []
    heard = _heard(channel, [each.alert_id for each in due])
    fresh = [
        each
        for each in due
        if channel.is_active
        and is_news(
            News(each.event), is_open=each.alert.is_open, heard=heard.get(each.alert_id, "")
        )
    ]
    stale = {each.pk for each in due} - {each.pk for each in fresh}
    if stale:
        Notification.objects.filter(pk__in=stale, state=Telling.PENDING).update(
            state=Telling.DROPPED
        )
    return fresh


def is_news(event: News, *, is_open: bool, heard: str) -> bool:
    """Tell whether something is to be told, given how things are and what was told last.

    `heard` is the event of what the channel was told last of the alert, empty for nothing.
    """
    if event is News.CLOSED:
        return not is_open and heard != News.CLOSED
    if event is News.REMINDER:
        return is_open
    # That it was there is told even when it is over, but not after that was told.
    return is_open or heard != News.CLOSED


def _heard(channel: Channel, alert_ids: Sequence[UUID]) -> Mapping[UUID, str]:
    with connection.cursor() as cursor:
        cursor.execute(_HEARD, {"channel": channel.pk, "alerts": list(alert_ids)})
        return dict(cursor.fetchall())


def _piece(channel: Channel, due: list[Notification]) -> tuple[list[Notification], bool]:
    """Return what is to be told next and whether as a summary; nothing if that has to wait."""
    now = database_now()
    told = channel.notifications.filter(state=Telling.SENT, told_at__gt=now - HOUR)
    if told.filter(in_summary=False).count() < MAX_PER_HOUR:
        return due[:1], False
    last = told.filter(in_summary=True).aggregate(last=Max("told_at"))["last"]
    if last is None or last + SUMMARY_EVERY <= now:
        return due, True
    channel.notifications.filter(pk__in=[each.pk for each in due], state=Telling.PENDING).update(
        due_at=last + SUMMARY_EVERY
    )
    return [], False


def _note_told(piece: Sequence[Notification], *, in_summary: bool) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _TOLD,
            {
                "in_summary": in_summary,
                "ids": [each.pk for each in piece],
                "asked": [each.asked_at for each in piece],
            },
        )


def _note_failure(channel: Channel, due: Sequence[Notification], error: str) -> None:
    """Have all that is due wait: it is the channel that failed."""
    logger.warning("Channel %s could not be told: %s", channel.name, error)
    with connection.cursor() as cursor:
        cursor.execute(
            _FAILED,
            {
                "ids": [each.pk for each in due],
                "error": error.replace("\x00", "")[:ERROR_CHARS],
                "most": MAX_ATTEMPTS,
                "waits": list(RETRY_SECONDS),
            },
        )


def letter_of(notifications: Sequence[Notification], *, is_summary: bool) -> Letter:
    """Return what is sent for notifications whose alerts are read."""
    first = notifications[0]
    letter_id = f"alert_{first.pk.hex}_{int(first.asked_at.timestamp() * 1000)}"
    if is_summary:
        letter_id = f"{letter_id}_{len(notifications)}"
    items = [item_of(each.alert, News(each.event)) for each in notifications]
    return Letter(letter_id, items, link_to_all(), is_summary=is_summary)


def item_of(alert: Alert, event: News) -> Item:
    """Return an alert as it is told."""
    return Item(
        id=str(alert.pk),
        event=event,
        kind=alert.kind,
        subject=alert.subject,
        severity=alert.severity,
        title=alert.title,
        detail=alert.detail,
        link=_absolute(alert.link),
        opened_at=alert.opened_at,
        last_at=alert.last_at,
        count=alert.count,
        closed_at=alert.closed_at,
        closing=alert.closing,
    )


def link_to_all() -> str:
    """Return where all alerts are."""
    return _absolute(console_path("alerts_alert_changelist") or "/")


def _absolute(path: str) -> str:
    return f"{settings.PUBLIC_URL}{path}" if path.startswith("/") else path
