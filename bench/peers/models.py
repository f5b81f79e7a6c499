"""The queue of a plain Celery set-up: one row per mail, marked when it is sent."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Mail(models.Model):
    """One mail to send."""

    recipient = models.EmailField()
    context = models.JSONField()
    status = models.CharField(max_length=10, default="queued")
    sent_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Mail]] = models.Manager()

    class Meta:
        app_label = "peers"

    def __str__(self) -> str:
        return self.recipient
