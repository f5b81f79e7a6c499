"""The Celery application: carries wake-ups to drains and ticks to sweepers."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailservice.settings.base")

app = Celery("mailservice")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Created once in the database scheduler, then the operator's to change (mailservice.schedule).
app.conf.beat_schedule = {
    "sweep the queue": {
        "task": "delivery.tasks.sweep",
        "schedule": 2.0,
        "options": {"queue": "maintenance", "expire_seconds": 10},
    },
    "housekeeping": {
        "task": "delivery.tasks.housekeeping",
        "schedule": 3600.0,
        "options": {"queue": "maintenance", "expire_seconds": 1800},
    },
}
