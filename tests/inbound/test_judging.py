"""From hits to verdicts and events."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from delivery.links.tracks import recipient_mark
from delivery.models import Event, Message
from inbound.models import Hit
from inbound.tasks import forget_old_hits, judge_hits
from inbound.tracking.judging import Judged, judge_batch
from mailservice.core.broker import redis_client
from mailservice.core.ids import uuid7
from mailservice.core.sql import advisory_key
from tests.support.mail import force_status, queue

pytestmark = pytest.mark.django_db

BOB = "bob@example.net"
URL = "https://shop.example.com/"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120 Safari/537.36"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def message(user: User) -> Message:
    message = queue(user)
    force_status(message, "sent", sent_at=timezone.now() - timedelta(hours=5))
    return message


def id_at(moment: datetime) -> UUID:
    """Return an id as made at a moment."""
    return UUID(int=int(moment.timestamp() * 1000) << 80 | uuid7().int & ((1 << 80) - 1))


def add(message_id: UUID, at: datetime | None = None, **fields: Any) -> Hit:
    at = at or this_hour()
    values: dict[str, Any] = {
        "id": id_at(at),
        "kind": "click",
        "message_id": message_id,
        "recipient_mark": int.from_bytes(recipient_mark(message_id, BOB), "big"),
        "url": URL,
        "at": at,
        "method": "GET",
        "user_agent": CHROME,
        "address": "203.0.113.7",
        "link_count": 9,
        "due_at": at,
    }
    return Hit.objects.create(**(values | fields))


def this_hour() -> datetime:
    """Return a moment in the middle of the last full hour."""
    now = timezone.now() - timedelta(hours=1)
    return now.replace(minute=30, second=0, microsecond=0)


def verdicts() -> list[tuple[str, str]]:
    return list(Hit.objects.order_by("pk").values_list("verdict", "reason"))


def events() -> list[tuple[str, str]]:
    found = Event.objects.filter(kind__in=["opened", "clicked"]).order_by("pk")
    return list(found.values_list("kind", "recipient"))


def test_a_persons_click_becomes_an_event_of_the_message(message: Message) -> None:
    hit = add(message.pk)
    assert judge_batch() == Judged(hits=1, events=1)
    hit.refresh_from_db()
    assert (hit.verdict, hit.reason) == ("person", "no_sign")
    assert hit.judged_at is not None
    event = Event.objects.get(kind="clicked")
    assert (event.message_id, event.recipient, event.actor) == (message.pk, BOB, "recipient")
    assert (event.at, event.detail) == (hit.at, URL)
    assert event.data == {"url": URL, "user_agent": CHROME, "verdict": "person"}
    assert judge_batch() == Judged()


def test_an_open_by_a_proxy_counts_and_machines_do_not(message: Message) -> None:
    add(message.pk, kind="open", url="", user_agent="x GoogleImageProxy")
    add(message.pk, user_agent="curl/8")
    add(message.pk, method="HEAD")
    assert judge_batch() == Judged(hits=3, events=1)
    event = Event.objects.get(kind="opened")
    assert event.data == {"user_agent": "x GoogleImageProxy", "verdict": "proxy"}
    assert sorted(verdicts()) == [
        ("proxy", "image_proxy"),
        ("scanner", "head"),
        ("scanner", "program"),
    ]


def test_hits_that_are_not_due_wait(message: Message) -> None:
    add(message.pk, due_at=timezone.now() + MINUTE)
    assert judge_batch() == Judged()


def test_one_event_per_hour_and_link(message: Message) -> None:
    at = this_hour()
    for minutes in (0, 1, 20):
        add(message.pk, at + timedelta(minutes=minutes))
    add(message.pk, at, url="https://other.example/")
    add(message.pk, at - timedelta(hours=1))
    assert judge_batch() == Judged(hits=5, events=3)
    add(message.pk, at + timedelta(minutes=25))
    assert judge_batch() == Judged(hits=1, events=0)
    assert {verdict for verdict, _ in verdicts()} == {"person"}


def test_neighbours_judged_before_or_not_due_yet_are_looked_at(message: Message) -> None:
    at = this_hour()
    add(message.pk, at, url="https://x.example/1", verdict="person", reason="no_sign")
    add(message.pk, at, url="https://x.example/2", due_at=timezone.now() + MINUTE)
    add(message.pk, at, url="https://x.example/3")
    assert judge_batch() == Judged(hits=1, events=0)
    assert ("scanner", "burst") in verdicts()
    # Those of another message are not.
    add(uuid4(), at)
    assert judge_batch() == Judged(hits=1, events=0)
    assert ("person", "no_sign") in verdicts()


def test_hits_of_a_purged_message_are_judged_without_an_event() -> None:
    add(uuid4())
    assert judge_batch() == Judged(hits=1, events=0)
    assert verdicts() == [("person", "no_sign")]
    assert events() == []


def test_a_mail_to_several_tells_of_nobody(user: User) -> None:
    message = queue(user, to=[BOB, "eve@example.net"])
    force_status(message, "sent", sent_at=timezone.now())
    add(message.pk, recipient_mark=None, at=timezone.now() + MINUTE, due_at=timezone.now())
    judge_batch()
    assert events() == [("clicked", "")]


def test_a_mark_that_fits_nobody_tells_of_nobody(message: Message) -> None:
    add(message.pk, recipient_mark=7)
    judge_batch()
    assert events() == [("clicked", "")]


def test_a_click_soon_after_sending_is_a_scanners(user: User) -> None:
    message = queue(user)
    at = this_hour()
    force_status(message, "sent", sent_at=at - timedelta(seconds=1))
    add(message.pk, at)
    judge_batch()
    assert verdicts() == [("scanner", "too_soon")]


def test_while_a_worker_has_the_message_its_readers_wait(message: Message) -> None:
    lease = uuid7()
    force_status(message, "sending", lease_id=lease)
    first, second = add(message.pk), add(message.pk, this_hour() + MINUTE)
    machine = add(message.pk, user_agent="curl/8")
    assert judge_batch() == Judged(hits=3, events=0)
    assert judge_batch() == Judged()
    for hit in (first, second, machine):
        hit.refresh_from_db()
    assert (first.verdict, second.verdict, machine.verdict) == ("", "", "scanner")
    assert first.due_at > timezone.now()
    force_status(message, "sent", lease_id=None)
    Hit.objects.update(due_at=timezone.now())
    assert judge_batch() == Judged(hits=2, events=1)


def test_an_open_proves_that_a_mail_of_unknown_outcome_was_sent(message: Message) -> None:
    force_status(message, "unknown")
    add(message.pk, kind="open", url="")
    judge_batch()
    message.refresh_from_db()
    assert message.status == "sent"


@pytest.mark.django_db(transaction=True)
def test_one_process_judges_at_a_time(message: Message) -> None:
    add(message.pk)
    found: list[Judged] = []

    def beside() -> None:
        found.append(judge_batch())
        connection.close()

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key("inbound", "judging")])
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()
    assert found == [Judged()]
    assert judge_batch() == Judged(hits=1, events=1)


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_is_cut_off_leaves_nothing_behind(message: Message) -> None:
    add(message.pk)

    def cut_off() -> None:
        with transaction.atomic():
            assert judge_batch().events == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert verdicts() == [("", "")]
    assert events() == []
    assert judge_batch() == Judged(hits=1, events=1)


def test_the_task_judges_all_that_is_due_and_ticks_do_not_pile_up(message: Message) -> None:
    for number in range(3):
        add(message.pk, url=f"https://x.example/{number}", address=f"203.0.{number}.1")
    judge_hits()
    assert len(events()) == 3
    add(message.pk, url="https://x.example/9", address="203.0.9.1")
    judge_hits()
    assert len(events()) == 3
    redis_client().flushdb()
    judge_hits()
    assert len(events()) == 4


def test_old_hits_are_forgotten(settings: Any, message: Message) -> None:
    settings.TRACKING_HIT_DAYS = 7
    now = timezone.now()
    add(message.pk, now - timedelta(days=8))
    kept = add(message.pk, now - timedelta(days=6))
    forget_old_hits()
    assert list(Hit.objects.values_list("pk", flat=True)) == [kept.pk]
