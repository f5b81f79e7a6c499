"""What accounts have used of their quotas, how they do, and whether their breakers are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from providers.models.accounts import Provider

if TYPE_CHECKING:
    from datetime import datetime


class ProviderUsage(models.Model):
    """How much of its quotas an account has used: one row each, changed by guarded statements only.

    A count belongs to the window that began at `*_start`; an older window reads as zero, so no
    reset has to run. Days and months are those of `time_zone`: see `zones`. `reserved` is what
    workers may still send under reservations they hold.
    """

    provider = models.OneToOneField(
        Provider, on_delete=models.CASCADE, primary_key=True, related_name="usage"
    )
    time_zone = models.CharField(max_length=64, default="UTC")
    hour_start = models.DateTimeField()
    hour_count = models.PositiveIntegerField(default=0)
    day_start = models.DateTimeField()
    day_count = models.PositiveIntegerField(default=0)
    month_start = models.DateTimeField()
    month_count = models.PositiveIntegerField(default=0)
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

    def month_count_at(self, window_start: datetime) -> int:
        """Return the count of the month that began at `window_start`."""
        return self.month_count if self.month_start == window_start else 0


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


class BreakerState(models.TextChoices):
    """How far an account's circuit breaker lets mail pass."""

    CLOSED = "closed", "Closed: mail passes"
    OPEN = "open", "Open: no mail passes before `retry_at`, then one"
    #: A worker that does not tell how it went loses its turn at `retry_at`.
    HALF_OPEN = "half_open", "Half-open: one mail is on its way to see"


class ProviderHealth(models.Model):
    """The circuit breaker of an account that has failed at least once; see `providers.health`.

    Changed by guarded statements only. `retry_at` is the database server's time.
    """

    provider = models.OneToOneField(
        Provider, on_delete=models.CASCADE, primary_key=True, related_name="health"
    )
    state = models.CharField(
        max_length=10, choices=BreakerState.choices, default=BreakerState.CLOSED
    )
    #: Why it opened last, a `Reason`, and what the account said.
    reason = models.CharField(max_length=20, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    #: When it opened, or closed again.
    since = models.DateTimeField()
    retry_at = models.DateTimeField(null=True)
    #: How often in a row it has failed.
    failures = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "provider health"
        constraints = [
            models.CheckConstraint(
                condition=Q(state=BreakerState.CLOSED)
                | Q(state__in=[BreakerState.OPEN, BreakerState.HALF_OPEN], retry_at__isnull=False),
                name="providers_health_retry",
            )
        ]

    def __str__(self) -> str:
        return f"health of {self.provider_id}: {self.state}"


class ProviderMinute(models.Model):
    """What became of the mails an account was offered within one minute; see `providers.figures`.

    Rows are added up, never corrected, and deleted after 90 days.
    """

    pk = models.CompositePrimaryKey("provider_id", "minute")
    provider = models.ForeignKey(
        Provider, on_delete=models.CASCADE, related_name="minutes", db_index=False
    )
    #: When it began, by the recording worker's clock.
    minute = models.DateTimeField()
    accepted = models.PositiveIntegerField(default=0)
    deferred = models.PositiveIntegerField(default=0)
    #: For good, on account of the recipient.
    rejected = models.PositiveIntegerField(default=0)
    unknown = models.PositiveIntegerField(default=0)
    #: The account refused us, not the mail.
    faults = models.PositiveIntegerField(default=0)
    #: It refused the mail for what it holds or who sends it, or the recipient's side did so.
    refused = models.PositiveIntegerField(default=0)
    #: Recipients of the accepted: rates of what comes back are of these.
    accepted_mails = models.PositiveIntegerField(default=0)
    # What came back later, by recipient and by the minute in which it was told.
    delivered = models.PositiveIntegerField(default=0, db_default=0)
    #: For good, on account of the recipient.
    bounced = models.PositiveIntegerField(default=0, db_default=0)
    complained = models.PositiveIntegerField(default=0, db_default=0)
    #: On account of the account: its reputation, its authentication, its pace.
    blocked = models.PositiveIntegerField(default=0, db_default=0)
    #: How many accepted mails took how long: see `figures.BUCKETS`.
    latency = ArrayField(models.IntegerField())

    class Meta:
        indexes = [
            # What was in the last hour, over all accounts; what is older than 90 days.
            models.Index(fields=["minute"], name="providers_minute_minute")
        ]

    def __str__(self) -> str:
        return f"{self.provider_id} at {self.minute}"
