"""The Celery application: carries wake-ups to drains and ticks to sweepers."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailservice.settings.base")

app = Celery("mailservice")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Created once in the database scheduler, then the operator's to change (mailservice.schedule).
# Ticks expire so that they do not pile up without workers; late enough for clocks that differ.
app.conf.beat_schedule = {
    "sweep the queue": {
        "task": "delivery.tasks.sweep",
        "schedule": 2.0,
        "options": {"queue": "maintenance", "expire_seconds": 86_400},
    },
    "tell of alerts": {
        "task": "alerts.tasks.notify",
        "schedule": 5.0,
        "options": {"queue": "maintenance", "expire_seconds": 86_400},
    },
    "watch providers": {
        "task": "providers.tasks.watch",
        "schedule": 30.0,
        "options": {"queue": "maintenance", "expire_seconds": 86_400},
    },
    "tell webhooks": {
        "task": "webhooks.tasks.deliver",
        "schedule": 1.0,
        "options": {"queue": "events", "expire_seconds": 86_400},
    },
    "forget old webhooks": {
        "task": "webhooks.tasks.housekeeping",
        "schedule": 3600.0,
        "options": {"queue": "maintenance", "expire_seconds": 86_400},
    },
    "forget old alerts": {
        "task": "alerts.tasks.housekeeping",
        "schedule": 86_400.0,
        "options": {"queue": "maintenance", "expire_seconds": 86_400},
    },
    "housekeeping": {
        "task": "delivery.tasks.housekeeping",
        "schedule": 3600.0,
        "options": {"queue": "maintenance", "expire_seconds": 86_400},
    },
    "provider events": {
        "task": "inbound.tasks.process_events",
        "schedule": 2.0,
        "options": {"queue": "events", "expire_seconds": 86_400},
    },
    "returned mail": {
        "task": "inbound.tasks.process_returned_mail",
        "schedule": 5.0,
        "options": {"queue": "events", "expire_seconds": 86_400},
    },
    "read bounce mailboxes": {
        "task": "inbound.tasks.check_bounce_mailboxes",
        "schedule": 60.0,
        "options": {"queue": "events", "expire_seconds": 86_400},
    },
    "forget provider events": {
        "task": "inbound.tasks.forget_old_events",
        "schedule": 3600.0,
        "options": {"queue": "maintenance", "expire_seconds": 86_400},
    },
    "judge opens and clicks": {
        "task": "inbound.tasks.judge_hits",
        "schedule": 5.0,
        "options": {"queue": "events", "expire_seconds": 86_400},
    },
    "forget opens and clicks": {
        "task": "inbound.tasks.forget_old_hits",
        "schedule": 3600.0,
        "options": {"queue": "maintenance", "expire_seconds": 86_400},
    },
    "check sender domains": {
        "task": "verification.tasks.check_sender_domains",
        "schedule": 60.0,
        "options": {"queue": "verification", "expire_seconds": 86_400},
    },
    "align routing with sender domains": {
        "task": "delivery.tasks.refresh_alignment",
        "schedule": 120.0,
        "options": {"queue": "maintenance", "expire_seconds": 86_400},
    },
    "tend verifications": {
        "task": "verification.tasks.tend_verifications",
        "schedule": 3600.0,
        "options": {"queue": "maintenance", "expire_seconds": 86_400},
    },
    "validation jobs": {
        "task": "verification.tasks.tend_validation_jobs",
        "schedule": 10.0,
        "options": {"queue": "verification", "expire_seconds": 86_400},
    },
}


@task_prerun.connect(weak=False)  # type: ignore[untyped-decorator]  # Celery has no types
def _replace_dead_connections(**_signal: object) -> None:
    """Look at the kept database connection before each task, as a request does."""
    from django.db import close_old_connections  # noqa: PLC0415 - settings are read by now

    close_old_connections()
