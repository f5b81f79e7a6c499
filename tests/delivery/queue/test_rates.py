from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from delivery.models import Message
from delivery.queue.pacing import LONGEST, Horizons, pace_of
from delivery.queue.recovery import recover_dead
from delivery.queue.sweep import sweep
from delivery.states import Lane
from providers import rates
from providers.models import Provider, ProviderUsage, Reservation
from providers.routing import Pace
from tests.support.drains import drains
from tests.support.mail import drain, queue, simulator, smtp_account
from tests.support.smtp_server import Drop, FaultyServer, Mail
from tests.support.workers import wait_until

pytestmark = pytest.mark.django_db


def subject_of(mail: Mail) -> str:
    return mail.data.split(b"Subject: ")[1].split(b"\r\n")[0].decode()


def queue_bulk(user: User, count: int) -> None:
    for _ in range(count):
        queue(user, email_type="marketing")


def in_state(status: str) -> int:
    return Message.objects.filter(status=status).count()


def test_an_account_gets_no_more_per_second_than_it_takes(user: User) -> None:
    with FaultyServer() as server:
        smtp_account(server.port, rate_per_second=20)
        queue_bulk(user, 110)
        drain(Lane.BULK, seconds=2)
        sent = len(server.mails)
    # Less only while the machine stalls.
    assert 10 <= sent <= 50
    # Of the two seconds' worth in hand the rest is back in the queue; the others were put off.
    waiting = Message.objects.filter(status="retry").order_by("due_at")
    assert (in_state("sent"), sent + in_state("queued") + waiting.count()) == (sent, 110)
    assert waiting.count() >= 40
    assert {message.attempt_count for message in Message.objects.exclude(status="sent")} == {0}
    dues = [message.due_at for message in waiting]
    span = (dues[-1] - dues[0]).total_seconds()
    assert span == pytest.approx((len(dues) - 1) / 20, abs=0.3)


@pytest.mark.django_db(transaction=True)
def test_two_processes_share_the_rate(user: User) -> None:
    with FaultyServer() as server:
        smtp_account(server.port, rate_per_second=20)
        queue_bulk(user, 110)
        with drains("one", "two") as processes:
            assert [process.wait(30) for process in processes] == [0, 0]
        sent = len(server.mails)
    # Less only while the machine stalls.
    assert 10 <= sent <= 50
    assert in_state("sent") == sent
    assert sent + in_state("queued") + in_state("retry") == 110


def test_transactional_mail_goes_before_bulk_mail_that_waits_for_its_turn(user: User) -> None:
    with FaultyServer() as server:
        smtp_account(server.port, rate_per_second=4, hourly_limit=100)
        queue_bulk(user, 10)
        for number in range(3):
            queue(user, subject=f"Reset {number}")
        drain(Lane.BULK, seconds=3)
    subjects = [subject_of(mail) for mail in server.mails]
    assert subjects[:4] == ["Reset 0", "Reset 1", "Reset 2", "Hello"]
    # What was put off or given back holds no quota.
    usage = ProviderUsage.objects.get()
    assert (usage.hour_count, usage.reserved) == (len(subjects), 0)
    assert not Reservation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_urgent_mail_takes_the_place_of_bulk_mail_that_waits(user: User) -> None:
    with FaultyServer() as server:
        account = smtp_account(server.port, rate_per_second=1, hourly_limit=100)
        rates.take(account.pk, rate=1, wanted=1)
        queue_bulk(user, 2)
        later = threading.Thread(target=queue_when_held, args=(user, account))
        later.start()
        drain(Lane.BULK, seconds=2.5)
        later.join()
    assert [subject_of(mail) for mail in server.mails] == ["Reset", "Reset"]
    bulk = Message.objects.filter(lane=Lane.BULK)
    assert set(bulk.values_list("status", flat=True)) <= {"retry", "queued"}
    usage = ProviderUsage.objects.get()
    assert (usage.hour_count, usage.reserved) == (2, 0)


def queue_when_held(user: User, account: Provider) -> None:
    """Queue two transactional mails as soon as bulk mail has all places."""
    try:
        wait_until(lambda: ProviderUsage.objects.filter(provider=account, reserved=2).exists())
        for _ in range(2):
            queue(user, subject="Reset")
    finally:
        connection.close()


def test_what_is_beyond_the_rate_goes_to_the_next_account(user: User) -> None:
    with FaultyServer() as first, FaultyServer() as second:
        smtp_account(first.port, position=1, rate_per_second=2)
        smtp_account(second.port, position=2)
        queue_bulk(user, 20)
        drain(Lane.BULK, seconds=2)
    # Four waited for the first, the others went on at once.
    assert len(second.mails) == 16
    assert (len(first.mails) + in_state("queued"), in_state("retry")) == (4, 0)


def test_a_pinned_account_is_waited_for_though_another_is_free(user: User) -> None:
    with FaultyServer() as first, FaultyServer() as second:
        slow = smtp_account(first.port, rate_per_second=1)
        smtp_account(second.port)
        for _ in range(4):
            queue(user)
        Message.objects.update(pinned_provider_id=slow.pk)
        drain(seconds=0.3)
    assert (len(first.mails), len(second.mails)) == (1, 0)
    assert (in_state("queued"), in_state("retry")) == (1, 2)


