"""Several mails with one call: how a drain uses accounts whose API allows for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from accounts.models import User
from delivery.models import Attempt, Message
from delivery.queue import calls
from delivery.queue.calls import WORKER_DIED
from delivery.queue.recovery import recover_dead
from delivery.states import Lane
from providers.models import ProviderHealth, ProviderUsage, Reservation
from tests.support.bulk import BATCH_PATH, account, address, batching, queue_bulk
from tests.support.esp.server import Answer, Drop, Stall
from tests.support.mail import drain, queue, simulator
from tests.support.workers import ROOT, environment, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

DRAIN = """
import django
django.setup()
from delivery.queue.drain import drain_lane
from delivery.states import Lane
drain_lane(lane=Lane.BULK, worker="dying:1", seconds=30)
"""


def states() -> Counter[str]:
    return Counter(Message.objects.values_list("status", flat=True))


def usage() -> tuple[int, int]:
    row = ProviderUsage.objects.get(provider__kind="postmark")
    return row.total_count, row.reserved


def test_a_thousand_mails_take_few_calls_and_each_goes_once(user: User) -> None:
    with batching(bad=address(500)) as (api, server):
        account(api, server, max_connections=4, hourly_limit=5_000)
        queue_bulk(user, 1_000)
        report = drain(Lane.BULK)
        assert sum(api.calls) == 1_000
        assert len(api.calls) < 150
        assert max(api.calls) <= 100
        assert sorted(api.recipients) == sorted({address(n) for n in range(1_000)} - {address(500)})
    assert (report.claimed, report.sent, states()) == (1_000, 999, {"sent": 999, "bounced": 1})
    assert usage() == (999, 0)
    assert not Reservation.objects.exists()
    remote_ids = Attempt.objects.filter(outcome="accepted").values_list("remote_id", flat=True)
    assert sorted(remote_ids) == sorted(api.api.ids)
    refused = Attempt.objects.get(outcome="rejected")
    assert (refused.reason, refused.message.addresses) == ("bad_recipient", [address(500)])


def test_each_mail_says_what_its_own_recipient_is_told(user: User) -> None:
    with batching() as (api, server):
        account(api, server, max_connections=1)
        queue_bulk(user, 30)
        drain(Lane.BULK)
        assert {(seen.to[0].email, seen.text.strip()) for seen in api.api.mails} == {
            (address(n), f"Hi No. {n}") for n in range(30)
        }
        ids = {seen.metadata["mailservice_id"] for seen in api.api.mails}
    assert ids == {message.pk.hex for message in Message.objects.all()}


def test_quota_bounds_batches_as_well(user: User) -> None:
    with batching() as (api, server):
        account(api, server, hourly_limit=100, priority_reserve=0)
        queue_bulk(user, 250)
        drain(Lane.BULK)
        assert sum(api.calls) == 100
    assert (usage(), states()) == ((100, 0), {"sent": 100, "retry": 150})


def test_when_the_account_refuses_a_call_its_mails_go_elsewhere(user: User) -> None:
    with batching() as (api, server):
        account(api, server, position=1, max_connections=1, hourly_limit=1_000)
        simulator(position=2)
        slow_down = Answer(429, {"Message": "Slow down"}, {"Retry-After": "30"})
        server.actions = [None, *[slow_down] * 1_000]
        queue_bulk(user, 120)
        drain(Lane.BULK)
        assert len(api.api.mails) == 1
        refused = sum(len(r.json) for r in server.requests if r.path == BATCH_PATH)
        # The one that was refused, and at most one that went before the news was out.
        assert len(server.requests) <= 3
    assert states() == {"sent": 120}
    assert ProviderHealth.objects.get().state == "open"
    assert usage() == (1, 0)
    attempts = Attempt.objects.filter(outcome="not_accepted")
    assert refused > 1
    assert [one.reason for one in attempts] == ["throttled"] * refused


def test_a_call_without_an_answer_leaves_all_its_mails_in_doubt(user: User) -> None:
    with batching() as (api, server):
        account(api, server, max_connections=1, hourly_limit=1_000)
        simulator(position=900)
        # The first mail of a session shows that it takes several.
        queue_bulk(user, 1)
        drain(Lane.BULK)
        server.then(Drop())
        queue_bulk(user, 60, start=1)
        drain(Lane.BULK)
        lost = next(request for request in server.requests if request.path == BATCH_PATH)
        doubtful = {mail["To"] for mail in lost.json}
        # Nobody's mail came twice: what was lost is nowhere else.
        assert not doubtful & set(api.recipients)
    unknown = Message.objects.filter(status="unknown")
    assert {message.addresses[0] for message in unknown} == doubtful
    assert len(doubtful) > 1
    assert states() == {"unknown": len(doubtful), "sent": 61 - len(doubtful)}
    assert set(Attempt.objects.values_list("message_id", flat=True)) == set(
        Message.objects.values_list("pk", flat=True)
    )
    assert Attempt.objects.count() == 61
    assert usage() == (61, 0)


def test_transactional_mail_goes_alone_and_first(user: User) -> None:
    with batching() as (api, server):
        account(api, server, max_connections=1)
        queue_bulk(user, 40)
        for number in range(5):
            queue(user, subject=f"Reset {number}")
        drain(Lane.BULK)
        assert api.calls[:5] == [1] * 5
        assert [seen.subject for seen in api.api.mails[:5]] == [f"Reset {n}" for n in range(5)]
        assert max(api.calls) > 1
        assert len(api.api.mails) == 45


def test_what_is_too_large_for_one_call_goes_with_the_next(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MAX_CALL_BYTES", 30_000)
    with batching() as (api, server):
        account(api, server, max_connections=1)
        queue_bulk(user, 20, text="x" * 9_000)
        drain(Lane.BULK)
        assert sum(api.calls) == 20
        assert max(api.calls) == 3
        sizes = [len(request.body) for request in server.requests]
    assert max(sizes) < 32_000
    assert states() == {"sent": 20}


def test_a_mail_whose_worker_died_goes_alone(user: User) -> None:
    with batching() as (api, server):
        account(api, server, max_connections=1)
        queue_bulk(user, 30)
        Message.objects.filter(addresses=[address(7)]).update(error=WORKER_DIED)
        drain(Lane.BULK)
        together = [m["To"] for r in server.requests if r.path == BATCH_PATH for m in r.json]
        assert address(7) not in together
        assert len(together) >= 25
    assert states() == {"sent": 30}


def test_a_mail_that_cannot_be_composed_drops_out_alone(user: User) -> None:
    with batching() as (api, server):
        account(api, server, max_connections=1)
        queue_bulk(user, 30)
        # More than the engine lets a template do.
        Message.objects.filter(addresses=[address(7)]).update(context={"name": {"a": "b"}})
        Message.objects.filter(addresses=[address(9)]).update(context=None)
        drain(Lane.BULK)
        fine = {address(n) for n in range(30)} - set(failed())
        assert set(api.recipients) == fine
    assert states() == {"sent": len(fine), "failed": 30 - len(fine)}
    assert len(fine) < 30


def failed() -> list[str]:
    return [m.addresses[0] for m in Message.objects.filter(status="failed")]


def test_mails_of_a_killed_process_are_in_doubt_exactly_if_their_call_was_under_way(
    user: User,
) -> None:
    with batching() as (api, server):
        account(api, server, max_connections=1, hourly_limit=1_000)
        queue_bulk(user, 180)
        server.actions = [None, Stall()]
        child = subprocess.Popen(
            [sys.executable, "-c", DRAIN], cwd=ROOT, env=environment(PROCESS_ROLE="worker")
        )
        try:
            wait_until(lambda: len(server.requests) == 2)
        finally:
            os.kill(child.pid, 9)
            child.wait(10)
        (under_way,) = [r.json for r in server.requests if r.path == BATCH_PATH]
        done = len(api.api.mails)
        recover_dead()
        assert states() == {
            "sent": done,
            "unknown": len(under_way),
            "queued": 180 - done - len(under_way),
        }
        assert len(under_way) == 100
        assert usage() == (done + len(under_way), 0)
        doubtful: set[Any] = {mail["To"] for mail in under_way}
        assert {m.addresses[0] for m in Message.objects.filter(status="unknown")} == doubtful
        server.is_over.set()
        drain(Lane.BULK)
        assert not doubtful & set(api.recipients)
        assert len(api.recipients) == len(set(api.recipients)) == 180 - len(under_way)
