"""Provider accounts, what they have sent, and the built-in inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from accounts.models import User
from mailservice.core.ids import uuid7
from mailservice.core.secrets import EncryptedJSONField

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class ProviderKind(models.TextChoices):
    """How an account sends."""

    SMTP = "smtp", "SMTP account"
    INBOX = "inbox", "Local inbox (keeps mail here, for development)"
    SIMULATOR = "simulator", "Simulator (scripted faults)"


class ProviderQuerySet(models.QuerySet["Provider"]):
    """Questions about providers."""

    def usable_by(self, user_id: UUID) -> ProviderQuerySet:
        """Keep the user's own accounts and the company's."""
        return self.filter(Q(owner__isnull=True) | Q(owner_id=user_id))


class Provider(models.Model):
    """One configured account at an email provider, an SMTP account included."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="providers",
        help_text="Whose mail may use it; empty for everybody's.",
    )
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=ProviderKind.choices, default=ProviderKind.SMTP)
    from_email = models.CharField(
        "From address", max_length=320, blank=True, help_text="For mail that names no From."
    )
    from_name = models.CharField("From name", max_length=200, blank=True)
    settings = models.JSONField(default=dict, blank=True)
    secrets = EncryptedJSONField(null=True, blank=True, editable=False)
    is_active = models.BooleanField("active", default=True)
    position = models.PositiveSmallIntegerField(
        default=100, help_text="Lower is tried first among the accounts that may take a mail."
    )
    hourly_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Mails per clock hour; empty for no limit."
    )
    daily_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Mails per day in the account's time zone; empty for no limit.",
    )
    time_zone = models.CharField(max_length=64, default="UTC", help_text="In which its days begin.")
    max_connections = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(1)], help_text="Open at once, per worker process."
    )
    max_messages_per_connection = models.PositiveIntegerField(
        default=0, help_text="A connection is renewed after so many mails; 0 for no cap."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ProviderQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(max_connections__gte=1), name="providers_provider_some_connection"
            ),
            # A name tells an owner's accounts apart in lists and errors.
            models.UniqueConstraint(fields=["owner", "name"], name="providers_provider_name_once"),
            # NULLS NOT DISTINCT would say it in one, but needs PostgreSQL 15.
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(owner__isnull=True),
                name="providers_provider_shared_name_once",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def has_limits(self) -> bool:
        """True if mails must be reserved before they are sent."""
        return self.hourly_limit is not None or self.daily_limit is not None


class ProviderUsage(models.Model):
    """How much of its quotas an account has used: one row each, changed by guarded statements only.

    A count belongs to the window that began at `*_start`; an older window reads as zero, so no
    reset has to run. `reserved` is what workers may still send under reservations they hold.
    """

    provider = models.OneToOneField(
        Provider, on_delete=models.CASCADE, primary_key=True, related_name="usage"
    )
    hour_start = models.DateTimeField()
    hour_count = models.PositiveIntegerField(default=0)
    day_start = models.DateTimeField()
    day_count = models.PositiveIntegerField(default=0)
    total_count = models.PositiveBigIntegerField(default=0)
    reserved = models.PositiveIntegerField(default=0)
    last_sent_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "provider usage"

    def __str__(self) -> str:
        return f"usage of {self.provider_id}"

    def hour_count_at(self, window_start: datetime) -> int:
        """Return the count of the hour that began at `window_start`."""
        return self.hour_count if self.hour_start == window_start else 0

    def day_count_at(self, window_start: datetime) -> int:
        """Return the count of the day that began at `window_start`."""
        return self.day_count if self.day_start == window_start else 0


class Reservation(models.Model):
    """What one worker's lease may still send at one account."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="reservations")
    #: The delivery lease that holds it; when that expires, the sweeper settles the rest.
    lease_id = models.UUIDField(db_index=True)
    count = models.PositiveIntegerField()

    class Meta:
        constraints = [
            # One counter per worker and account: reserving again adds to it.
            models.UniqueConstraint(
                fields=["provider", "lease_id"], name="providers_reservation_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.count} at {self.provider_id}"


class RoutingDecision(models.Model):
    """Why a provider was chosen; equal explanations are stored once, under their hash."""

    #: The first 16 bytes of SHA-256 of the canonical JSON.
    id = models.UUIDField(primary_key=True, editable=False)
    body = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.id)


class InboxMail(models.Model):
    """A mail that an inbox account received instead of sending it on."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="inbox")
    #: The message it came from: a repeated attempt is the same mail.
    message_id = models.UUIDField()
    return_path = models.CharField(max_length=320, blank=True)
    recipients = models.JSONField(default=list)
    sender = models.CharField(max_length=500)
    subject = models.CharField(max_length=998, blank=True)
    data = models.BinaryField()
    size_bytes = models.PositiveIntegerField()
    received_at = models.DateTimeField()
    is_read = models.BooleanField(default=False)

    class Meta:
        verbose_name = "inbox mail"
        verbose_name_plural = "local inbox"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "message_id"], name="providers_inboxmail_once"
            )
        ]

    def __str__(self) -> str:
        return self.subject or "(no subject)"
