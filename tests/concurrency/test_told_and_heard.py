"""Senders of webhooks and workers of provider events that are killed in the middle of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models import Count, F, Sum
from django.test import Client
from django.utils import timezone

from accounts.models import User
from bench.stock import queue_mails
from delivery.models import Announcement, Event, Message, Suppression
from delivery.services.news import News, apply_news
from delivery.states import EventKind
from inbound.dispatch import wake_events
from inbound.models import EventSource, RawEvent
from inbound.services.sources import source_of
from providers.models import Provider, ProviderMinute
from tests.support.esp.server import Answer, ApiServer, Request
from tests.support.workers import database_url, kill_group, start_worker, wait_until
from webhooks.dispatch import wake as wake_sender
from webhooks.models import Attempt, Delivery, Occurrence
from webhooks.queue.claims import LEASE_SECONDS, ROOM
from webhooks.services.endpoints import create_endpoint

pytestmark = pytest.mark.django_db(transaction=True)

_SENT = """
UPDATE delivery_message SET status = 'sent', provider_id = %(provider)s, sent_at = now();
INSERT INTO delivery_attempt (id, message_id, number, provider_id, started_at, duration_ms, outcome,
    reason, scope, code, enhanced_code, reply, remote_id, dialogue, worker, cost_nanos)
SELECT gen_random_uuid(), id, 1, %(provider)s, now(), 5, 'accepted', '', 'message', 202, '', '',
    'remote-' || id, '', '', 0 FROM delivery_message
"""


def sent_messages(count: int, provider: Provider) -> list[UUID]:
    """Return mails that an account took."""
    queue_mails(count)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in _SENT.split(";\n"):
            cursor.execute(statement, {"provider": provider.pk})
    return list(Message.objects.order_by("pk").values_list("pk", flat=True))


# --- webhooks -------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[ApiServer]:
    def slowly(_request: Request) -> Answer:
        time.sleep(0.1)
        return Answer(200, b"taken")

    with ApiServer(slowly) as server:
        yield server


PATHS = ("/first", "/second")


def make_endpoints(port: int) -> None:
    owner = User.objects.create_user("owner@example.com")
    for path in PATHS:
        values = {
            "url": f"http://127.0.0.1:{port}{path}",
            "kinds": ["email.delivered"],
            "reaches_all": True,
        }
        create_endpoint(owner_id=owner.pk, values=values)  # type: ignore[arg-type]  # from a table


def test_killed_senders_lose_no_delivery_and_repeat_only_what_was_on_its_way(
    receiver: ApiServer, settings
) -> None:
    settings.OUTGOING_HTTP_ALLOW_PRIVATE = True
    make_endpoints(receiver.port)
    provider = Provider.objects.create(name="account", kind="sendgrid")
    ids, now = sent_messages(100, provider), timezone.now()
    apply_news([News(one, EventKind.DELIVERED, now, "1") for one in ids])
    assert Announcement.objects.count() == 100

    def told(count: int) -> bool:
        wake_sender()
        return len(receiver.requests) >= count

    kills = 2
    for number in range(1, kills + 1):
        sender = start_worker(concurrency=2, OUTGOING_HTTP_ALLOW_PRIVATE="1")
        wait_until(lambda goal=50 * number: told(goal))  # type: ignore[misc]
        kill_group(sender)
        # What it held belongs to nobody once its lease is over.
        waiting = Delivery.objects.filter(status="pending")
        waiting.update(due_at=F("due_at") - timedelta(seconds=LEASE_SECONDS))
    assert 100 <= len(receiver.requests) < 200
    sender = start_worker(concurrency=2, OUTGOING_HTTP_ALLOW_PRIVATE="1")
    try:
        wait_until(lambda: told(0) and not Delivery.objects.exclude(status="delivered").exists())
    finally:
        kill_group(sender)

    assert Delivery.objects.count() == 200
    assert set(Delivery.objects.values_list("attempts", "last_code")) == {(1, 200)}
    tries = Attempt.objects.values("delivery").annotate(count=Count("pk"))
    assert Counter(one["count"] for one in tries) == {1: 200}
    told_ids = {str(pk) for pk in Occurrence.objects.values_list("pk", flat=True)}
    for path in PATHS:
        requests = [one for one in receiver.requests if one.path == path]
        assert {one.headers["webhook-id"] for one in requests} == told_ids
        assert 100 <= len(requests) <= 100 + kills * ROOM
    assert {one.json["data"]["email_id"] for one in receiver.requests} == {str(one) for one in ids}


# --- provider events ------------------------------------------------------------------------------

EVENTS, PER_POST = 2_000, 10


def address_of(ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return whom mails to one went to."""
    rows = Message.objects.filter(pk__in=list(ids)).values_list("pk", "recipients")
    return {pk: recipients[0]["a"] for pk, recipients in rows}


