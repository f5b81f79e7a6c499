"""Requests for pixels and tracked links, as they came and what they were taken for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from inbound.verdicts import Verdict
from mailservice.core.ids import uuid7

if TYPE_CHECKING:
    from datetime import datetime


class HitKind(models.TextChoices):
    """What was asked for."""

    OPEN = "open", "Opened"
    CLICK = "click", "Clicked"


class HitVerdict(models.TextChoices):
    """Who it was; see `inbound.verdicts`."""

    PERSON = Verdict.PERSON.value, "Person"
    PROXY = Verdict.PROXY.value, "Person, by a proxy"
    SCANNER = Verdict.SCANNER.value, "Scanner"
    PREFETCH = Verdict.PREFETCH.value, "Fetched ahead"


class HitQuerySet(models.QuerySet["Hit"]):
    """Questions about hits."""

    def due(self, now: datetime) -> HitQuerySet:
        """Keep what is to be judged now, longest due first."""
        return self.filter(verdict="", due_at__lte=now).order_by("due_at")


class Hit(models.Model):
    """One request for a pixel or a link. The message may be purged long before it comes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=5, choices=HitKind.choices)
    message_id = models.UUIDField()
    #: See `delivery.links.tracks.recipient_mark`; None for a mail to several.
    recipient_mark = models.BigIntegerField(null=True)
    #: Where the link leads; empty for a pixel.
    url = models.TextField("URL", blank=True, default="")
    #: Different tracked links in the mail.
    link_count = models.PositiveSmallIntegerField(default=0)
    at = models.DateTimeField("time")
    method = models.CharField(max_length=4)
    user_agent = models.CharField(max_length=500, blank=True, default="")
    address = models.GenericIPAddressField(null=True)
    #: What the headers say by which browsers tell why they ask.
    purpose = models.CharField(max_length=100, blank=True, default="")
    #: Empty until it is judged.
    verdict = models.CharField(max_length=8, choices=HitVerdict.choices, blank=True, default="")
    #: A code of `inbound.verdicts.REASONS`.
    reason = models.CharField(max_length=20, blank=True, default="")
    judged_at = models.DateTimeField("judged", null=True)
    #: When it is to be judged: its neighbours are known then.
    due_at = models.DateTimeField()

    objects = HitQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "open or click"
        verbose_name_plural = "opens and clicks"
        indexes = [
            # What is to be judged.
            models.Index(fields=["due_at"], condition=Q(verdict=""), name="inbound_hit_due"),
            # A message's page, and what came beside a hit: ids are in time order.
            models.Index(fields=["message_id", "id"], name="inbound_hit_message"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.at:%Y-%m-%d %H:%M:%S}"
