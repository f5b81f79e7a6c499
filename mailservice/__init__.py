"""The project: settings, URLs, admin site, Celery application."""

from mailservice.celery import app as celery_app

__all__ = ["celery_app"]
