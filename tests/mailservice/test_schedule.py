from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from mailservice.celery import app
from mailservice.schedule import STANDBY_SECONDS, CodeFirstScheduler

# Beat closes its connection at will, and a test's open transaction with it.
pytestmark = pytest.mark.django_db(transaction=True)

SWEEP = "sweep the queue"


@pytest.fixture
def beat() -> Iterator[Callable[[], CodeFirstScheduler]]:
    """Start beats; give up their locks at the end."""
    started: list[CodeFirstScheduler] = []

    def start() -> CodeFirstScheduler:
        scheduler = CodeFirstScheduler(app=app)
        started.append(scheduler)
        return scheduler

    yield start
    for scheduler in started:
        scheduler.close()


def test_missing_entries_are_created(beat: Any) -> None:
    beat()
    found = {
        task.name: (task.task, str(task.interval), task.queue, task.expire_seconds)
        for task in PeriodicTask.objects.filter(name__in=app.conf.beat_schedule)
    }
    assert found == {
        SWEEP: ("delivery.tasks.sweep", "every 2 seconds", "maintenance", 86_400),
        "tell of alerts": ("alerts.tasks.notify", "every 5 seconds", "maintenance", 86_400),
        "watch providers": ("providers.tasks.watch", "every 30 seconds", "maintenance", 86_400),
        "forget old alerts": (
            "alerts.tasks.housekeeping",
            "every 86400 seconds",
            "maintenance",
            86_400,
        ),
        "housekeeping": (
            "delivery.tasks.housekeeping",
            "every 3600 seconds",
            "maintenance",
            86_400,
        ),
        "provider events": ("inbound.tasks.process_events", "every 2 seconds", "events", 86_400),
        "returned mail": (
            "inbound.tasks.process_returned_mail",
            "every 5 seconds",
            "events",
            86_400,
        ),
        "read bounce mailboxes": (
            "inbound.tasks.check_bounce_mailboxes",
            "every 60 seconds",
            "events",
            86_400,
        ),
        "judge opens and clicks": ("inbound.tasks.judge_hits", "every 5 seconds", "events", 86_400),
        "forget opens and clicks": (
            "inbound.tasks.forget_old_hits",
            "every 3600 seconds",
            "maintenance",
            86_400,
        ),
        "forget provider events": (
            "inbound.tasks.forget_old_events",
            "every 3600 seconds",
            "maintenance",
            86_400,
        ),
        "tell webhooks": ("webhooks.tasks.deliver", "every second", "events", 86_400),
        "forget old webhooks": (
            "webhooks.tasks.housekeeping",
            "every 3600 seconds",
            "maintenance",
            86_400,
        ),
        "check sender domains": (
            "verification.tasks.check_sender_domains",
            "every 60 seconds",
            "verification",
            86_400,
        ),
        "align routing with sender domains": (
            "delivery.tasks.refresh_alignment",
            "every 120 seconds",
            "maintenance",
            86_400,
        ),
        "tend verifications": (
            "verification.tasks.tend_verifications",
            "every 3600 seconds",
            "maintenance",
            86_400,
        ),
        "validation jobs": (
            "verification.tasks.tend_validation_jobs",
            "every 10 seconds",
            "verification",
            86_400,
        ),
    }


def test_the_tasks_of_all_entries_exist() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)


def test_what_an_operator_changed_stays(beat: Any) -> None:
    beat()
    slow, _ = IntervalSchedule.objects.get_or_create(every=30, period="seconds")
    PeriodicTask.objects.filter(name=SWEEP).update(interval=slow, enabled=False)
    beat()
    task = PeriodicTask.objects.get(name=SWEEP)
    assert (task.enabled, task.interval) == (False, slow)


def test_a_deleted_entry_comes_back_at_the_next_start(beat: Any) -> None:
    beat()
    PeriodicTask.objects.filter(name=SWEEP).delete()
    assert not PeriodicTask.objects.filter(name=SWEEP).exists()
    beat()
    assert PeriodicTask.objects.get(name=SWEEP).enabled


def test_a_second_beat_stands_by_and_takes_over_when_the_first_goes(beat: Any) -> None:
    first, second = beat(), beat()
    assert first.tick() != STANDBY_SECONDS
    assert second.tick() == STANDBY_SECONDS
    assert first._is_active()
    assert not second._is_active()
    first.close()
    assert second._is_active()


def test_a_beat_that_lost_its_session_stands_by_until_it_has_the_lock_again(beat: Any) -> None:
    first, second = beat(), beat()
    assert first._is_active()
    first._lock_connection.close()
    assert not first._is_active()
    assert second._is_active()
    assert not first._is_active()
    second.close()
    assert first._is_active()


def test_the_schedulers_name_in_the_settings_is_right() -> None:
    module, _, name = settings.CELERY_BEAT_SCHEDULER.partition(":")
    assert (module, name) == (CodeFirstScheduler.__module__, CodeFirstScheduler.__qualname__)
