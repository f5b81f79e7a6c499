"""The peers' application."""

from __future__ import annotations

from django.apps import AppConfig


class PeersConfig(AppConfig):
    """Holds the table of the Celery set-ups; it has no migrations (`migrate --run-syncdb`)."""

    name = "bench.peers"
    label = "peers"
