"""Keeping hits: one statement each, and never in the way of the reader."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DataError, InterfaceError, OperationalError, connection
from django.utils import timezone

from inbound.services.batches import RowTable
from inbound.verdicts import BESIDE, Verdict
from mailservice.core.ids import uuid7

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest

    from delivery.links.tracks import Track
    from inbound.models import HitKind

logger = logging.getLogger(__name__)

#: When a hit is judged: all that came beside it is there by then.
JUDGED_AFTER = BESIDE + timedelta(seconds=5)
#: Of one token a process keeps so many hits within a minute; the last of them says so.
MOST_PER_MINUTE = 60
_MINUTE = 60.0
#: Tokens counted at once; then counting begins anew, to bound the memory.
_MAX_COUNTED = 50_000
#: After the database failed, readers do not wait for it again for so long.
_PAUSE_SECONDS = 5.0
_MAX_AGENT_CHARS, _MAX_PURPOSE_CHARS = 500, 100
_PURPOSES = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")

_HITS = RowTable("inbound_hit")
# Whoever has refused meanwhile is not watched: as far as the message still tells who that is. No
# reader waits for the disk: if the database server's machine dies, hits of half a second are gone.
_INSERT = """
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO inbound_hit (id, kind, message_id, recipient_mark, url, link_count, at, method,
       user_agent, address, purpose, verdict, reason, judged_at, due_at)
SELECT %s::uuid, %s, %s::uuid, %s::bigint, %s, %s::smallint, %s::timestamptz, %s,
       %s, %s::inet, %s, %s, %s, %s::timestamptz, %s::timestamptz
  FROM quick
 WHERE NOT EXISTS (
       SELECT 1 FROM delivery_message m JOIN delivery_trackingrefusal t
              ON t.address = ANY (m.addresses) WHERE m.id = %s::uuid)
"""

_paused_until = 0.0


@dataclass(slots=True)
class _Window:
    """What was asked for within the present minute."""

    ends_at: float = 0.0
    counts: Counter[str] | None = None


_lock = threading.Lock()
_window = _Window()


def keep(request: HttpRequest, kind: HitKind, token: str, track: Track) -> None:
    """Keep a hit; without the database it is lost, which is logged. Never raises for that."""
    global _paused_until  # noqa: PLW0603 - holds for the whole process
    count = _counted(token)
    if count > MOST_PER_MINUTE:
        return
    now = time.monotonic()
    if now < _paused_until:
        return
    if _paused_until:
        # It failed before: one reader finds out for all.
        _paused_until = now + _PAUSE_SECONDS
    try:
        _insert(_values(request, kind, track, is_flood=count == MOST_PER_MINUTE))
        _paused_until = 0.0
    except (OperationalError, InterfaceError) as error:
        _paused_until = time.monotonic() + _PAUSE_SECONDS
        logger.warning(
            "Opens and clicks are not kept for %d s: %s", _PAUSE_SECONDS, type(error).__name__
        )
    except DataError as error:
        logger.warning("A hit cannot be stored: %s", error)


def forget_counts() -> None:
    """Begin counting anew, and ask the database again."""
    global _paused_until  # noqa: PLW0603 - holds for the whole process
    with _lock:
        _window.ends_at = 0.0
    _paused_until = 0.0


def delete_old_hits(*, now: datetime) -> int:
    """Forget hits older than `TRACKING_HIT_DAYS`, in short statements; return how many."""
    return _HITS.delete_before(now - timedelta(days=settings.TRACKING_HIT_DAYS))


def client_address(request: HttpRequest) -> str | None:
    """Return whose request it is; behind a proxy of ours, whom that proxy had before it."""
    text = request.META.get("REMOTE_ADDR", "")
    if settings.BEHIND_PROXY:
        # What stands before the last comma is what the client claims.
        text = request.META.get("HTTP_X_FORWARDED_FOR", text).rpartition(",")[2]
    try:
        return str(ip_address(text.strip().strip("[]").partition("%")[0]))
    except ValueError:
        return None


def _counted(token: str) -> int:
    """Count a request for a token; return how many there were within the minute."""
    now = time.monotonic()
    with _lock:
        counts = _window.counts
        if counts is None or now >= _window.ends_at or len(counts) >= _MAX_COUNTED:
            counts = _window.counts = Counter()
            _window.ends_at = now + _MINUTE
        counts[token] += 1
        return counts[token]


def _values(
    request: HttpRequest, kind: HitKind, track: Track, *, is_flood: bool
) -> tuple[Any, ...]:
    now = timezone.now()
    meta = request.META
    purpose = ", ".join(meta[name] for name in _PURPOSES if name in meta)
    return (
        uuid7(),
        kind.value,
        track.message_id,
        int.from_bytes(track.recipient, "big") or None,
        track.url,
        track.link_count,
        now,
        (request.method or "")[:4],
        _storable(meta.get("HTTP_USER_AGENT", ""))[:_MAX_AGENT_CHARS],
        client_address(request),
        _storable(purpose)[:_MAX_PURPOSE_CHARS],
        Verdict.SCANNER.value if is_flood else "",
        "flood" if is_flood else "",
        now if is_flood else None,
        now + JUDGED_AFTER,
        track.message_id,
    )


def _insert(values: tuple[Any, ...]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, values)


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "")
