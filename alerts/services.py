"""Opening and closing alerts: from anywhere, from many processes at once, as often as one likes."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Max

from alerts.dispatch import wake_on_commit
from alerts.models import (
    DETAIL_CHARS,
    KIND_CHARS,
    LINK_CHARS,
    SUBJECT_CHARS,
    TITLE_CHARS,
    Alert,
    Channel,
    News,
    Notification,
    Severity,
    Telling,
    is_graver,
)
from mailservice.core.errors import InvalidInputError
from mailservice.core.ids import uuid7
from mailservice.core.sql import RecordSet, advisory_key, database_now, lock_for_transaction

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

#: Alerts that are over are kept for so long.
KEPT = timedelta(days=90)
#: Deleted by one statement.
_BATCH = 1_000
#: One that comes back so soon after it was over is the same alert, and told again no oftener.
QUIET = timedelta(minutes=10)

_KIND = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)*\Z")
_ROWS = RecordSet(
    {
        "id": "uuid",
        "alert_id": "uuid",
        "channel_id": "uuid",
        "event": "text",
        "state": "text",
        "asked_at": "timestamptz",
        "due_at": "timestamptz",
        "attempts": "smallint",
        "in_summary": "boolean",
        "last_error": "text",
    }
)
# Also one that waits for another attempt is told at once, and with all its attempts.
_ASKED_AGAIN = """
ON CONFLICT (alert_id, channel_id, event) WHERE state = 'pending' DO UPDATE
   SET asked_at = EXCLUDED.asked_at, attempts = 0,
       due_at = LEAST(alerts_notification.due_at, EXCLUDED.due_at)
"""


def open_alert(
    *, kind: str, subject: str, severity: str, title: str, detail: str = "", link: str = ""
) -> bool:
    """Report that something is wrong; True if that was not known.

    Reported again it counts up, and is told again only if it has become graver. `kind` is words of
    a-z, 0-9 and _ joined by dots, `subject` what it is about, `link` a path in the admin. Longer
    texts are cut. Raises `InvalidInputError`.
    """
    _check(kind, subject, severity)
    report = Alert(
        kind=kind,
        subject=subject,
        severity=severity,
        title=_text(title, TITLE_CHARS),
        detail=_text(detail, DETAIL_CHARS),
        link=_text(link, LINK_CHARS),
    )
    with transaction.atomic():
        _lock(kind, subject)
        now = database_now()
        last = Alert.objects.filter(kind=kind, subject=subject).order_by("-opened_at").first()
        if last is None or (last.closed_at is not None and last.closed_at <= now - QUIET):
            _open(report, now)
            return True
        return _go_on(last, report, now)


def close_alert(*, kind: str, subject: str, detail: str = "") -> bool:
    """Report that something is over; True if it was open. `detail` tells how it ended."""
    with transaction.atomic():
        _lock(kind, subject)
        now = database_now()
        alert = Alert.objects.open().filter(kind=kind, subject=subject).first()
        if alert is None:
            return False
        alert.closed_at = now
        alert.closing = _text(detail, DETAIL_CHARS)
        alert.save(update_fields=["closed_at", "closing"])
        told = [each for each in _takers(alert, alert.severity) if each.tells_closing]
        _ask(alert, News.CLOSED, told, now=now, due_at=now)
        return True


def delete_old(*, now: datetime) -> int:
    """Delete what was over 90 days ago, in short statements; return how many alerts."""
    count = 0
    while True:
        old = Alert.objects.filter(closed_at__lt=now - KEPT).values_list("pk", flat=True)
        ids = list(old[:_BATCH])
        if not ids:
            return count
        # One that was opened again meanwhile stays.
        Alert.objects.filter(pk__in=ids, closed_at__lt=now - KEPT).delete()
        count += len(ids)


def _lock(kind: str, subject: str) -> None:
    """Have everybody else who reports the same wait for the end of this transaction."""
    lock_for_transaction(advisory_key("alert", kind, subject))


def _open(alert: Alert, now: datetime) -> None:
    alert.opened_at = alert.last_at = now
    alert.save(force_insert=True)
    _ask(alert, News.OPENED, _takers(alert, alert.severity), now=now, due_at=now)


def _go_on(alert: Alert, report: Alert, now: datetime) -> bool:
    """Count a report of what is known, or was until just now; True if it was over."""
    was_closed, old_severity = not alert.is_open, alert.severity
    has_worsened = is_graver(report.severity, old_severity)
    alert.last_at, alert.closed_at, alert.closing = now, None, ""
    alert.count += 1
    if not is_graver(old_severity, report.severity):
        # The words of a lesser report would not fit the severity that stays.
        alert.severity, alert.title = report.severity, report.title
        alert.detail, alert.link = report.detail, report.link
    alert.save()
    if has_worsened:
        _tell_worse(alert, old_severity, now)
    elif was_closed:
        takers = _takers(alert, alert.severity)
        _ask(alert, News.REMINDER, takers, now=now, due_at=_not_before(alert, now))
    return was_closed


def _tell_worse(alert: Alert, old_severity: str, now: datetime) -> None:
    takers = _takers(alert, alert.severity)
    knew = [each for each in takers if each.takes(alert.kind, old_severity)]
    _ask(alert, News.REMINDER, knew, now=now, due_at=now)
    _ask(alert, News.OPENED, [each for each in takers if each not in knew], now=now, due_at=now)


def _not_before(alert: Alert, now: datetime) -> datetime:
    """Return when an alert that came back may be told again."""
    told = Notification.objects.filter(
        alert=alert, state=Telling.SENT, event__in=[News.OPENED, News.REMINDER]
    ).aggregate(last=Max("told_at"))["last"]
    return max(now, told + QUIET) if told else now


def _takers(alert: Alert, severity: str) -> list[Channel]:
    channels = Channel.objects.filter(is_active=True).defer("secrets")
    return [channel for channel in channels if channel.takes(alert.kind, severity)]


def _ask(
    alert: Alert, event: News, channels: Iterable[Channel], *, now: datetime, due_at: datetime
) -> None:
    """Have the channels told, within the caller's transaction."""
    rows = [
        {
            "id": uuid7(),
            "alert_id": alert.pk,
            "channel_id": channel.pk,
            "event": event.value,
            "state": Telling.PENDING.value,
            "asked_at": now,
            "due_at": due_at,
            "attempts": 0,
            "in_summary": False,
            "last_error": "",
        }
        for channel in channels
    ]
    if _ROWS.insert("alerts_notification", rows, suffix=_ASKED_AGAIN):
        wake_on_commit()


def _check(kind: str, subject: str, severity: str) -> None:
    if not _KIND.match(kind) or len(kind) > KIND_CHARS:
        raise InvalidInputError.for_field(
            "kind", f"Use words of a-z, 0-9 and _ joined by dots, {KIND_CHARS} characters at most."
        )
    if len(subject) > SUBJECT_CHARS or "\x00" in subject:
        raise InvalidInputError.for_field("subject", f"Use {SUBJECT_CHARS} characters at most.")
    if severity not in Severity.values:
        raise InvalidInputError.for_field("severity", f"Use {' or '.join(Severity.values)}.")


def _text(value: str, limit: int) -> str:
    """Return what can be stored of a text that may come from a hostile server."""
    text = value.replace("\x00", "").encode("utf-8", "replace").decode().strip()
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
