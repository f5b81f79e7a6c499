"""Mails that came to a return path, as they came, and the address where mail servers post them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from mailservice.core.ids import uuid7
from mailservice.core.secrets import EncryptedJSONField

if TYPE_CHECKING:
    from datetime import datetime

#: Of a mail so much is kept: what tells of its fate stands in front.
KEPT_BYTES = 262_144


class ReturnedRoute(models.TextChoices):
    """How a mail came in."""

    HOOK = "hook", "Posted by a mail server"
    COMMAND = "command", "Piped by a mail server"
    MAILBOX = "mailbox", "Fetched from a mailbox"


class ReturnedStatus(models.TextChoices):
    """What became of a mail."""

    #: Not worked off yet, or to be tried again.
    NEW = "new", "Waiting"
    DONE = "done", "Done"
    #: It belongs to no mail of ours, or to none of its recipients.
    UNMATCHED = "unmatched", "Unmatched"
    #: It tells nothing of a mail's fate.
    IGNORED = "ignored", "Ignored"
    #: It cannot be worked off.
    FAILED = "failed", "Failed"


class ReturnedKind(models.TextChoices):
    """What sort of mail it is: the words of `inbound.bounces.Kind`."""

    DSN = "dsn", "Delivery report"
    FEEDBACK = "feedback", "Complaint report"
    BOUNCE = "bounce", "Bounce in words"
    AUTO_REPLY = "auto_reply", "Automatic answer"
    CHALLENGE = "challenge", "Challenge"
    OTHER = "other", "Other mail"


class ReturnHook(models.Model):
    """The one address where mail servers post what comes back."""

    #: Always 1.
    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    #: The secret part of the address, to show it again.
    token = EncryptedJSONField(editable=False)
    #: SHA-256 of the token in hexadecimal, to compare.
    token_hash = models.CharField(max_length=64, editable=False)
    #: When it got its present secret.
    renewed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "address for returned mail"
        verbose_name_plural = "addresses for returned mail"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="inbound_returnhook_single"),
        ]

    def __str__(self) -> str:
        return "address for returned mail"


class ReturnedMailQuerySet(models.QuerySet["ReturnedMail"]):
    """Questions about returned mails."""

    def due(self, now: datetime) -> ReturnedMailQuerySet:
        """Keep what is to be worked off now, longest due first."""
        return self.filter(status=ReturnedStatus.NEW, due_at__lte=now).order_by("due_at")


class ReturnedMail(models.Model):
    """A mail that came to a return path."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    received_at = models.DateTimeField("received")
    route = models.CharField(max_length=10, choices=ReturnedRoute.choices)
    #: The address that it came to, as the mail server told it; may be empty.
    envelope_to = models.CharField(max_length=320, blank=True, default="")
    #: Its first `KEPT_BYTES`, as they came.
    body = models.BinaryField()
    #: Of all that came.
    size_bytes = models.PositiveBigIntegerField("size")
    #: SHA-256 of what is kept, in hexadecimal.
    sha256 = models.CharField(max_length=64)
    #: Names a mail in a mailbox, so that one fetched again is kept once; empty for other routes.
    source_key = models.CharField(max_length=120, blank=True, default="")
    status = models.CharField(
        max_length=10, choices=ReturnedStatus.choices, default=ReturnedStatus.NEW
    )
    #: Empty until it was read.
    kind = models.CharField(max_length=10, choices=ReturnedKind.choices, blank=True, default="")
    #: One of `providers.bounces.BounceClass`; empty if it is no bounce.
    bounce_class = models.CharField("class", max_length=20, blank=True, default="")
    #: Whom it is about; the first if there are several.
    recipient = models.CharField(max_length=320, blank=True, default="")
    #: The message it belongs to, which may be purged.
    message_id = models.UUIDField(null=True)
    error = models.CharField(max_length=500, blank=True, default="")
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField("due")

    objects = ReturnedMailQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "returned mail"
        verbose_name_plural = "returned mail"
        constraints = [
            # A mailbox read again after a kill.
            models.UniqueConstraint(
                fields=["source_key"],
                condition=~Q(source_key=""),
                name="inbound_returned_once",
            ),
        ]
        indexes = [
            # What is to be worked off.
            models.Index(fields=["due_at"], condition=Q(status="new"), name="inbound_returned_due"),
            # The lists of what needs a person.
            models.Index(
                fields=["status", "id"],
                condition=Q(status__in=["unmatched", "failed"]),
                name="inbound_returned_trouble",
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)
