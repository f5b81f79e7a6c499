"""The books: what was accepted against what stands in the database and what the sink received.

One function, `check`, knows every promise of docs/delivery-contract.md that a crash could break. It
reads the database by plain SQL: a witness that shares no code with the accused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import namedtuple_row

#: Problems and messages shown at most of each kind.
SHOWN = 5
TERMINAL = frozenset(
    {"sent", "delivered", "bounced", "complained", "failed", "cancelled", "expired", "suppressed"}
)
WAITING = frozenset({"scheduled", "queued", "retry", "held", "unknown"})

_MESSAGES = """
SELECT m.id, m.status, m.lease_id, m.attempt_count, m.email_type, m.sequence_key, m.addresses,
       coalesce(a.accepted, 0) AS accepted, coalesce(a.unknown, 0) AS unknown,
       coalesce(a.count, 0) AS attempts, coalesce(a.numbers, 0) AS numbers,
       coalesce(a.highest, 0) AS highest
  FROM delivery_message m
  LEFT JOIN (SELECT message_id, count(*), count(DISTINCT number) AS numbers,
                    max(number) AS highest,
                    count(*) FILTER (WHERE outcome = 'accepted') AS accepted,
                    count(*) FILTER (WHERE outcome = 'unknown') AS unknown
               FROM delivery_attempt GROUP BY message_id) a ON a.message_id = m.id
"""
#: Its worker was lost, and it could not be told whether it had been sent.
_LOST = """
SELECT message_id, count(*) FROM delivery_event
 WHERE kind = 'lease_expired' AND detail NOT LIKE '%before it was sent%' GROUP BY 1
"""
_HISTORY = """
SELECT started_at AS at, 'attempt ' || number || ' ' || outcome || ' ' || code || ' ' || reply
       || ' by ' || worker AS what
  FROM delivery_attempt WHERE message_id = %(id)s
 UNION ALL
SELECT at, kind || ' ' || detail FROM delivery_event WHERE message_id = %(id)s ORDER BY at
"""
_USAGE = "SELECT * FROM providers_providerusage"
_COSTS = """
SELECT (SELECT coalesce(sum(cost_nanos), 0) FROM delivery_attempt) AS attempts,
       coalesce(sum(nanos), 0) AS nanos, coalesce(sum(messages), 0) AS messages,
       coalesce(sum(mails), 0) AS mails
  FROM providers_costday
"""
_STUCK = {
    "a lease row is left": "SELECT id, worker, expires_at FROM delivery_lease",
    "a reservation is left": "SELECT * FROM providers_reservation WHERE count > 0",
}


class Arrival(NamedTuple):
    """One line of the sink's log."""

    message_id: str
    at: float
    recipients: tuple[str, ...] = ()

    @classmethod
    def parse(cls, line: str) -> Arrival:
        """Read a line, with or without recipients."""
        message_id, _, at, *recipients = line.split("\t")
        return cls(message_id, float(at), tuple(recipients[0].split(",")) if recipients else ())


@dataclass
class SinkLog:
    """The sink's log, read on from where the last look ended."""

    path: Path
    arrivals: list[Arrival] = field(default_factory=list)
    _offset: int = 0

    def read(self) -> list[Arrival]:
        """Return all that is in the log."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._offset += len(whole)
            self.arrivals += [Arrival.parse(line) for line in whole.decode().splitlines()]
        return self.arrivals


@dataclass(frozen=True, slots=True)
class Expected:
    """What one side says: those who posted, the sink, and the terms of the test."""

    #: Each accepted message and its recipient.
    accepted: Mapping[UUID, str]
    arrivals: Sequence[Arrival]
    #: Bounds the attempts without a verdict.
    doubt_limit: int
    #: Bounds arrivals beyond the first; None: as `doubt_limit`.
    repeat_limit: int | None = None
    #: Messages whose request got no answer.
    maybe: Collection[UUID] = ()
    #: The ids of each sequence key in the order of their acceptance.
    sequences: Mapping[str, Sequence[UUID]] = field(default_factory=dict)
    #: The states in which a message may be left.
    allowed: Collection[str] = TERMINAL | {"unknown"}
    #: The start of the run: the hour's quota is compared too if the hour is still the same.
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run amounted to, for the table in docs/delivery-contract.md."""

    accepted: int
    arrivals: int
    #: Arrivals beyond the first of a message.
    repeats: int
    #: Attempts that ended without a verdict, and messages whose worker was lost with them.
    in_doubt: int
    bound: int


