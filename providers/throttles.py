"""Recipient domains that ask for less: who puts mail off, and what that does for all workers.

A domain is slowed down per account, in one row, when it puts off mail that the account sends it:
see `routing.paces` for how long and how much. Rows are written when mail is put off and never when
it is taken, each by one statement on the database's clock that is guarded by the state it leaves:
what was on the wire when a domain was closed does not count once more.

Being told to slow down counts at once. Other temporary refusals may be one mailbox's trouble, so
they count when a process sees several within a minute that are most of what it sent there.
Greylisting, full mailboxes and refused mails say nothing about speed, and never count.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.db import connection
from django.utils import timezone

from mailservice.core.addresses import domain_of
from providers.models import DomainLimit
from providers.ports import Outcome, Reason, Reply
from providers.routing.paces import (
    MAX_FAILURES,
    NO_PACES,
    DomainPaces,
    Pace,
    Slowdown,
    recovery_seconds,
    wait_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from providers.ports import SendResult

logger = logging.getLogger(__name__)

#: The longest that a domain may ask us to wait itself.
LONGEST_WISH = timedelta(hours=1)
#: Refusals that do not speak of speed count if there are so many within so long.
MANY_REFUSALS = 5
WATCH_SECONDS = 60.0
#: (Account, domain) pairs that a process watches, and slow-downs that it reads, at most. Beyond
#: them the accounts are what is refused, not single domains of theirs.
MAX_WATCHED = 2_000
MAX_READ = 5_000
#: Temporary refusals that say nothing about how much the domain takes.
_NOT_ABOUT_SPEED = frozenset(
    {
        Reason.GREYLISTED,
        Reason.MAILBOX,
        Reason.CONTENT,
        Reason.BAD_RECIPIENT,
        Reason.CONNECTION,
    }
)
_DETAIL_CHARS = 500

# The guard: only who was sent after it reopened can tell anything new. `age` is how long ago that
# was. What was learnt in the meantime stays if it has lasted: see `routing.paces`.
_SLOW_DOWN = """
INSERT INTO providers_domainslowdown AS s
       (provider_id, domain, failures, since, closed_until, recovered_at, detail)
SELECT id, %(domain)s, 1, clock_timestamp(), t.until,
       t.until + make_interval(secs => (%(recoveries)s::float8[])[1]), %(detail)s
  FROM providers_provider,
       LATERAL (SELECT clock_timestamp() + make_interval(
           secs => GREATEST(%(wish)s, (%(waits)s::float8[])[1])) AS until) t
 WHERE id = %(provider)s
ON CONFLICT (provider_id, domain) DO UPDATE
   SET (failures, since, closed_until, recovered_at, detail) = (
       SELECT n.failures,
              CASE WHEN s.recovered_at <= n.now THEN n.now ELSE s.since END,
              t.until,
              t.until + make_interval(secs => (%(recoveries)s::float8[])[n.failures]),
              EXCLUDED.detail
         FROM (SELECT clock_timestamp() AS now,
                      CASE WHEN s.recovered_at <= clock_timestamp() THEN 1
                           WHEN clock_timestamp() - s.closed_until >= make_interval(
                                secs => (%(waits)s::float8[])[s.failures]) THEN s.failures
                           ELSE LEAST(s.failures + 1, %(most)s) END AS failures) n,
              LATERAL (SELECT n.now + make_interval(
                  secs => GREATEST(%(wish)s, (%(waits)s::float8[])[n.failures])) AS until) t)
 WHERE s.closed_until <= clock_timestamp() - make_interval(secs => %(age)s)
RETURNING closed_until, failures
"""

_PROLONG = """
UPDATE providers_domainslowdown
   SET closed_until = clock_timestamp() + make_interval(secs => %(wish)s),
       recovered_at = recovered_at - closed_until
                      + clock_timestamp() + make_interval(secs => %(wish)s)
 WHERE provider_id = %(provider)s AND domain = %(domain)s
   AND closed_until > clock_timestamp()
   AND closed_until < clock_timestamp() + make_interval(secs => %(wish)s)
