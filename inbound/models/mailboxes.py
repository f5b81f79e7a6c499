"""Mailboxes that returned mail is fetched from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from mailservice.core.ids import uuid7
from mailservice.core.secrets import EncryptedJSONField

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class MailboxSecurity(models.TextChoices):
    """How the conversation with the server is protected."""

    TLS = "tls", "TLS (port 993)"
    STARTTLS = "starttls", "STARTTLS (port 143)"
    NONE = "none", "None: only on your own network"


class BounceMailboxQuerySet(models.QuerySet["BounceMailbox"]):
    """Questions about mailboxes, and the guarded update that gives one to a reader."""

    def due(self, now: datetime) -> BounceMailboxQuerySet:
        """Keep those that are to be read now, longest due first."""
        return self.filter(is_active=True, due_at__lte=now).order_by("due_at")

    def claim(self, pk: UUID, *, now: datetime, until: datetime) -> bool:
        """Give one that is due to the caller until a time; False if another has it."""
        return bool(self.due(now).filter(pk=pk).order_by().update(due_at=until))


class BounceMailbox(models.Model):
    """A mailbox that return paths lead to. All mail in its folder is fetched and removed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    host = models.CharField("server", max_length=253)
    port = models.PositiveIntegerField(
        default=993, validators=[MinValueValidator(1), MaxValueValidator(65_535)]
    )
    security = models.CharField(
        max_length=10, choices=MailboxSecurity.choices, default=MailboxSecurity.TLS
    )
    username = models.CharField("user name", max_length=320)
    #: {"password": …}
    secrets = EncryptedJSONField(editable=False)
    folder = models.CharField(max_length=200, default="INBOX")
    #: Where mail goes that was fetched; empty: it is deleted.
    move_to = models.CharField("then move to", max_length=200, blank=True, default="")
    is_active = models.BooleanField("active", default=True)
    #: When it is read next; whoever reads it puts that off meanwhile.
    due_at = models.DateTimeField(editable=False)
    last_checked_at = models.DateTimeField("last checked", null=True, editable=False)
    last_error = models.CharField(max_length=500, blank=True, default="", editable=False)
    #: Since when every look at it failed.
    failing_since = models.DateTimeField(null=True, editable=False)
    #: Mails fetched ever.
    fetched_count = models.PositiveBigIntegerField("fetched", default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = BounceMailboxQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = "bounce mailbox"
        verbose_name_plural = "bounce mailboxes"
        constraints = [
            models.CheckConstraint(
                condition=Q(security__in=MailboxSecurity.values), name="inbound_mailbox_security"
            ),
            models.CheckConstraint(
                condition=Q(port__range=(1, 65_535)), name="inbound_mailbox_port"
            ),
        ]

    def __str__(self) -> str:
        return self.name
