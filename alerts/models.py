"""Alerts, the channels that tell of them, and what each channel was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from mailservice.core.ids import uuid7
from mailservice.core.secrets import EncryptedJSONField

if TYPE_CHECKING:
    from collections.abc import Iterable

KIND_CHARS, SUBJECT_CHARS, TITLE_CHARS, DETAIL_CHARS, LINK_CHARS = 60, 100, 200, 1000, 300
ERROR_CHARS = 500


class Severity(models.TextChoices):
    """How grave it is."""

    WARNING = "warning", "Warning"
    CRITICAL = "critical", "Critical"


#: Of a severity and all above it.
AT_LEAST = {
    Severity.WARNING: frozenset(Severity),
    Severity.CRITICAL: frozenset({Severity.CRITICAL}),
}


def is_graver(one: str, other: str) -> bool:
    """Tell whether one severity is above another."""
    return one == Severity.CRITICAL and other == Severity.WARNING


class AlertQuerySet(models.QuerySet["Alert"]):
    """Questions about alerts."""

    def open(self) -> AlertQuerySet:
        """Keep what is not over."""
        return self.filter(closed_at__isnull=True)

    def of_kinds(self, kinds: Iterable[str]) -> AlertQuerySet:
        """Keep what is of one of these kinds."""
        return self.filter(kind__in=list(kinds))


class Alert(models.Model):
    """Something that a person should know, from when it began until it is over.

    Written by `alerts.services` only. One that comes back soon after it was over goes on in its
    row.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    #: Words joined by dots, such as `provider.down`.
    kind = models.CharField(max_length=KIND_CHARS)
    #: What it is about, such as a provider's id.
    subject = models.CharField(max_length=SUBJECT_CHARS, blank=True)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    title = models.CharField(max_length=TITLE_CHARS)
    detail = models.CharField(max_length=DETAIL_CHARS, blank=True)
    #: Where to look in the admin: a path from the root of this service.
    link = models.CharField(max_length=LINK_CHARS, blank=True)
    opened_at = models.DateTimeField()
    #: When it was last reported.
    last_at = models.DateTimeField()
    #: How often it was reported.
    count = models.PositiveIntegerField(default=1)
    closed_at = models.DateTimeField(null=True)
    #: How it ended.
    closing = models.CharField(max_length=DETAIL_CHARS, blank=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = [F("closed_at").desc(nulls_first=True), "-last_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(severity__in=Severity.values), name="alerts_alert_severity"
            ),
            # One thing is told once, however many processes see it.
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(closed_at__isnull=True),
                name="alerts_alert_open_once",
            ),
        ]
        indexes = [
            # The last alert about the same.
            models.Index(fields=["kind", "subject", "-opened_at"], name="alerts_alert_latest"),
            # What was over long ago is deleted.
            models.Index(fields=["closed_at"], name="alerts_alert_closed"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_open(self) -> bool:
        """True while it is not over."""
        return self.closed_at is None


class ChannelKind(models.TextChoices):
    """How a channel tells."""

    MAIL = "mail", "Mail"
    SLACK = "slack", "Slack, Mattermost or alike"
    WEBHOOK = "webhook", "Webhook"


class Channel(models.Model):
    """Somebody who is told of alerts: mail addresses, a chat, or a machine."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=10, choices=ChannelKind.choices)
    addresses = ArrayField(
        models.CharField(max_length=320), default=list, blank=True, help_text="Who gets the mail."
    )
    #: `url` of a chat or webhook; `signing_secret` of a webhook.
    secrets = EncryptedJSONField(null=True, blank=True, editable=False)
    min_severity = models.CharField(
        "from severity", max_length=10, choices=Severity.choices, default=Severity.WARNING
    )
    kinds = ArrayField(
        models.CharField(max_length=KIND_CHARS),
        default=list,
        blank=True,
        help_text="Only alerts whose kind begins so, such as provider.down, or provider. for all "
        "of providers; empty for all.",
    )
    tells_closing = models.BooleanField(
        "tells the end", default=True, help_text="Also tells when an alert is over."
    )
    is_active = models.BooleanField("active", default=True)
    #: A worker has it until then; the database server's time.
    busy_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "alert channel"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=ChannelKind.values), name="alerts_channel_kind"
            ),
            models.CheckConstraint(
                condition=Q(min_severity__in=Severity.values), name="alerts_channel_severity"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def takes(self, kind: str, severity: str) -> bool:
        """Tell whether it is told of such alerts."""
        is_wanted = not self.kinds or any(kind.startswith(prefix) for prefix in self.kinds)
        return self.is_active and is_wanted and severity in AT_LEAST[Severity(self.min_severity)]


class News(models.TextChoices):
    """What there is to tell about an alert."""

    OPENED = "opened", "Opened"
    REMINDER = "reminder", "Again, or graver"
    CLOSED = "closed", "Over"


class Telling(models.TextChoices):
    """How far the telling is."""

    PENDING = "pending", "Waiting"
    SENT = "sent", "Told"
    FAILED = "failed", "Failed: given up"
    DROPPED = "dropped", "Not told: overtaken by events"


class Notification(models.Model):
    """What one channel is to be told of one alert, and how that goes; see `alerts.queue`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="notifications")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="notifications")
    event = models.CharField(max_length=10, choices=News.choices)
    state = models.CharField(max_length=10, choices=Telling.choices, default=Telling.PENDING)
    #: Changes when it is asked for again before it was told: what was on its way then does not
    #: count as telling it.
    asked_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    told_at = models.DateTimeField(null=True)
    #: Told as one of many; see `alerts.queue`.
    in_summary = models.BooleanField(default=False)
    last_error = models.CharField(max_length=ERROR_CHARS, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=Telling.values), name="alerts_notification_state"
            ),
            models.CheckConstraint(
                condition=Q(told_at__isnull=False) | ~Q(state=Telling.SENT),
                name="alerts_notification_told",
            ),
            # Asked for twice before it was told, it is told once.
            models.UniqueConstraint(
                fields=["alert", "channel", "event"],
                condition=Q(state=Telling.PENDING),
                name="alerts_notification_pending_once",
            ),
        ]
        indexes = [
            # What a channel is to be told now.
            models.Index(
                fields=["channel", "due_at"],
                condition=Q(state=Telling.PENDING),
                name="alerts_notification_due",
            ),
            # How much a channel was told in the last hour.
            models.Index(
                fields=["channel", "told_at"],
                condition=Q(state=Telling.SENT),
                name="alerts_notification_sent",
            ),
            # How much it could not be told.
            models.Index(
                fields=["channel"],
                condition=Q(state=Telling.FAILED),
                name="alerts_notification_failed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.channel_id}"
