"""Millions of finished messages, with their attempts and events, written by COPY.

The mix is that of a service at work for ninety days: 98 % sent or delivered, some of every other
end, a few that wait. Nothing in it is claimable: the queue on top is made by the product itself.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SPAN = timedelta(days=90)
TABLES = ("delivery_message", "delivery_attempt", "delivery_event")
#: Distinct recipients and contents per message.
ADDRESSES_PER_ROW, CONTENTS_PER_ROW = 0.2, 0.002
#: Rows of one COPY.
CHUNK = 100_000
LINES_AT_ONCE = 500

_MESSAGE = (
    "id, content_id, owner_id, group_id, email_type, lane, priority, status, is_test, recipients,"
    " addresses, context, metadata, tags, provider_id, sequence_key, awaits_turn, due_at,"
    " created_at, updated_at, sent_at, attempt_count, error"
)
_ATTEMPT = (
    "id, message_id, number, provider_id, decision_id, started_at, duration_ms, outcome, reason,"
    " scope, code, enhanced_code, reply, remote_id, dialogue, worker, cost_nanos"
)
_EVENT = "id, message_id, kind, recipient, at, actor, detail"
BACKSLASH_N = "\\N"
_WORKER = "worker-1:4711"
#: Per ten thousand; the rest is sent or delivered.
_ENDS = {
    "bounced": 90,
    "failed": 30,
    "suppressed": 30,
    "expired": 15,
    "cancelled": 10,
    "complained": 5,
    "scheduled": 8,
    "retry": 2,
    "unknown": 2,
    "held": 1,
}
_OUTCOMES = {
    "bounced": ("rejected", 550),
    "failed": ("rejected", 554),
    "retry": ("not_accepted", 451),
}
_DUE_LATER = frozenset({"scheduled", "retry", "unknown"})
_UNTRIED = frozenset({"suppressed", "expired", "cancelled", "scheduled", "held"})


@dataclass(frozen=True)
class Shared:
    """What all rows refer to."""

    owners: Sequence[UUID]
    providers: Sequence[UUID]
    contents: Sequence[UUID]


def id_at(moment: datetime, number: int) -> UUID:
    """Return a UUIDv7 of that millisecond; `number` tells those of one millisecond apart."""
    tail = number * 0x9E3779B97F4A7C15 & 0x0FFF_FFFF_FFFF_FFFF
    return UUID(int=int(moment.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | tail)


def context_of(customer: int, number: int) -> dict[str, Any]:
    """Return what a template is filled with; new messages have it too, so that rows are alike."""
    return {
        "name": f"Customer {customer}",
        "order": f"{number:010d}",
        "total": "129.90 EUR",
        "items": [{"name": "A thing", "count": 2}, {"name": "Another", "count": 1}],
    }


def fill(*, count: int, owners: Sequence[UUID], providers: Sequence[UUID], now: datetime) -> None:
    """Write `count` messages, oldest first, with attempts and events; then the indexes."""
    shared = Shared(owners, providers, _write_contents(max(10, int(count * CONTENTS_PER_ROW)), now))
    indexes = _drop_indexes()
    for first in range(0, count, CHUNK):
        rows = _Rows(count, shared, now)
        rows.make(range(first, min(first + CHUNK, count)))
        with transaction.atomic(), connection.cursor() as cursor:
            # References are right by construction; checking ten million of them is not the subject.
            cursor.execute("SET LOCAL session_replication_role = replica")
            rows.copy()
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '1GB'")
        for definition in indexes:
            cursor.execute(definition)
        cursor.execute("RESET maintenance_work_mem")


def _drop_indexes() -> list[str]:
    """Drop what is not a constraint's; return how to make it again."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i"
            " WHERE i.indrelid = ANY(%s::regclass[])"
            " AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)",
            [list(TABLES)],
        )
        found = cursor.fetchall()
        for name, _ in found:
            cursor.execute(f"DROP INDEX {name}")
    return [definition for _, definition in found]


def _write_contents(count: int, now: datetime) -> list[UUID]:
    since = now - SPAN
    ids = [id_at(since, number) for number in range(count)]
    body = "<p>Dear {{ name }}, your order {{ order }} is on its way.</p>" * 8

    def lines() -> Iterator[str]:
        for number, content_id in enumerate(ids):
            yield (
                f"{content_id}\tshop@shop.example\tShop\t[]\tNews of week {number}\t{body}\tHello"
                f"\tt\t{since.isoformat()}\n"
            )

    with transaction.atomic():
        _copy(
            "delivery_content",
            "id, from_email, from_name, reply_to, subject, html, text, is_template, created_at",
            lines(),
        )
    return ids


