"""Validation jobs, their chunks, and the operators' lists of domains.

A job of a million addresses is some thousand chunk rows: the addresses of a chunk and what was
found of them are JSON in one row each, so a chunk is claimed, finished and read as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Q

from accounts.models import ApiKey, User
from mailservice.core.ids import uuid7
from verification.validation import ListName

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class DomainEntry(models.Model):
    """What an operator says of a domain and those below it, over what the packages say."""

    domain = models.CharField(
        max_length=253, unique=True, help_text="Holds for its subdomains too: example.com."
    )
    list = models.CharField(
        max_length=10,
        choices=[
            (ListName.DISPOSABLE.value, "Disposable: gives out throw-away addresses"),
            (ListName.FREE.value, "Free provider: anybody can get an address"),
            (ListName.ALLOW.value, "Allowed: neither of both, and no misspelling"),
        ],
    )
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["domain"]
        verbose_name_plural = "domain entries"
        constraints = [
            # Look-ups compare lower-case A-labels.
            models.CheckConstraint(
                condition=Q(domain__regex=r"^[a-z0-9_-]+([.][a-z0-9_-]+)+$"),
                name="verification_domainentry_form",
            ),
            models.CheckConstraint(
                condition=Q(list__in=[each.value for each in ListName]),
                name="verification_domainentry_list",
            ),
        ]

    def __str__(self) -> str:
        return self.domain


class JobStatus(models.TextChoices):
    """Where a job is."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    FINISHED = "finished", "Finished"
    CANCELLED = "cancelled", "Cancelled"


#: Jobs that chunks are still taken from.
OPEN = (JobStatus.QUEUED, JobStatus.RUNNING)


class ValidationJobQuerySet(models.QuerySet["ValidationJob"]):
    """Questions about jobs."""

    def owned_by(self, user_id: UUID) -> ValidationJobQuerySet:
        """Keep one user's jobs."""
        return self.filter(owner_id=user_id)

    def open(self) -> ValidationJobQuerySet:
        """Keep those that are not over."""
        return self.filter(status__in=OPEN)

    def expired(self, now: datetime) -> ValidationJobQuerySet:
        """Keep those whose results may go."""
        return self.filter(expires_at__lte=now)


class ValidationJob(models.Model):
    """A list of addresses to be checked, and how far that is."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="validation_jobs")
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    name = models.CharField(max_length=255, blank=True)
    status = models.CharField(max_length=10, choices=JobStatus.choices, default=JobStatus.QUEUED)
    #: Whether mail servers may be asked about mailboxes.
    does_probe = models.BooleanField(default=False)
    total_count = models.PositiveIntegerField(default=0)
    done_count = models.PositiveIntegerField(default=0)
    valid_count = models.PositiveIntegerField(default=0)
    risky_count = models.PositiveIntegerField(default=0)
    invalid_count = models.PositiveIntegerField(default=0)
    unknown_count = models.PositiveIntegerField(default=0)
    #: What it has waited for DNS so far.
    dns_seconds = models.FloatField(default=0)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = ValidationJobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=JobStatus.values), name="verification_job_status"
            ),
            # No chunk counts twice.
            models.CheckConstraint(
                condition=Q(done_count__lte=F("total_count")), name="verification_job_done"
            ),
            models.CheckConstraint(
                condition=Q(
                    done_count=F("valid_count")
                    + F("risky_count")
                    + F("invalid_count")
                    + F("unknown_count")
                ),
                name="verification_job_sum",
            ),
        ]
        indexes = [
            # A user's list, newest first.
            models.Index(fields=["owner", "-id"], name="verification_job_owner"),
            # The purge.
            models.Index(
                fields=["expires_at"],
                name="verification_job_expires",
                condition=Q(expires_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name or str(self.pk)

    @property
    def is_open(self) -> bool:
        """Tell whether the job is not over."""
        return self.status in OPEN

    @property
    def percent(self) -> int:
        """Return how much is done, 0 to 100; 100 only if all of it is."""
        return self.done_count * 100 // self.total_count if self.total_count else 100


class ValidationChunk(models.Model):
    """Some addresses of a job: claimed under a lease, and done all at once."""

    job = models.ForeignKey(
        ValidationJob, on_delete=models.CASCADE, related_name="chunks", db_index=False
    )
    #: From 0, in the order of the list.
    number = models.PositiveIntegerField()
    addresses = models.JSONField()
    #: One packed result per address once it is done (`validation.packed`).
    results = models.JSONField(null=True)
    is_done = models.BooleanField(default=False)
    attempt_count = models.PositiveSmallIntegerField(default=0)
    lease_id = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["job", "number"]
        constraints = [
            # Also finds a job's chunks in order.
            models.UniqueConstraint(fields=["job", "number"], name="verification_chunk_once"),
            models.CheckConstraint(
                condition=Q(is_done=True, results__isnull=False)
                | Q(is_done=False, results__isnull=True),
                name="verification_chunk_results",
            ),
        ]
        indexes = [
            # The claim: every job's next chunk in turn, so that short jobs need not wait long.
            models.Index(
                fields=["number", "job"],
                name="verification_chunk_waiting",
                condition=Q(is_done=False),
            ),
            # How many workers are busy.
            models.Index(
                fields=["lease_until"],
                name="verification_chunk_leased",
                condition=Q(lease_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} #{self.number}"