def post_events(source: EventSource, ids: list[UUID]) -> None:
    """Post one event of each mail: every tenth bounced, the others are delivered."""
    path, client = f"/hooks/{source.provider_id}/{source.token}", Client()
    addresses = address_of(ids)
    for first in range(0, len(ids), PER_POST):
        chunk = ids[first : first + PER_POST]
        events = [
            {
                "event": "bounce" if place == 0 else "delivered",
                "type": "bounce",
                "reason": "550 5.1.1 No such user",
                "email": addresses[one],
                "timestamp": 1763717400,
                "sg_event_id": f"event-{one.hex}",
                "mailservice_id": one.hex,
            }
            for place, one in enumerate(chunk)
        ]
        answer = client.post(path, json.dumps(events), content_type="application/json")
        assert answer.status_code == 200


@contextmanager
def figures_locked() -> Iterator[None]:
    """Have whoever applies events wait at its last step, with everything else done."""
    with psycopg.connect(database_url()) as other:
        other.execute("LOCK TABLE providers_providerminute IN SHARE MODE")
        yield
        other.rollback()


def somebody_waits() -> bool:
    wake_events()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted"
            " AND relation = 'providers_providerminute'::regclass"
        )
        return bool(cursor.fetchone()[0])


def are_all_done() -> bool:
    wake_events()
    return not RawEvent.objects.filter(status="new").exists()


def test_killed_workers_of_events_leave_the_state_as_if_nothing_had_happened() -> None:
    provider = Provider.objects.create(name="account", kind="sendgrid", secrets={"api_key": "x"})
    ids = sent_messages(EVENTS, provider)
    source, half = source_of(provider_id=provider.pk), EVENTS // 2
    worker = start_worker(concurrency=1)
    try:
        post_events(source, ids[:half])
        wait_until(are_all_done)
        assert Event.objects.count() == half
        with figures_locked():
            post_events(source, ids[half:])
            wait_until(somebody_waits)
            kill_group(worker)
            # What it had written was not committed.
            assert Event.objects.count() == Message.objects.exclude(status="sent").count() == half
        worker = start_worker(concurrency=2)
        wait_until(are_all_done)
    finally:
        kill_group(worker)

    assert Counter(RawEvent.objects.values_list("status", "attempts", "error")) == {
        ("done", 1, ""): EVENTS // PER_POST
    }
    told = Counter(Event.objects.values_list("kind", flat=True))
    assert told == {"bounced": 200, "delivered": 1800}
    states = Counter(Message.objects.values_list("status", flat=True))
    assert states == {"bounced": 200, "delivered": 1800}
    bounced = Message.objects.filter(status="bounced").values_list("pk", flat=True)
    suppressed = Suppression.objects.values_list("address", flat=True)
    assert sorted(suppressed) == sorted(address_of(bounced).values())
    assert set(bounced) == set(ids[::PER_POST])
    sums = ProviderMinute.objects.aggregate(Sum("delivered"), Sum("bounced"), Sum("complained"))
    assert list(sums.values()) == [1800, 200, 0]