class _Rows:
    """The lines of one COPY into each table."""

    def __init__(self, count: int, shared: Shared, now: datetime) -> None:
        self._count = count
        self._shared = shared
        self._now = now
        self._start = now - SPAN
        self._address_count = max(10, int(count * ADDRESSES_PER_ROW))
        self._messages: list[str] = []
        self._attempts: list[str] = []
        self._events: list[str] = []

    def make(self, numbers: range) -> None:
        """Make the messages of these numbers, 0 being the oldest; the same at every run."""
        dice = random.Random(numbers.start)  # noqa: S311 - a mix, not a secret
        ends = [status for status, share in _ENDS.items() for _ in range(share)]
        for number in numbers:
            place = dice.randrange(10_000)
            status = ends[place] if place < len(ends) else ("delivered", "sent")[place & 1]
            self._one(number, status, dice)

    def copy(self) -> None:
        """Write them."""
        for table, columns, lines in zip(
            TABLES,
            (_MESSAGE, _ATTEMPT, _EVENT),
            (self._messages, self._attempts, self._events),
            strict=True,
        ):
            _copy(table, columns, lines)

    def _one(self, number: int, status: str, dice: random.Random) -> None:
        shared = self._shared
        created = self._start + SPAN * (number / self._count)
        message_id = id_at(created, number)
        # Three in four are one owner's campaigns of ten thousand each, the rest single mails.
        is_bulk = number % 4 != 0
        group = str(id_at(self._start, number // 10_000)) if is_bulk else "\\N"
        owner = shared.owners[0 if is_bulk else number % len(shared.owners)]
        content = shared.contents[
            number // 10_000 % len(shared.contents) if is_bulk else number % len(shared.contents)
        ]
        customer = dice.randrange(self._address_count)
        address = f"customer{customer}@customers{customer % 997}.example"
        context = json.dumps(context_of(customer, number))
        provider = str(shared.providers[customer % len(shared.providers)])
        is_tried = status not in _UNTRIED
        was_sent = status in {"sent", "delivered", "complained"}
        due = self._now + timedelta(days=1, seconds=number % 86_400)
        tags = (
            "\\N" if number % 5 else f"{{{('news', 'order')[number % 2]},week{number // 500_000}}}"
        )
        made = created.isoformat()
        done = (created + timedelta(seconds=2)).isoformat()
        self._messages.append(
            f"{message_id}\t{content}\t{owner}\t{group}\t"
            f"{'marketing' if is_bulk else 'transactional'}\t{2 if is_bulk else 1}\t"
            f"{4 if is_bulk else 2}\t{status}\tf\t"
            f'[{{"k": "to", "a": "{address}"}}]\t{{{address}}}\t{context}\t\\N\t{tags}\t'
            f"{provider if is_tried else BACKSLASH_N}\t"
            f"{f'order-{customer}' if number % 200 == 0 else ''}\tf\t"
            f"{due.isoformat() if status in _DUE_LATER else made}\t{made}\t{done}\t"
            f"{done if was_sent else BACKSLASH_N}\t{int(is_tried)}\t\n"
        )
        if is_tried:
            self._attempt(message_id, number, status, provider, created)
        if number % 10 == 0:
            at = created + timedelta(seconds=3)
            self._events.append(
                f"{id_at(at, number)}\t{message_id}\tdeferred\t\t{at.isoformat()}\t\t"
                "No account may.\n"
            )

    def _attempt(
        self, message_id: UUID, number: int, status: str, provider: str, created: datetime
    ) -> None:
        outcome, code = _OUTCOMES.get(status, ("accepted", 250))
        for turn in range(2 if number % 15 == 0 else 1):
            at = created + timedelta(seconds=1 + turn)
            verdict = ("not_accepted", 451) if number % 15 == 0 and turn == 0 else (outcome, code)
            self._attempts.append(
                f"{id_at(at, number)}\t{message_id}\t{turn + 1}\t{provider}\t{provider}\t"
                f"{at.isoformat()}\t12\t{verdict[0]}\t\tmessage\t{verdict[1]}\t2.0.0\t"
                f"2.0.0 Ok: queued as {number:012X}\t\t\t{_WORKER}\t800000\n"
            )


def _copy(table: str, columns: str, lines: Sequence[str] | Iterator[str]) -> None:
    with connection.cursor() as cursor:
        copy: Callable[[str], object] = cursor.copy
        with copy(f"COPY {table} ({columns}) FROM STDIN") as sink:  # type: ignore[attr-defined]
            batch: list[str] = []
            for line in lines:
                batch.append(line)
                if len(batch) == LINES_AT_ONCE:
                    sink.write("".join(batch))
                    batch.clear()
            sink.write("".join(batch))


def utc_now() -> datetime:
    """Return now, to the millisecond."""
    from django.utils import timezone

    return timezone.now().astimezone(UTC)
