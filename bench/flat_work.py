"""The hot statements, as the product makes them: each step is a name and a call of the product.

What stands between two steps prepares the next one and is not measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from accounts.models import User
from bench.flat_table import context_of
from delivery.intake import Limits, parse_message
from delivery.models import EmailType, Message, UnknownPolicy
from delivery.queue import sweep
from delivery.queue.claims import LeaseHolder, claim, give_back, has_claimable
from delivery.queue.outcomes import Step
from delivery.queue.record import Ended, Recorder, Tried
from delivery.queue.recovery import reclaim_lost
from delivery.services import change
from delivery.services.accept import Accepted, Sender, queue_messages
from delivery.services.idempotency import purge_records
from delivery.states import Lane, Status
from mailservice.core.ids import uuid7
from providers.models import Provider
from providers.ports import Outcome, Reply, SendResult
from providers.quotas import Settlement, reserve
from providers.routing import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from delivery.intake import MessageInput
    from delivery.queue.claims import Claimed

    #: A name, and what is timed or explained under it.
    NamedStep = tuple[str, Callable[[], object]]

#: Messages of one claim (`DRAIN_CHUNK`).
CHUNK = 40
#: What waits in the transactional lane throughout; the bulk lane is empty.
QUEUED = 2000


def make_people() -> None:
    """Make the users and accounts that messages refer to."""
    for number in range(5):
        User.objects.create_user(f"owner{number}@example.com")
    for number in range(3):
        Provider.objects.create(
            name=f"relay {number}",
            kind="smtp",
            from_email="shop@shop.example",
            settings={"host": "127.0.0.1", "port": 25},
            hourly_limit=1_000_000_000,
        )
    EmailType.objects.filter(name="transactional").update(unknown_policy=UnknownPolicy.RESEND)


@dataclass
class Worker:
    """One worker with its lease, which has everything accepted that it sends."""

    sender: Sender
    provider: Provider
    lease: LeaseHolder
    recorder: Recorder
    decision: Decision
    number: int = 0

    def claim(self, limit: int = CHUNK) -> list[Claimed]:
        """Claim from the transactional lane."""
        return claim(lease_id=self.lease.id, lane=Lane.TRANSACTIONAL, limit=limit)

    def record(self, claimed: Sequence[Claimed], step: Step | None = None) -> None:
        """Record an accepted attempt for each, or the given end."""
        now = timezone.now()
        self.recorder.record(
            lease_id=self.lease.id,
            ended=[
                Ended(
                    item,
                    step or Step(Status.SENT),
                    (self._tried(item, now),),
                )
                for item in claimed
            ],
            settlements=[Settlement(self.provider.pk, "UTC", len(claimed), len(claimed))],
            now=now,
        )

    def _tried(self, message: Claimed, now: datetime) -> Tried:
        return Tried(
            provider_id=self.provider.pk,
            decision=self.decision,
            decision_id=self.decision.digest,
            number=message.attempt,
            started_at=now,
            duration_ms=12,
            result=SendResult(
                Outcome.ACCEPTED, reply=Reply(250, "2.0.0", "Ok: queued as 4F1C2D3E4A")
            ),
            mails=1,
        )

    def reserve(self, count: int) -> None:
        """Reserve quota as for a claim."""
        reserve(
            provider_id=self.provider.pk,
            time_zone="UTC",
            lease_id=self.lease.id,
            wanted=count,
            now=timezone.now(),
        )

    def messages(self, count: int, **fields: Any) -> list[MessageInput]:
        """Make input to distinct recipients."""
        now = timezone.now()
        made = []
        for _ in range(count):
            self.number += 1
            data = {
                "to": f"customer{self.number}@new-customers.example",
                "from": "shop@shop.example",
                "subject": "Your order {{ order }}",
                "text": "Dear {{ name }}, your order {{ order }} is on its way.",
                "context": context_of(self.number, self.number),
                **fields,
            }
            made.append(parse_message(data, now=now, limits=Limits()))
        return made

    def accept(self, messages: Sequence[MessageInput], group_id: UUID | None = None) -> list[UUID]:
        """Accept them all."""
        outcomes = queue_messages(messages=messages, sender=self.sender, group_id=group_id)
        ids = [outcome.message_id for outcome in outcomes if isinstance(outcome, Accepted)]
        assert len(ids) == len(messages)
        return ids


def worker() -> Worker:
    """Return a worker on the present database."""
    provider = Provider.objects.order_by("name")[0]
    return Worker(
        Sender(User.objects.order_by("email").values_list("pk", flat=True)[0]),
        provider,
        LeaseHolder(worker="bench", lane=Lane.TRANSACTIONAL),
        Recorder(worker="bench"),
        Decision(provider.pk, "First in order.", ()),
    )


def queue_work(one: Worker) -> Iterator[NamedStep]:
    """Yield the steps of messages on their way; what comes in goes out, so this can be repeated."""
    many, single = one.messages(CHUNK), one.messages(1)
    yield "accept 40", lambda: one.accept(many, uuid7())
    yield "accept 1", lambda: one.accept(single)
    held: list[Claimed] = []
    yield "claim 40", lambda: held.extend(one.claim())
    yield "reserve 40", lambda: one.reserve(len(held))
    yield "record 40", lambda: one.record(held)
    again: list[Claimed] = one.claim()
    yield "give back 40", lambda: give_back(lease_id=one.lease.id, ids=[m.id for m in again])
    yield from _sequence_work(one)
    yield from _sweep_work(one)
    yield from _operator_work(one)


def _sequence_work(one: Worker) -> Iterator[NamedStep]:
    ordered = one.messages(3, sequence_key=f"chain-{one.number}", priority=1)
    yield "accept 3 of a sequence", lambda: one.accept(ordered)
    first = one.claim(1)
    mine = [item for item in first if item.sequence_key]
    give_back(lease_id=one.lease.id, ids=[item.id for item in first if not item.sequence_key])
    yield "record 1 of a sequence", lambda: one.record(mine)
    ids = list(
        Message.objects.filter(owner_id=one.sender.user_id, status=Status.QUEUED)
        .filter(sequence_key=ordered[0].sequence_key)
        .values_list("pk", flat=True)
    )
    yield "cancel of a sequence", lambda: change.cancel(ids=ids[:1], actor="bench")
    yield "retry of a sequence", lambda: change.retry(ids=ids[:1], actor="bench")
    change.cancel(ids=ids, actor="bench")


def _sweep_work(one: Worker) -> Iterator[NamedStep]:
    past = timezone.now() - timedelta(minutes=1)
    held = one.claim()
    one.record(held[:20], Step(Status.RETRY, due_at=past))
    one.record(held[20:], Step(Status.UNKNOWN, due_at=past))
    yield "promote 20", lambda: sweep.promote_due(is_forced=True)
    yield "promote, nothing due", lambda: sweep.promote_due(is_forced=True)
    yield "resolve 20", sweep.resolve_unknown
    yield "resolve, nothing to do", sweep.resolve_unknown
    claim(lease_id=uuid7(), lane=Lane.TRANSACTIONAL, limit=CHUNK)
    yield "reclaim 40", reclaim_lost
    working = one.claim()
    yield "reclaim, nothing lost", reclaim_lost
    ids = [item.id for item in working]
    give_back(lease_id=one.lease.id, ids=ids)
    Message.objects.filter(pk__in=ids[:20]).update(expires_at=past)
    yield "expire 20", sweep.expire_overdue
    yield "expire, nothing due", sweep.expire_overdue
    yield "claimable, some", lambda: has_claimable(Lane.TRANSACTIONAL)
    yield "claimable, none", lambda: has_claimable(Lane.BULK)
    yield "claim, none", lambda: claim(lease_id=one.lease.id, lane=Lane.BULK, limit=CHUNK)


def _operator_work(one: Worker) -> Iterator[NamedStep]:
    ids = one.accept(one.messages(20))
    yield "hold 20", lambda: change.hold(ids=ids, actor="bench")
    yield "release 20", lambda: change.release(ids=ids, actor="bench")
    yield "cancel 20", lambda: change.cancel(ids=ids, actor="bench")
    yield "purge keys", lambda: purge_records(now=timezone.now())


def top_up(one: Worker, *, count: int = QUEUED) -> None:
    """Let so much wait as at the beginning."""
    missing = count - Message.objects.filter(status=Status.QUEUED).count()
    while missing > 0:
        one.accept(one.messages(min(missing, 500)))
        missing -= 500


def forget_cached_figures() -> None:
    """Have the dashboard count anew."""
    cache.clear()


def vacuum(*, analyze: bool) -> None:
    """Vacuum what the steps change, so that both databases begin alike."""
    what = "(ANALYZE)" if analyze else ""
    with connection.cursor() as cursor:
        for table in (
            "delivery_message", "delivery_attempt", "delivery_event", "delivery_lease",
            "delivery_content", "providers_providerusage", "providers_reservation",
        ):  # fmt: skip
            cursor.execute(f"VACUUM {what} {table}")
