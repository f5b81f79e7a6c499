"""Addresses that get no mail."""

from __future__ import annotations

from django.db import models

from mailservice.core.ids import uuid7


class SuppressionReason(models.TextChoices):
    """Why an address gets no mail."""

    HARD_BOUNCE = "hard_bounce", "Hard bounce"
    COMPLAINT = "complaint", "Complaint"
    UNSUBSCRIBE = "unsubscribe", "Unsubscribed"
    MANUAL = "manual", "Entered by hand"


class Suppression(models.Model):
    """An address that gets no mail, of any type or of one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    #: In normal form (`mailservice.core.addresses.normalized`).
    address = models.CharField(max_length=320)
    #: The email type it holds for; empty for all mail.
    email_type = models.CharField(max_length=40, blank=True, default="")
    reason = models.CharField(
        max_length=20, choices=SuppressionReason.choices, default=SuppressionReason.MANUAL
    )
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # Also the index of the check before sending.
            models.UniqueConstraint(
                fields=["address", "email_type"], name="delivery_suppression_once"
            )
        ]

    def __str__(self) -> str:
        return self.address
