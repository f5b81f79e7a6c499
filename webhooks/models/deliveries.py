"""What happened, who is told of it, and every try."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from mailservice.core.ids import uuid7
from webhooks.models.endpoints import Endpoint

ERROR_CHARS = 300
#: Of an answer so much is kept.
EXCERPT_BYTES = 2048


class DeliveryState(models.TextChoices):
    """How far a delivery has come."""

    #: Waits for its next attempt.
    PENDING = "pending", "Pending"
    #: The receiver answered 2xx.
    DELIVERED = "delivered", "Delivered"
    #: Given up; a replay begins anew.
    FAILED = "failed", "Failed"


class Occurrence(models.Model):
    """Something that happened, as receivers are told of it; its id is the `webhook-id`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=40)
    owner_id = models.UUIDField()
    message_id = models.UUIDField(null=True)
    #: The body: {"type", "timestamp", "data"}.
    payload = models.JSONField()
    at = models.DateTimeField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.kind


class Delivery(models.Model):
    """One thing that one endpoint is told. Rows outlive their endpoint; housekeeping ends them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    endpoint = models.ForeignKey(
        Endpoint,
        on_delete=models.DO_NOTHING,
        related_name="deliveries",
        db_constraint=False,
        db_index=False,
    )
    occurrence = models.ForeignKey(
        Occurrence,
        on_delete=models.DO_NOTHING,
        related_name="deliveries",
        db_constraint=False,
    )
    status = models.CharField(
        max_length=10, choices=DeliveryState.choices, default=DeliveryState.PENDING
    )
    #: Since it was made or replayed.
    attempts = models.PositiveSmallIntegerField(default=0)
    #: When to try next; of one that is being sent, when its sender counts as dead.
    due_at = models.DateTimeField()
    #: HTTP status of the last answer; 0 for none.
    last_code = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=ERROR_CHARS, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            # Nobody is told a thing twice.
            models.UniqueConstraint(
                fields=["endpoint", "occurrence"], name="webhooks_delivery_once"
            ),
            models.CheckConstraint(
                condition=Q(status__in=DeliveryState.values), name="webhooks_delivery_status"
            ),
        ]
        indexes = [
            # The claim: what is due, endpoint by endpoint.
            models.Index(
                fields=["endpoint", "due_at"],
                condition=Q(status=DeliveryState.PENDING),
                name="webhooks_delivery_due",
            ),
            # An endpoint's deliveries, newest first.
            models.Index(F("endpoint").asc(), F("id").desc(), name="webhooks_delivery_list"),
            # What to replay.
            models.Index(
                F("endpoint").asc(),
                F("id").desc(),
                condition=Q(status=DeliveryState.FAILED),
                name="webhooks_delivery_failed",
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class Attempt(models.Model):
    """One try: what was sent is the occurrence, what came back is here."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    delivery = models.ForeignKey(
        Delivery, on_delete=models.DO_NOTHING, related_name="log", db_constraint=False
    )
    at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    #: HTTP status; 0 for no answer.
    code = models.PositiveSmallIntegerField(default=0)
    #: The answer's first 2 KB as text.
    response = models.TextField(blank=True)
    error = models.CharField(max_length=ERROR_CHARS, blank=True)

    class Meta:
        ordering = ["delivery", "id"]

    def __str__(self) -> str:
        return f"{self.code}"
