"""How fast mail may go to recipient domains: limits that operators set, and domains slowed down."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from mailservice.core.ids import uuid7
from providers.models.accounts import Provider


class DomainLimit(models.Model):
    """Mails per second to a recipient domain, over all workers; see `providers.domain_limits`.

    Where several are for the same mail, the account's own go before those without an account, and
    the closest pattern counts: `example.com`, then `*.example.com`, then `*.com`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.ForeignKey(
        Provider,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="domain_limits",
        verbose_name="account",
        help_text="Empty: for every account, each by itself.",
    )
    pattern = models.CharField(
        "recipient domain",
        max_length=255,
        help_text="example.com, or *.example.com for all below it together.",
    )
    rate_per_second = models.FloatField(
        "mails per second", help_text="Over all workers, such as 10 or 0.5."
    )
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["pattern", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(rate_per_second__gt=0), name="providers_domainlimit_rate"
            ),
            # Two for the same mail would leave open which one counts.
            models.UniqueConstraint(
                fields=["provider", "pattern"], name="providers_domainlimit_once"
            ),
            models.UniqueConstraint(
                fields=["pattern"],
                condition=Q(provider__isnull=True),
                name="providers_domainlimit_shared_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rate_per_second:g}/s to {self.pattern}"


class DomainSlowdownQuerySet(models.QuerySet["DomainSlowdown"]):
    """Questions about slow-downs."""

    def under_way(self) -> DomainSlowdownQuerySet:
        """Keep those that have not recovered, by the database's clock."""
        return self.filter(recovered_at__gt=Now())


class DomainSlowdown(models.Model):
    """A recipient domain that puts off what one account sends it; see `providers.throttles`.

    Written by guarded statements when mail is put off, never when it is taken. Times are the
    database server's.
    """

    provider = models.ForeignKey(
        Provider, on_delete=models.CASCADE, related_name="slowdowns", db_index=False
    )
    #: In wire form.
    domain = models.CharField(max_length=255)
    #: Signals so far, counted again from one once it has recovered.
    failures = models.PositiveSmallIntegerField(default=1)
    #: When the first of these signals came.
    since = models.DateTimeField()
    closed_until = models.DateTimeField()
    #: From then on, if no signal comes, it is as if the row were not there.
    recovered_at = models.DateTimeField()
    #: What was said last.
    detail = models.CharField(max_length=500, blank=True)

    objects = DomainSlowdownQuerySet.as_manager()

    class Meta:
        constraints = [
            # One per account and domain: a further signal moves it.
            models.UniqueConstraint(fields=["provider", "domain"], name="providers_slowdown_once"),
            models.CheckConstraint(
                condition=Q(failures__gte=1, recovered_at__gte=F("closed_until")),
                name="providers_slowdown_order",
            ),
        ]
        indexes = [
            # What has not recovered, looked for every second; what has, to be deleted.
            models.Index(fields=["recovered_at"], name="providers_slowdown_recovered")
        ]

    def __str__(self) -> str:
        return f"{self.domain} at {self.provider_id}"
