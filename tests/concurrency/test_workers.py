from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections
from django.utils import timezone

from accounts.models import User
from delivery.dispatch import wake
from delivery.intake import Limits, parse_batch
from delivery.models import Attempt, Lease, Message
from delivery.queue.sweep import sweep
from delivery.services import change
from delivery.services.accept import Accepted, Sender, queue_messages
from delivery.states import Lane
from mailservice.core.ids import uuid7
from providers import quotas
from providers.models import ProviderUsage
from tests.concurrency.conftest import SinkProcess
from tests.support.ledger import Expected, SinkLog, check
from tests.support.mail import queue, smtp_account
from tests.support.workers import database_url, kill_group, start_worker, wait_until, workers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner(transactional_db: None) -> User:
    return User.objects.create_user("owner@example.com")


def queue_many(owner: User, count: int) -> list[str]:
    batch = parse_batch(
        {
            "subject": "News for {{ name }}",
            "html": "<p>Hello {{ name }}</p>",
            "email_type": "marketing",
            "recipients": [
                {"to": f"u{n}@example.net", "context": {"name": f"N{n}"}} for n in range(count)
            ],
        },
        now=timezone.now(),
        limits=Limits(max_batch=100_000, max_batch_addresses=100_000),
    )
    results = queue_messages(
        messages=[item.message for item in batch.items if item.message],
        sender=Sender(owner.pk),
        is_shared_content=True,
    )
    return [
        f"<{result.message_id.hex}@example.com>"
        for result in results
        if isinstance(result, Accepted)
    ]


def by_id(message_ids: list[str]) -> dict[UUID, str]:
    """Accepted messages for the ledger; whom they are for is not looked at."""
    return {UUID(message_id[1:33]): "" for message_id in message_ids}


def all_in(*states: str) -> bool:
    return not Message.objects.exclude(status__in=states).exists()


def sweeping(condition: object) -> bool:
    """Beat's part, at every look."""
    sweep()
    return condition()  # type: ignore[operator, no-any-return]


def test_two_workers_send_each_message_exactly_once(owner: User, sink: SinkProcess) -> None:
    provider = smtp_account(sink.port)
    ids = queue_many(owner, 3000)
    with workers(2):
        wait_until(lambda: all_in("sent"))
    assert sink.settle() == Counter(ids)
    assert Attempt.objects.count() == 3000
    assert ProviderUsage.objects.get(provider=provider).total_count == 3000
    assert len(set(Attempt.objects.values_list("worker", flat=True))) >= 2


@pytest.mark.parametrize("sink", [["--final-delay-ms", "5"]], indirect=True)
@pytest.mark.parametrize("kills", [2, pytest.param(15, marks=pytest.mark.long)])
def test_killed_workers_leave_in_doubt_only_what_was_on_their_connections(
    owner: User, sink: SinkProcess, kills: int
) -> None:
    chunk, threads = 20, 4
    smtp_account(sink.port, max_connections=threads, hourly_limit=1_000_000)
    ids = queue_many(owner, 300 * kills)
    options: Any = {"DRAIN_CHUNK": str(chunk), "DRAIN_THREADS": str(threads), "LEASE_SECONDS": "5"}
    log = SinkLog(sink.log)

    def arrived() -> int:
        return len(log.read())

    done = 0
    for _ in range(kills):
        goal = done + random.randint(40, 160)
        with workers(1, concurrency=2, **options):  # killed in the end
            wait_until(lambda goal=goal: sweeping(lambda: arrived() >= goal))  # type: ignore[misc]
        sink.settle()
        done = arrived()
        connection.close()
    with workers(1, **options):
        wait_until(lambda: sweeping(lambda: all_in("sent", "unknown")), seconds=90)
    # That worker is killed too, perhaps before it gives its last lease back.
    wait_until(lambda: sweeping(lambda: not Lease.objects.exists()))
    sink.settle()
    check(database_url(), Expected(by_id(ids), log.read(), doubt_limit=kills * 2 * threads))


def test_sigterm_finishes_what_is_on_the_wire_and_gives_the_rest_back(
    owner: User, sink: SinkProcess
) -> None:
    smtp_account(sink.port)
    ids = queue_many(owner, 4000)
    process = start_worker(concurrency=2)
    wait_until(lambda: len(sink.message_ids()) > 100)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(20) == 0
    assert not Message.objects.filter(status="sending").exists()
    assert not Lease.objects.exists()
    with workers(1):
        wake(Lane.BULK)
        wait_until(lambda: sweeping(lambda: all_in("sent")))
    assert sink.settle() == Counter(ids)