"""

# How long is left, so that it can be told on the reader's clock. Those closed for longest first.
_UNDER_WAY = """
SELECT provider_id, domain, failures, closed_until - clock_timestamp()
  FROM providers_domainslowdown WHERE recovered_at > clock_timestamp()
 ORDER BY recovered_at DESC LIMIT %s
"""

_DELETE = "DELETE FROM providers_domainslowdown WHERE recovered_at < %s"

_WAITS = [wait_seconds(failures) for failures in range(1, MAX_FAILURES + 1)]
_RECOVERIES = [recovery_seconds(failures) for failures in range(1, MAX_FAILURES + 1)]


@dataclass(frozen=True, slots=True)
class Signal:
    """A domain that wants less, or may want it."""

    domain: str
    reply: Reply
    retry_after_seconds: float | None = None
    #: It says so itself; else this is a refusal that counts with others only.
    is_plain: bool = field(kw_only=True)

    @property
    def wish_seconds(self) -> float:
        """Return how long the domain asks us to wait; 0 if it does not say."""
        return min(max(0.0, self.retry_after_seconds or 0.0), LONGEST_WISH.total_seconds())

    def is_known(self, closed: Mapping[str, datetime], now: datetime) -> bool:
        """Tell whether a domain is closed already, and for as long as it asks."""
        until = closed.get(self.domain, now)
        return until > now + timedelta(seconds=self.wish_seconds)


def signals_of(recipients: Iterable[str], result: SendResult) -> list[Signal]:
    """Return what a mail's result says about its recipients' domains, each once.

    `recipients` are those the mail was offered for, in wire form.
    """
    if result.outcome not in (Outcome.ACCEPTED, Outcome.NOT_ACCEPTED) or result.is_account_fault:
        return []
    answers: Iterable[tuple[str, Outcome, Reason, Reply]]
    answers = [(each.address, each.outcome, each.reason, each.reply) for each in result.recipients]
    if not answers:
        answers = ((each, result.outcome, result.reason, result.reply) for each in recipients)
    wish = result.retry_after_seconds if result.outcome is Outcome.NOT_ACCEPTED else None
    found: dict[str, Signal] = {}
    for address, outcome, reason, reply in answers:
        if outcome is not Outcome.NOT_ACCEPTED or reason in _NOT_ABOUT_SPEED:
            continue
        domain = domain_of(address).lower()
        is_plain = reason is Reason.THROTTLED
        if domain not in found or (is_plain and not found[domain].is_plain):
            found[domain] = Signal(domain, reply, wish, is_plain=is_plain)
    return list(found.values())


@dataclass(slots=True)
class _Seen:
    until: float
    sent: int = 0
    refused: int = 0


class Watch:
    """What this process has seen of domains that refuse mail; `now` is monotonic seconds.

    A domain is watched from its first refusal on for a minute, so while all goes well nothing is
    kept and nothing is done.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[UUID, str], _Seen] = {}
        self._clean_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._seen)

    def note(
        self, provider_id: UUID, recipients: Sequence[str], signals: Sequence[Signal], now: float
    ) -> list[Signal]:
        """Return the signals that count, of one mail's."""
        for signal in signals:
            if not signal.is_plain:
                self._begin(provider_id, signal.domain, now)
        counted = [signal for signal in signals if signal.is_plain]
        self._forget_past(now)
        if not self._seen:
            return counted
        refusing = {signal.domain: signal for signal in signals if not signal.is_plain}
        for domain in {domain_of(address).lower() for address in recipients}:
            seen = self._seen.get((provider_id, domain))
            if seen is None or now >= seen.until:
                continue
            seen.sent += 1
            seen.refused += domain in refusing
            if domain in refusing and _is_much(seen):
                counted.append(refusing[domain])
                del self._seen[provider_id, domain]
        return counted

    def _begin(self, provider_id: UUID, domain: str, now: float) -> None:
        key = (provider_id, domain)
        seen = self._seen.get(key)
        if seen is not None and now < seen.until:
            return
        if seen is not None or len(self._seen) < MAX_WATCHED:
            self._seen[key] = _Seen(now + WATCH_SECONDS)

    def _forget_past(self, now: float) -> None:
        if now >= self._clean_at:
            self._seen = {each: kept for each, kept in self._seen.items() if now < kept.until}
            self._clean_at = now + WATCH_SECONDS


