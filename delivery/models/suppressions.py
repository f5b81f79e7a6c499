"""Addresses that get no mail."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from mailservice.core.ids import uuid7


class SuppressionReason(models.TextChoices):
    """Why an address gets no mail."""

    HARD_BOUNCE = "hard_bounce", "Hard bounce"
    COMPLAINT = "complaint", "Complaint"
    UNSUBSCRIBE = "unsubscribe", "Unsubscribed"
    MANUAL = "manual", "Entered by hand"


#: What people may take back who may delete suppressions; the others were caused by recipients or
#: their servers, and take the permission `lift_suppression`.
ENTERED_BY_PEOPLE = frozenset({SuppressionReason.MANUAL})
#: As the email type of a suppression: all marketing mail, of types yet to come too.
ALL_MARKETING = "*"


class Suppression(models.Model):
    """An address that gets no mail: none at all, none of one type, or none of one list."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    #: In normal form (`mailservice.core.addresses.normalized`).
    address = models.CharField(max_length=320)
    #: The email type it holds for, or `ALL_MARKETING`; empty for all mail.
    email_type = models.CharField(max_length=40, blank=True, default="")
    #: The mailing list it holds for; empty for all mail, or that of the type.
    list_key = models.CharField(max_length=64, blank=True, default="")
    reason = models.CharField(
        max_length=20, choices=SuppressionReason.choices, default=SuppressionReason.MANUAL
    )
    note = models.CharField(max_length=200, blank=True)
    #: The message whose fate or link it follows from.
    message_id = models.UUIDField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())

    class Meta:
        ordering = ["-id"]
        permissions = [
            ("lift_suppression", "Can remove what bounces, complaints and recipients caused")
        ]
        indexes = [
            # Pages of the lists by reason, by type, by list, and by reason within one of these, of
            # any length and however rare what is asked for has become.
            models.Index(fields=["reason", "id"], name="delivery_supp_reason"),
            models.Index(
                fields=["email_type", "id"],
                condition=~Q(email_type=""),
                name="delivery_supp_type",
            ),
            models.Index(
                fields=["email_type", "reason", "id"],
                condition=~Q(email_type=""),
                name="delivery_supp_type_reason",
            ),
            models.Index(
                fields=["list_key", "id"], condition=~Q(list_key=""), name="delivery_supp_list"
            ),
            models.Index(
                fields=["list_key", "reason", "id"],
                condition=~Q(list_key=""),
                name="delivery_supp_list_reason",
            ),
        ]
        constraints = [
            # Also the index of the check before sending.
            models.UniqueConstraint(
                fields=["address", "email_type", "list_key"], name="delivery_suppression_once"
            ),
            models.CheckConstraint(
                condition=Q(email_type="") | Q(list_key=""), name="delivery_suppression_scope"
            ),
        ]

    def __str__(self) -> str:
        return self.address


class TrackingRefusal(models.Model):
    """An address whose owner wants opens and clicks unseen."""

    #: In normal form.
    address = models.CharField(max_length=320, primary_key=True)
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())

    def __str__(self) -> str:
        return self.address