@pytest.mark.parametrize("rounds", [3, pytest.param(30, marks=pytest.mark.long)])
def test_a_quota_is_never_overshot_by_racing_workers(
    owner: User, sink: SinkProcess, rounds: int
) -> None:
    provider = smtp_account(
        sink.port, hourly_limit=137 * rounds, daily_limit=100 * rounds, priority_reserve=0
    )
    queue_many(owner, 150 * rounds)
    with workers(2):
        wait_until(lambda: all_in("sent", "retry"))
    assert sum(sink.settle().values()) == 100 * rounds
    usage = ProviderUsage.objects.get(provider=provider)
    assert (usage.day_count, usage.reserved) == (100 * rounds, 0)
    assert Message.objects.filter(status="retry").count() == 50 * rounds


def test_racing_reservations_grant_exactly_the_limit(owner: User) -> None:
    provider = smtp_account(1, hourly_limit=500, daily_limit=400, priority_reserve=0)
    now = timezone.now()

    def reserve_often(_worker: int) -> int:
        lease_id = uuid7()
        try:
            return sum(
                quotas.reserve(
                    provider_id=provider.pk, time_zone="UTC", lease_id=lease_id, wanted=7, now=now
                )
                for _ in range(20)
            )
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        granted = sum(pool.map(reserve_often, range(8)))
    assert granted == 400
    assert ProviderUsage.objects.get().reserved == 400


def test_a_cancel_that_succeeds_means_that_nothing_is_sent(owner: User, sink: SinkProcess) -> None:
    smtp_account(sink.port)
    messages = [queue(owner, email_type="marketing") for _ in range(300)]
    cancelled: set[str] = set()
    with workers(1):
        for message in reversed(messages):
            if change.cancel(ids=[message.pk], actor="test").changed:
                cancelled.add(f"<{message.pk.hex}@example.com>")
        wait_until(lambda: all_in("sent", "cancelled"))
    arrived = sink.settle()
    assert cancelled
    assert not cancelled & set(arrived)
    assert len(cancelled) + sum(arrived.values()) == 300


def test_a_wake_up_sends_within_a_moment(owner: User, sink: SinkProcess) -> None:
    smtp_account(sink.port)
    with workers(1):
        queue(owner)
        wait_until(lambda: len(sink.message_ids()) == 1)
        started = time.monotonic()
        queue(owner)
        wait_until(lambda: len(sink.message_ids()) == 2)
    # Without the wake-up nothing would send it: no beat runs here.
    assert time.monotonic() - started < 30


def test_a_sequence_keeps_its_order_under_many_workers(owner: User, sink: SinkProcess) -> None:
    smtp_account(sink.port)
    expected = [f"<{queue(owner, sequence_key='k').pk.hex}@example.com>" for _ in range(40)]
    with workers(2):
        wait_until(lambda: sweeping(lambda: all_in("sent")))
    sink.settle()
    assert [line.split("\t")[0] for line in sink.log.read_text().splitlines()] == expected


def test_a_stopped_worker_sends_nothing_after_its_lease_is_gone(
    owner: User, sink: SinkProcess
) -> None:
    smtp_account(sink.port, max_connections=2)
    ids = queue_many(owner, 3000)
    process = start_worker(concurrency=1, LEASE_SECONDS="5", DRAIN_CHUNK="20")
    wait_until(lambda: len(sink.message_ids()) > 50)
    os.killpg(process.pid, signal.SIGSTOP)
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    try:
        time.sleep(6)
        with workers(1):
            wait_until(lambda: sweeping(lambda: all_in("sent", "unknown")))
            os.killpg(process.pid, signal.SIGCONT)
            time.sleep(1)
    finally:
        kill_group(process)
    arrived = sink.settle()
    # What was being handed over when it stopped is in doubt: one mail per connection. One that was
    # about to be may have gone all the same.
    assert Message.objects.filter(status="unknown").count() <= 2
    assert set(arrived) <= set(ids)
    assert len(ids) - len(arrived) <= 2
    assert sum(arrived.values()) - len(arrived) <= 2


def test_parallel_acceptances_of_one_sequence_leave_one_claimable(owner: User) -> None:
    smtp_account(1)
    barrier = threading.Barrier(6)

    def accept(_number: int) -> None:
        barrier.wait()
        try:
            queue(owner, sequence_key="race")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(accept, range(6)))
    assert Message.objects.filter(awaits_turn=False).count() == 1
    assert Message.objects.filter(awaits_turn=True).count() == 5
