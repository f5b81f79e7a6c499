"""The Celery application of the set-ups that projects write for themselves."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.peers.settings")

app = Celery("peers", include=["bench.peers.tasks"])
app.config_from_object("django.conf:settings", namespace="CELERY")
