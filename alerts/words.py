"""What people and machines read about alerts: subjects, texts, chat messages, JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from alerts.models import News, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

SENDER = "mailservice"
#: A summary names so many alerts.
MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class Item:
    """One alert as it is told."""

    id: str
    event: News
    kind: str
    subject: str
    severity: str
    title: str
    detail: str
    #: An absolute URL, or empty.
    link: str
    opened_at: datetime
    last_at: datetime
    count: int
    closed_at: datetime | None = None
    closing: str = ""

    @property
    def headline(self) -> str:
        """Return title and state in one line."""
        if self.event is News.CLOSED:
            return f"Over: {self.title}"
        again = " (again)" if self.event is News.REMINDER else ""
        return f"{Severity(self.severity).label.upper()}{again}: {self.title}"


@dataclass(frozen=True, slots=True)
class Letter:
    """What goes out at once: one alert, or a summary of many."""

    #: The same at every attempt.
    id: str
    #: In the order in which they were asked for; one or more.
    items: Sequence[Item]
    #: Where all alerts are, an absolute URL.
    link: str
    is_summary: bool = False
    is_test: bool = False

    @property
    def type(self) -> str:
        """Return the name of the event for machines."""
        if self.is_test:
            return "alert.test"
        return "alert.summary" if self.is_summary else f"alert.{self.items[0].event}"

    @property
    def headline(self) -> str:
        """Return the whole in one line."""
        if not self.is_summary:
            return self.items[0].headline
        count = len(self.items)
        return f"{count} more alert{'' if count == 1 else 's'}, told together"


def mail_subject(letter: Letter) -> str:
    """Return the subject of the mail."""
    return f"[{SENDER}] {letter.headline}"


def mail_text(letter: Letter) -> str:
    """Return the text of the mail."""
    if letter.is_summary:
        lines = [f"{letter.headline}:", "", *_names(letter), "", letter.link]
        return "\n".join(lines)
    item = letter.items[0]
    facts = [
        ("Severity", Severity(item.severity).label),
        ("Kind", item.kind),
        ("About", item.subject),
        ("Since", _moment(item.opened_at)),
        ("Over", _moment(item.closed_at) if item.closed_at else ""),
        ("Reported", f"{item.count} times" if item.count > 1 else ""),
    ]
    parts = [
        item.headline,
        "\n".join(part for part in (item.detail, item.closing) if part),
        "\n".join(f"{label + ':':<10}{value}" for label, value in facts if value),
        item.link or letter.link,
    ]
    return "\n\n".join(part for part in parts if part)


def chat_message(letter: Letter) -> dict[str, Any]:
    """Return the body that Slack and those like it take."""
    if letter.is_summary:
        names = [_escaped(line) for line in _names(letter)]
        lines = [f"*{_escaped(letter.headline)}*", *names, f"<{letter.link}|All alerts>"]
        return {"text": "\n".join(lines)}
    item = letter.items[0]
    link = _escaped(item.link or letter.link)
    texts = [_escaped(text) for text in (item.detail, item.closing) if text]
    since = f"Since {_moment(item.opened_at)} · <{link}|Open in the console>"
    return {"text": "\n".join([f"*{_escaped(item.headline)}*", *texts, since])}


def webhook_body(letter: Letter, now: datetime) -> dict[str, Any]:
    """Return the body for machines."""
    alerts = [_as_json(item) for item in letter.items]
    return {
        "type": letter.type,
        "timestamp": now.isoformat(),
        "data": {"count": len(alerts), "alerts": alerts} if letter.is_summary else alerts[0],
    }


def _names(letter: Letter) -> list[str]:
    lines = [f"- {item.headline}" for item in letter.items[:MAX_NAMED]]
    more = len(letter.items) - MAX_NAMED
    return [*lines, f"- and {more} more"] if more > 0 else lines


def _as_json(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "kind": item.kind,
        "subject": item.subject,
        "severity": item.severity,
        "title": item.title,
        "detail": item.detail,
        "link": item.link,
        "opened_at": item.opened_at.isoformat(),
        "last_at": item.last_at.isoformat(),
        "count": item.count,
        "closed_at": item.closed_at.isoformat() if item.closed_at else None,
        "closing": item.closing,
    }


def _moment(value: datetime) -> str:
    return timezone.localtime(value).strftime("%Y-%m-%d %H:%M:%S %Z")


def _escaped(text: str) -> str:
    """Return text in which Slack finds no link, mention or channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
