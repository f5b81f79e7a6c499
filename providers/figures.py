"""What accounts do with the mails they are offered, by the minute.

Every batch of results adds to its accounts' rows of the running minute, in the transaction that
records the results. Latencies are kept as a histogram in powers of two, so sums of many minutes
still know their percentiles.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import connection
from django.utils import timezone

from providers.ports import Outcome, Reason, Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from providers.ports import SendResult

#: Of the histogram. Place 0 is for less than 1 ms, place n for 2ⁿ⁻¹ ms up to less than 2ⁿ ms, and
#: the last for all above: more than two minutes.
BUCKETS = 19
#: How old remembered sums may be.
RECENT_SECONDS = 10.0
#: Rows are kept for so long.
KEPT = timedelta(days=90)
#: Deleted by one statement.
_BATCH = 5_000

#: Columns of a minute: what became of mails, and what was told later. `Tally` has them in this
#: order, the histogram between the two.
COUNTS = ("accepted", "deferred", "rejected", "unknown", "faults", "refused", "accepted_mails")
RETURNS = ("delivered", "bounced", "complained", "blocked")
_OF_THE_RECIPIENT = frozenset({Reason.BAD_RECIPIENT, Reason.MAILBOX})
_MEDIAN, _NEARLY_ALL = 0.5, 0.95
#: Of fewer accepted mails (recipients) no rate of what came back is told: it would be chance.
MIN_ACCEPTED = 100


def bucket_of(duration_ms: int) -> int:
    """Return the histogram's place for a duration."""
    return min(max(duration_ms, 0).bit_length(), BUCKETS - 1)


def percentile(histogram: Sequence[int], share: float) -> float | None:
    """Return the duration (ms) that `share` of the mails stayed below; None without any.

    Within a bucket the mails are taken to be spread evenly.
    """
    sought = share * sum(histogram)
    if not sought:
        return None
    below = 0
    for place, count in enumerate(histogram):
        if count and below + count >= sought:
            low = (1 << place) >> 1 if place else 0
            return low + ((1 << place) - low) * (sought - below) / count
        below += count
    return None


@dataclass(slots=True)
class Tally:
    """Counts of what became of mails at one account; see `ProviderMinute`."""

    accepted: int = 0
    deferred: int = 0
    rejected: int = 0
    unknown: int = 0
    faults: int = 0
    refused: int = 0
    #: Recipients of `accepted`: what came back is told by recipient.
    accepted_mails: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    # Told later, of mails of that time or of earlier ones.
    delivered: int = 0
    bounced: int = 0
    complained: int = 0
    blocked: int = 0

    @property
    def tried(self) -> int:
        """Return the mails that the account might have taken: refused recipients are no fault.

        What it refused for other reasons counts: a single mail may have deserved it, but an account
        that refuses more than others do is the worse way to send by.
        """
        return self.accepted + self.deferred + self.unknown + self.faults + self.refused

    @property
    def kept(self) -> float:
        """Return `accepted` less the share that came back because of the account itself.

        Dead addresses and complaints speak of the list and the mail, not of who carried it.
        """
        if not self.accepted_mails:
            return self.accepted
        return max(0.0, self.accepted - self.blocked * self.accepted / self.accepted_mails)

    @property
    def success_rate(self) -> float | None:
        """Return the share that was accepted, 0 to 1; None if nothing was tried."""
        return self.accepted / self.tried if self.tried else None

    @property
    def bounce_rate(self) -> float | None:
        """Return the share of accepted mails that came back for good; None of too few."""
        return _share(self.bounced, self.accepted_mails)

    @property
    def complaint_rate(self) -> float | None:
        """Return the share of accepted mails that were called spam; None of too few."""
        return _share(self.complained, self.accepted_mails)

    @property
    def block_rate(self) -> float | None:
        """Return the share of accepted mails that came back due to the account; None of too few."""
        return _share(self.blocked, self.accepted_mails)

    @property
    def p50_ms(self) -> float | None:
        """Return the median time to acceptance."""
        return percentile(self.latency, _MEDIAN)

    @property
    def p95_ms(self) -> float | None:
        """Return the time to acceptance that 5 % exceed."""
        return percentile(self.latency, _NEARLY_ALL)


def _share(returned: int, mails: int) -> float | None:
    """Return a part of the accepted mails, 0 to 1: what came back may be of earlier mails."""
    return min(1.0, returned / mails) if mails >= MIN_ACCEPTED else None


class TallyBook:
    """Adds up what became of mails, per account, until it is written."""

    def __init__(self) -> None:
        self._tallies: dict[UUID, Tally] = {}

    def note(self, provider_id: UUID, result: SendResult, duration_ms: int, *, mails: int) -> None:
        """Note one attempt by which `mails` recipients were served: see `quotas.mails_of`."""
        tally = self._tallies.get(provider_id)
        if tally is None:
            tally = self._tallies[provider_id] = Tally()
        outcome = result.outcome
        if outcome is Outcome.ACCEPTED:
            tally.accepted += 1
            tally.accepted_mails += mails
            tally.latency[bucket_of(duration_ms)] += 1
        elif outcome is Outcome.NOT_ACCEPTED:
            _note_refusal(tally, result)
        elif outcome is Outcome.REJECTED:
            _note_rejection(tally, result)
        else:
            tally.unknown += 1

    def take(self) -> dict[UUID, Tally]:
        """Return the tallies by account and begin anew."""
        tallies, self._tallies = self._tallies, {}
        return tallies


