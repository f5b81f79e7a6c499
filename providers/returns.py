"""What comes back of accounts' mails: bounces and complaints against the mails they accepted.

A mail is a recipient, as in quotas and costs: each of a message's recipients may bounce.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection

from alerts.models import Severity
from providers.figures import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

BOUNCE_RATE, COMPLAINT_RATE = "provider.bounce_rate", "provider.complaint_rate"
#: How far back reaches what alerts count.
OVER = timedelta(hours=24)
#: What is open stays until its rate, or the count of mails, is below this part of what opens it: a
#: figure that dances about its threshold is told once.
_STAYS_ABOVE = 0.8

# Latencies, most of a row, are not touched.
_LATELY = """
SELECT provider_id, sum(accepted_mails)::bigint, sum(bounced)::bigint, sum(complained)::bigint,
       sum(blocked)::bigint
  FROM providers_providerminute
 WHERE minute > %s
 GROUP BY provider_id
HAVING sum(bounced) + sum(complained) > 0
"""
_WINDOWS = """
SELECT coalesce(mails, 0), coalesce(bounced, 0), coalesce(complained, 0), coalesce(blocked, 0)
  FROM unnest(%s::timestamptz[]) WITH ORDINALITY AS w (starts_at, place)
 CROSS JOIN LATERAL (
    SELECT sum(accepted_mails)::bigint AS mails, sum(bounced)::bigint AS bounced,
           sum(complained)::bigint AS complained, sum(blocked)::bigint AS blocked
      FROM providers_providerminute
     WHERE provider_id = %s AND minute >= starts_at
 ) found
 ORDER BY place
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """One kind of what comes back of an account, with how much of it is too much."""

    #: Of its alert.
    kind: str
    count: int
    mails: int
    #: In percent: (warning, critical).
    thresholds: tuple[float, float]

    @property
    def percent(self) -> float:
        """Return the rate; more may come back within a time than was accepted in it."""
        return min(100.0, 100 * self.count / self.mails) if self.mails else 0.0

    def severity(self, *, is_open: bool) -> Severity | None:
        """Return how bad it is, None if it is not; what is open stays open a little longer."""
        warning, critical = self.thresholds
        part = _STAYS_ABOVE if is_open else 1
        if self.mails < settings.RATE_ALERT_MIN_MAILS * part or self.percent < warning * part:
            return None
        return Severity.CRITICAL if self.percent >= critical else Severity.WARNING


def rates_of(tally: Tally) -> tuple[Rate, Rate]:
    """Return what alerts look at: bounces, then complaints."""
    return (
        Rate(BOUNCE_RATE, tally.bounced, tally.accepted_mails, settings.BOUNCE_RATE_ALERT),
        Rate(COMPLAINT_RATE, tally.complained, tally.accepted_mails, settings.COMPLAINT_RATE_ALERT),
    )


def returned_since(moment: datetime) -> dict[UUID, Tally]:
    """Return the accounts of whose mails anything came back in the minutes after `moment`.

    The tallies tell only accepted mails, bounced, complained and blocked.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LATELY, [moment])
        return {row[0]: _tally(row[1:]) for row in cursor.fetchall()}


def returned_in(provider_id: UUID, starts: Sequence[datetime]) -> list[Tally]:
    """Return what one account accepted, and what came back, since each of these moments."""
    with connection.cursor() as cursor:
        cursor.execute(_WINDOWS, [list(starts), provider_id])
        return [_tally(row) for row in cursor.fetchall()]


def _tally(row: Sequence[int]) -> Tally:
    return Tally(accepted_mails=row[0], bounced=row[1], complained=row[2], blocked=row[3])