@dataclass(slots=True)
class Books:
    """Everything that is compared."""

    expected: Expected
    messages: Mapping[UUID, Any]
    #: How often a message's worker was lost while it held it.
    lost: Mapping[UUID, int]
    problems: list[str] = field(default_factory=list)
    suspects: dict[UUID, None] = field(default_factory=dict)

    def report(self, what: str, culprits: Iterable[UUID | str]) -> None:
        """Note a broken promise, if there are culprits."""
        found = list(culprits)
        if found:
            shown = ", ".join(str(culprit) for culprit in found[:SHOWN])
            self.problems.append(f"{what}: {len(found)} ({shown}{', …' * (len(found) > SHOWN)})")
            for culprit in found[:SHOWN]:
                if isinstance(culprit, UUID):
                    self.suspects[culprit] = None

    @property
    def counts(self) -> Counter[UUID]:
        """How often each message arrived."""
        return Counter(UUID(arrival.message_id[1:33]) for arrival in self.expected.arrivals)


def check(dsn: str, expected: Expected) -> Figures:
    """Compare the books once nothing moves any more.

    Raises `AssertionError` with every difference and the history of the first few messages.
    """
    with _connect(dsn) as database:
        books = Books(
            expected=expected,
            messages={row.id: row for row in database.execute(_MESSAGES)},
            lost={row.message_id: row.count for row in database.execute(_LOST)},
        )
        _check_existence(books)
        _check_arrivals(books)
        _check_attempts(books)
        _check_sequences(books)
        _check_usage(books, database)
        _check_costs(books, database)
        for what, query in _STUCK.items():
            books.report(what, [str(row) for row in database.execute(query)])
        figures = _figures(books)
        if figures.in_doubt > figures.bound:
            books.report(f"more in doubt than {figures.bound}", _doubtful(books))
        most = expected.repeat_limit if expected.repeat_limit is not None else figures.bound
        if figures.repeats > most:
            repeated = [message_id for message_id, count in books.counts.items() if count > 1]
            books.report(f"{figures.repeats} repeats, at most {most} expected", repeated)
        if books.problems:
            raise AssertionError("\n".join([*books.problems, *_histories(books, database)]))
    return figures


@contextmanager
def _connect(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True, row_factory=namedtuple_row) as database:
        yield database


def _check_existence(books: Books) -> None:
    here, promised = set(books.messages), set(books.expected.accepted)
    books.report("accepted but gone", promised - here)
    books.report("there but never accepted", here - promised - set(books.expected.maybe))
    books.report(
        "neither finished nor waiting",
        (row.id for row in books.messages.values() if row.status not in TERMINAL | WAITING),
    )
    books.report("held by a lease", (row.id for row in books.messages.values() if row.lease_id))
    for status, rows in _by_status(books).items():
        if status not in books.expected.allowed:
            books.report(f"left {status}", rows)


def _by_status(books: Books) -> dict[str, list[UUID]]:
    found: dict[str, list[UUID]] = defaultdict(list)
    for row in books.messages.values():
        found[row.status].append(row.id)
    return found


def _check_arrivals(books: Books) -> None:
    """Each exactly once, but for those in doubt; one Message-ID per mail, whoever repeats it."""
    counts = books.counts
    books.report("arrived though never accepted", set(counts) - set(books.messages))
    books.report("sent but never arrived", (i for i, low, _ in _bounds(books) if counts[i] < low))
    books.report(
        "arrived more often than its history allows",
        (i for i, _, high in _bounds(books) if counts[i] > high),
    )
    names: dict[str, set[str]] = defaultdict(set)
    for arrival in books.expected.arrivals:
        for recipient in arrival.recipients:
            names[recipient].add(arrival.message_id)
    books.report("one mail, several Message-IDs", (who for who in names if len(names[who]) > 1))


def _bounds(books: Books) -> Iterator[tuple[UUID, int, int]]:
    """How often each message must and may have arrived."""
    for row in books.messages.values():
        yield row.id, row.accepted, row.accepted + row.unknown + books.lost.get(row.id, 0)


