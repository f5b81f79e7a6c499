"""Where providers tell us of mails, and what they told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from mailservice.core.ids import uuid7
from mailservice.core.secrets import EncryptedJSONField
from providers.models import Provider

if TYPE_CHECKING:
    from datetime import datetime


class EventSource(models.Model):
    """The webhook address of one provider account, and how its posts are believed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.OneToOneField(
        Provider, on_delete=models.CASCADE, related_name="event_source", editable=False
    )
    #: The secret part of the address, to show it again.
    token = EncryptedJSONField(editable=False)
    #: SHA-256 of the token in hexadecimal, to compare.
    token_hash = models.CharField(max_length=64, editable=False)
    #: With what the provider signs its posts: {"key": …}; None if that is not known.
    secrets = EncryptedJSONField(null=True, blank=True, editable=False)
    #: Amazon SES: the one SNS topic that is believed; empty until the first is confirmed.
    topic_arn = models.CharField("SNS topic", max_length=300, blank=True, default="")
    #: When the latest post came, to some seconds.
    last_event_at = models.DateTimeField("last event", null=True, editable=False)
    #: Posts with a wrong address or signature.
    refused_count = models.PositiveBigIntegerField("refused", default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        verbose_name = "event address"
        verbose_name_plural = "event addresses"

    def __str__(self) -> str:
        return str(self.provider)


class RawStatus(models.TextChoices):
    """What became of a post."""

    #: Not worked off yet, or to be tried again.
    NEW = "new", "Waiting"
    DONE = "done", "Done"
    #: Some of it tells of mails that this account did not send for us.
    UNMATCHED = "unmatched", "Unmatched"
    #: It cannot be read.
    FAILED = "failed", "Failed"


class RawEventQuerySet(models.QuerySet["RawEvent"]):
    """Questions about posts."""

    def due(self, now: datetime) -> RawEventQuerySet:
        """Keep what is to be worked off now, longest due first."""
        return self.filter(status=RawStatus.NEW, due_at__lte=now).order_by("due_at")


class RawEvent(models.Model):
    """One post of a provider, as it came."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(
        EventSource, on_delete=models.CASCADE, related_name="events", db_index=False
    )
    received_at = models.DateTimeField("received")
    content_type = models.CharField(max_length=200, blank=True)
    #: Those that reading needs, by names in lower case.
    headers = models.JSONField(default=dict)
    #: The very octets, which signatures are about.
    body = models.BinaryField()
    status = models.CharField(max_length=10, choices=RawStatus.choices, default=RawStatus.NEW)
    error = models.CharField(max_length=500, blank=True, default="")
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField("due")
    #: Until when events without a message are tried again.
    patient_until = models.DateTimeField()

    objects = RawEventQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "provider event"
        indexes = [
            # What is to be worked off.
            models.Index(fields=["due_at"], condition=Q(status="new"), name="inbound_raw_due"),
            # The lists of what needs a person.
            models.Index(
                fields=["status", "id"],
                condition=Q(status__in=["unmatched", "failed"]),
                name="inbound_raw_trouble",
            ),
            # An account is deleted with its posts; its list in the admin.
            models.Index(fields=["source", "id"], name="inbound_raw_source"),
        ]

    def __str__(self) -> str:
        return str(self.pk)