def _is_much(seen: _Seen) -> bool:
    return seen.refused >= MANY_REFUSALS and 2 * seen.refused > seen.sent


def slow_down(provider_id: UUID, signal: Signal, *, age_seconds: float) -> bool:
    """Close a domain to an account for a while; False if this tells nothing new.

    `age_seconds` is how long ago the mail that was put off set out. Closed or not by this, it stays
    closed for as long as the domain asks.
    """
    wish = signal.wish_seconds
    detail = f"{signal.reply.code or ''} {signal.reply.enhanced_code} {signal.reply.text}"
    parameters: dict[str, UUID | str | float | list[float]] = {
        "provider": provider_id,
        "domain": signal.domain,
        "wish": wish,
        "age": max(0.0, age_seconds),
        "waits": _WAITS,
        "recoveries": _RECOVERIES,
        "most": MAX_FAILURES,
        "detail": _told(detail),
    }
    with connection.cursor() as cursor:
        cursor.execute(_SLOW_DOWN, parameters)
        row = cursor.fetchone()
        if row is None and wish:
            cursor.execute(_PROLONG, parameters)
    if row is None:
        return False
    logger.log(
        logging.WARNING if row[1] == 1 else logging.INFO,
        "Mail to %s through account %s waits until %s (signal %d): %s",
        signal.domain, provider_id, row[0], row[1], parameters["detail"],
    )  # fmt: skip
    return True


def _told(text: str) -> str:
    words = " ".join(text.replace("\x00", "").split())
    return words.encode("utf-8", "replace").decode()[:_DETAIL_CHARS]


class Throttles(NamedTuple):
    """What a routing snapshot holds of one account's recipient domains."""

    #: Domains that are closed, and until when.
    closed: Mapping[str, datetime]
    paces: DomainPaces


NO_THROTTLES = Throttles({}, NO_PACES)


def throttles_of(provider_ids: Iterable[UUID]) -> dict[UUID, Throttles]:
    """Return limits and slow-downs of those accounts that have any."""
    limits = DomainLimit.objects.filter(is_active=True)
    own: dict[UUID | None, dict[str, tuple[UUID, float]]] = {}
    for limit in limits.values_list("provider_id", "pattern", "pk", "rate_per_second"):
        own.setdefault(limit[0], {})[limit[1]] = (limit[2], limit[3])
    slow = _under_way()
    if not own and not slow:
        return {}
    shared = own.pop(None, {})
    return {
        provider_id: _throttles(provider_id, own.get(provider_id, {}), shared, slow)
        for provider_id in provider_ids
        if shared or provider_id in own or provider_id in slow
    }


def _throttles(
    provider_id: UUID,
    own: Mapping[str, tuple[UUID, float]],
    shared: Mapping[str, tuple[UUID, float]],
    slow: Mapping[UUID, Mapping[str, Slowdown]],
) -> Throttles:
    now = timezone.now()
    slowdowns = slow.get(provider_id, {})
    paces = DomainPaces(
        own_limits={pattern: _pace(*limit, provider_id) for pattern, limit in own.items()},
        shared_limits={pattern: _pace(*limit, provider_id) for pattern, limit in shared.items()},
        slowdowns={
            domain: Pace(f"{provider_id}:{domain}", slowdown.rate_at(now), slowdown)
            for domain, slowdown in slowdowns.items()
        },
    )
    closed = {
        domain: slowdown.closed_until
        for domain, slowdown in slowdowns.items()
        if slowdown.closed_until > now
    }
    return Throttles(closed, paces)


def _pace(limit_id: UUID, rate: float, provider_id: UUID) -> Pace:
    return Pace(f"{provider_id}:limit:{limit_id}", rate)


def _under_way() -> dict[UUID, dict[str, Slowdown]]:
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_UNDER_WAY, [MAX_READ])
        rows = cursor.fetchall()
    found: dict[UUID, dict[str, Slowdown]] = {}
    for provider_id, domain, failures, left in rows:
        found.setdefault(provider_id, {})[domain] = Slowdown(now + left, failures)
    return found


def delete_old(now: datetime) -> int:
    """Delete the slow-downs that were over by then; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_DELETE, [now])
        return int(cursor.rowcount)