def _check_attempts(books: Books) -> None:
    rows = books.messages.values()
    # A worker that was stopped past its lease still writes down the attempts it made.
    books.report(
        "accepted twice", (row.id for row in rows if row.accepted > 1 + books.lost.get(row.id, 0))
    )
    books.report(
        "sent without an accepted attempt, or the reverse",
        (row.id for row in rows if (row.status in {"sent", "delivered"}) != (row.accepted > 0)),
    )
    books.report(
        "attempts wrongly numbered",
        (row.id for row in rows if row.numbers != row.attempts or row.highest > row.attempt_count),
    )


def _check_sequences(books: Books) -> None:
    """In the order of acceptance, strictly: a repeat comes before the next one's first arrival."""
    place = {
        message_id: (key, number)
        for key, ids in books.expected.sequences.items()
        for number, message_id in enumerate(ids)
    }
    reached: dict[str, int] = {}
    late = []
    for arrival in sorted(books.expected.arrivals, key=lambda arrival: arrival.at):
        message_id = UUID(arrival.message_id[1:33])
        if message_id in place:
            key, number = place[message_id]
            if number < reached.get(key, 0):
                late.append(message_id)
            reached[key] = max(number, reached.get(key, 0))
    books.report("out of sequence", late)


def _check_usage(books: Books, database: psycopg.Connection[Any]) -> None:
    """Equal to what the sink counted, but for mails in doubt that never arrived.

    What a lost worker had reserved counts as used where it could not be told what it had sent.
    """
    since = books.expected.since
    booked = sum(row.accepted + row.unknown for row in books.messages.values())
    lost, arrived = sum(books.lost.values()), len(books.expected.arrivals)
    for row in database.execute(_USAGE):
        if row.reserved:
            books.report("reserved for nobody", [f"{row.reserved} of {row.provider_id}"])
        if not max(arrived, booked) <= row.total_count <= booked + lost:
            figures = f"{row.total_count} used, {booked} attempted, {arrived} arrived"
            books.report("quota differs", [f"{figures}, {lost} lost with their workers"])
        is_same_hour = since is not None and _hour(since) == _hour(datetime.now(UTC))  # noqa: TID251 - not Django's clock
        if is_same_hour and row.hour_count != row.total_count:
            books.report("the hour's quota differs", [f"{row.hour_count} of {row.total_count}"])


def _check_costs(books: Books, database: psycopg.Connection[Any]) -> None:
    """The cost ledger has every attempt that may have been sent, each to one recipient."""
    booked = sum(row.accepted + row.unknown for row in books.messages.values())
    for row in database.execute(_COSTS):
        if (row.messages, row.mails) != (booked, booked):
            books.report("the ledger differs", [f"{row.mails} mails, {booked} attempted"])
        if row.nanos != row.attempts:
            books.report("the cost differs", [f"{row.nanos} booked, attempts {row.attempts}"])


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _doubtful(books: Books) -> list[UUID]:
    return [row.id for row in books.messages.values() if row.unknown or row.id in books.lost]


def _figures(books: Books) -> Figures:
    counts = books.counts
    return Figures(
        accepted=len(books.expected.accepted),
        arrivals=len(books.expected.arrivals),
        repeats=sum(count - 1 for count in counts.values()),
        in_doubt=sum(row.unknown for row in books.messages.values()) + sum(books.lost.values()),
        bound=books.expected.doubt_limit,
    )


def _histories(books: Books, database: psycopg.Connection[Any]) -> Iterator[str]:
    counts = books.counts
    for message_id in list(books.suspects)[:SHOWN]:
        row = books.messages.get(message_id)
        state = f"{row.status}, attempt_count {row.attempt_count}" if row else "not there"
        yield f"\n{message_id}: {state}, arrived {counts[message_id]} times"
        moments = [
            (arrival.at, "arrived at the sink")
            for arrival in books.expected.arrivals
            if arrival.message_id[1:33] == message_id.hex
        ]
        moments += [
            (entry.at.timestamp(), entry.what)
            for entry in database.execute(_HISTORY, {"id": message_id})
        ]
        for at, what in sorted(moments):
            yield f"  {datetime.fromtimestamp(at, UTC):%H:%M:%S.%f} {what}"