def test_a_long_queue_at_a_slow_account_does_not_come_by_again_and_again(user: User) -> None:
    with FaultyServer() as server:
        smtp_account(server.port, rate_per_second=0.5)
        queue_bulk(user, 250)
        first = drain(Lane.BULK, seconds=1.5)
        sweep()
        second = drain(Lane.BULK, seconds=1)
    # Of the second drain: the one that waited in hand, and what had become due.
    assert (first.claimed, second.claimed <= 4) == (250, True)
    dues = list(Message.objects.filter(status="retry").values_list("due_at", flat=True))
    assert len(dues) >= 246
    assert max(dues) - timezone.now() > timedelta(minutes=7)


def test_an_account_slower_than_its_rate_is_given_little_ahead(user: User) -> None:
    # One connection and 50 ms a mail, at an account of 200 a second.
    account = simulator(rate_per_second=200, max_connections=1)
    account.settings = {"latency_ms": 50}
    account.save()
    queue_bulk(user, 40)
    drain(Lane.BULK, seconds=1)
    sent = in_state("sent")
    assert sent + in_state("queued") == 40
    # When time is up, what had its turn is sent: ten at most, and one on the wire.
    assert sent <= 1 / 0.05 + 11


def test_mail_that_waits_for_its_turn_moves_on_when_the_account_fails(user: User) -> None:
    with FaultyServer(({"CONNECT": Drop()},)) as first, FaultyServer() as second:
        smtp_account(first.port, position=1, rate_per_second=10, max_connections=1)
        smtp_account(second.port, position=2)
        queue_bulk(user, 15)
        drain(Lane.BULK, seconds=5)
    assert (len(first.mails), len(second.mails), in_state("sent")) == (0, 15, 15)


def test_a_drain_waits_for_what_it_put_off_itself(user: User) -> None:
    with FaultyServer() as server:
        smtp_account(server.port, rate_per_second=10)
        queue_bulk(user, 30)
        drain(Lane.BULK, seconds=4)
        sent = len(server.mails)
    # What was held at first would have been 20, and what the bucket holds.
    assert 26 <= sent <= 30
    assert in_state("sent") == sent


def pace(rate: float) -> Pace:
    return pace_of(Provider(name="account", kind="simulator", rate_per_second=rate))


def test_horizons_add_a_mails_time_each_and_keep_lanes_apart() -> None:
    horizons, account, now = Horizons(), pace(2), timezone.now()
    half = timedelta(seconds=0.5)
    dues = [horizons.put_off(account, Lane.BULK, now) for _ in range(3)]
    assert [due - dues[0] for due in dues] == [0 * half, half, 2 * half]
    assert horizons.tip(account, Lane.BULK, now) == dues[2] + half
    assert horizons.put_off(account, Lane.TRANSACTIONAL, now) == dues[0]
    assert horizons.put_off(pace(2), Lane.BULK, now) == dues[0]


def test_nothing_is_put_off_for_more_than_an_hour() -> None:
    horizons, account, now = Horizons(), pace(1), timezone.now()
    dues = [horizons.put_off(account, Lane.BULK, now) for _ in range(20_000)]
    assert max(dues) - now <= LONGEST
    late = [due for due in dues[3_600:] if due - now >= LONGEST / 2]
    assert len(late) == 16_400
    # Evenly, so that no crowd comes at once.
    assert max(dues[3_600:].count(due) for due in set(dues[3_600:5_000])) <= 10


def test_the_slowest_account_has_a_horizon_too() -> None:
    horizons, account, now = Horizons(), pace(1e-9), timezone.now()
    assert horizons.put_off(account, Lane.BULK, now) - now <= LONGEST


def test_a_horizon_is_forgotten_when_no_mail_was_put_off_for_long() -> None:
    horizons, account, now = Horizons(), pace(1), timezone.now()
    first, *_ = [horizons.put_off(account, Lane.BULK, now) for _ in range(100)]
    later = now + timedelta(seconds=11)
    assert horizons.put_off(account, Lane.BULK, later) - later == first - now


@pytest.mark.django_db(transaction=True)
def test_mail_that_waited_for_its_turn_when_its_worker_died_counts_no_attempt(user: User) -> None:
    with FaultyServer() as server:
        account = smtp_account(server.port, rate_per_second=0.1, hourly_limit=50)
        rates.take(account.pk, rate=0.1, wanted=1)
        queue_bulk(user, 1)
        with drains("one") as processes:
            wait_until(lambda: ProviderUsage.objects.filter(reserved=1).exists())
            processes[0].kill()
        wait_until(lambda: recover_dead() == 1, seconds=5)
    usage = ProviderUsage.objects.get()
    assert (server.mails, usage.hour_count, usage.reserved) == ([], 0, 0)
    message = Message.objects.get()
    assert (message.status, message.attempt_count) == ("queued", 0)