def _note_rejection(tally: Tally, result: SendResult) -> None:
    if result.reason in _OF_THE_RECIPIENT:
        tally.rejected += 1
    else:
        tally.refused += 1


def _note_refusal(tally: Tally, result: SendResult) -> None:
    if result.scope is Scope.MESSAGE:
        tally.deferred += 1
    elif result.reason is not Reason.CONTENT:
        tally.faults += 1
    elif result.reply.code:
        # Without a reply it was not asked: merely lacking what one mail needs says nothing of it.
        tally.refused += 1


#: Adds one tally to its minute, if the account is in the relation `account` (a column `id`): the
#: end of the statement that settles its quota, which comes as often.
ADD = f"""
INSERT INTO providers_providerminute AS m (provider_id, minute, {", ".join(COUNTS)}, latency)
SELECT id, %(minute)s, {", ".join(f"%({name})s" for name in COUNTS)}, %(latency)s::int[]
  FROM account
ON CONFLICT (provider_id, minute) DO UPDATE
   SET {", ".join(f"{name} = m.{name} + EXCLUDED.{name}" for name in COUNTS)},
       latency = ARRAY[{
    ", ".join(f"m.latency[{place}] + EXCLUDED.latency[{place}]" for place in range(1, BUCKETS + 1))
}]
"""  # noqa: S608 - names from this module only, values are parameters


_ADD_ONE = f"""
WITH account AS (SELECT id FROM providers_provider WHERE id = %(provider)s) {ADD}
"""  # noqa: S608 - as above


def parameters_of(tally: Tally, now: datetime) -> dict[str, int | str | datetime]:
    """Return the parameters of `ADD`."""
    return {
        "minute": now.replace(second=0, microsecond=0),
        **{name: getattr(tally, name) for name in COUNTS},
        # As text its type does not vary with its values, so the statement stays prepared.
        "latency": f"{{{','.join(map(str, tally.latency))}}}",
    }


def add(provider_id: UUID, tally: Tally, now: datetime) -> None:
    """Add a tally to the minute of `now`, within the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_ADD_ONE, {"provider": provider_id, **parameters_of(tally, now)})


@dataclass(slots=True)
class Returns:
    """Counts of what was told later about mails of an account."""

    delivered: int = 0
    bounced: int = 0
    complained: int = 0
    #: Came back, for good or not, because of the account: see `providers.bounces.is_block`.
    blocked: int = 0


_ADD_RETURNS = f"""
INSERT INTO providers_providerminute AS m
       (provider_id, minute, {", ".join(COUNTS)}, latency, {", ".join(RETURNS)})
SELECT p.id, %s, {", ".join("0" for _ in COUNTS)}, array_fill(0, ARRAY[{BUCKETS}]), {
    ", ".join(f"r.{name}" for name in RETURNS)
}
  FROM jsonb_to_recordset(%s::jsonb) AS r(id uuid, {
    ", ".join(f"{name} integer" for name in RETURNS)
}) JOIN providers_provider p ON p.id = r.id
 ORDER BY p.id
ON CONFLICT (provider_id, minute) DO UPDATE
   SET {", ".join(f"{name} = m.{name} + EXCLUDED.{name}" for name in RETURNS)}
"""  # noqa: S608 - names from this module only, values are parameters


def add_returns(returns: Mapping[UUID, Returns], now: datetime) -> None:
    """Add what was told about accounts' mails to the minute of `now`.

    Within the caller's transaction, and late in it: all workers want these rows.
    """
    if not returns:
        return
    rows = [{"id": str(key), **asdict(one)} for key, one in returns.items()]
    minute = now.replace(second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(_ADD_RETURNS, [minute, json.dumps(rows)])


_SUMS = f"""
SELECT provider_id, {", ".join(f"sum({name})::bigint" for name in COUNTS)},
       ARRAY[{", ".join(f"sum(latency[{place}])" for place in range(1, BUCKETS + 1))}]::bigint[],
       {", ".join(f"sum({name})::bigint" for name in RETURNS)}
  FROM providers_providerminute WHERE minute > %s GROUP BY provider_id
"""  # noqa: S608 - names from this module only, values are parameters

_DELETE = """
DELETE FROM providers_providerminute
 WHERE minute IN (SELECT minute FROM providers_providerminute WHERE minute < %s
                   ORDER BY minute LIMIT %s)
   AND minute < %s
"""

_lock = threading.Lock()
_held: dict[int, tuple[float, Mapping[UUID, Tally]]] = {}


def recent(ids: Collection[UUID], minutes: int = 60) -> dict[UUID, Tally]:
    """Return the sums of the last minutes, at most 10 s old; accounts without mail are missing."""
    held = _held.get(minutes)
    if held is None or held[0] <= time.monotonic():
        sums = sums_since(timezone.now() - timedelta(minutes=minutes))
        with _lock:
            held = _held[minutes] = (time.monotonic() + RECENT_SECONDS, sums)
    return {key: held[1][key] for key in ids if key in held[1]}


def sums_since(moment: datetime) -> dict[UUID, Tally]:
    """Return every account's sums over the minutes that began after `moment`."""
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, [moment])
        return {row[0]: Tally(*row[1:]) for row in cursor.fetchall()}


def forget_recent() -> None:
    """Make the next `recent` look at the database."""
    with _lock:
        _held.clear()


def delete_old(now: datetime) -> int:
    """Delete what is older than 90 days, in short statements; return how many rows."""
    oldest = now - KEPT
    count = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_DELETE, [oldest, _BATCH, oldest])
            deleted = int(cursor.rowcount)
        count += deleted
        if not deleted:
            return count
