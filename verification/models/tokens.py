"""Verifications of addresses, and how an owner's look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from accounts.models import ApiKey, User
from mailservice.core.ids import uuid7

if TYPE_CHECKING:
    from datetime import datetime

MAX_APP_NAME_CHARS = 100
MAX_REDIRECT_CHARS = 500
MAX_REDIRECTS = 50


class VerificationState(models.TextChoices):
    """How far a verification has come; only a pending one moves."""

    PENDING = "pending", "Pending"
    #: Somebody with the link has pressed the button.
    CONFIRMED = "confirmed", "Confirmed"
    #: Nobody did in time.
    EXPIRED = "expired", "Expired"
    #: Called off by the application or an operator.
    CANCELLED = "cancelled", "Cancelled"
    #: A newer one for the same address took its place.
    SUPERSEDED = "superseded", "Superseded"


class VerificationQuerySet(models.QuerySet["Verification"]):
    """Questions about verifications, and the guarded steps out of the pending state."""

    def live(self, now: datetime) -> VerificationQuerySet:
        """Keep those whose link still works."""
        return self.filter(state=VerificationState.PENDING, expires_at__gt=now)

    def overdue(self, now: datetime) -> VerificationQuerySet:
        """Keep those still called pending whose time is over."""
        return self.filter(state=VerificationState.PENDING, expires_at__lte=now)

    def confirmed_since(self, moment: datetime) -> VerificationQuerySet:
        """Keep those confirmed at that moment or later."""
        return self.filter(state=VerificationState.CONFIRMED, ended_at__gte=moment)

    def in_state(self, state: str, now: datetime) -> VerificationQuerySet:
        """Keep those that are in a state at `now`, whether or not the row has heard of it."""
        if state == VerificationState.PENDING:
            return self.live(now)
        if state == VerificationState.EXPIRED:
            over = Q(state=VerificationState.PENDING, expires_at__lte=now)
            return self.filter(Q(state=state) | over)
        return self.filter(state=state)

    def leave_pending(self, state: VerificationState, now: datetime) -> int:
        """End those that are pending; return how many were."""
        return self.filter(state=VerificationState.PENDING).update(state=state, ended_at=now)


class Verification(models.Model):
    """One request to prove that somebody reads the mail of an address."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="verifications", db_index=False
    )
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    is_test = models.BooleanField(default=False)
    #: As mail is sent to it.
    email = models.CharField(max_length=320)
    #: In normal form, for look-up and limits.
    address = models.CharField(max_length=320)
    state = models.CharField(
        max_length=10, choices=VerificationState.choices, default=VerificationState.PENDING
    )
    #: SHA-256 of the link's secret; the secret itself is in the mail only.
    token_hash = models.BinaryField(max_length=32, editable=False)
    #: Language tag, or empty.
    locale = models.CharField(max_length=35, blank=True)
    #: Of the owner's own mail, or empty for the built-in one.
    template = models.CharField(max_length=200, blank=True)
    redirect_url = models.CharField(max_length=2000, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    lifetime_seconds = models.PositiveIntegerField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    #: When it was confirmed, cancelled, superseded or found expired.
    ended_at = models.DateTimeField(null=True, blank=True)
    #: When mails went out for it, oldest first.
    mailed_at = ArrayField(models.DateTimeField(), default=list)
    #: The last of them: the limit per address counts by it.
    last_mail_at = models.DateTimeField()

    objects = VerificationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            # The link leads to one row; looked up by hash alone, so timing tells nothing.
            models.UniqueConstraint(fields=["token_hash"], name="verification_token_once"),
            # A new request voids the one before.
            models.UniqueConstraint(
                fields=["owner", "address", "is_test"],
                condition=Q(state=VerificationState.PENDING),
                name="verification_pending_once",
            ),
            models.CheckConstraint(
                condition=Q(state__in=VerificationState.values), name="verification_state"
            ),
        ]
        indexes = [
            # An owner's, newest first.
            models.Index(F("owner").asc(), F("id").desc(), name="verification_owner"),
            # "Was this address verified?", and the limit per address.
            models.Index(fields=["address", "last_mail_at"], name="verification_address"),
            # Housekeeping: what is over without anybody having come by.
            models.Index(
                fields=["expires_at"],
                condition=Q(state=VerificationState.PENDING),
                name="verification_overdue",
            ),
        ]

    def __str__(self) -> str:
        return self.email

    def state_at(self, now: datetime) -> VerificationState:
        """Return the state at `now`: nobody writes down the moment in which a link expires."""
        if self.state == VerificationState.PENDING and self.expires_at <= now:
            return VerificationState.EXPIRED
        return VerificationState(self.state)


class VerificationProfile(models.Model):
    """How verifications of one owner look, and where they may lead."""

    owner = models.OneToOneField(
        User, on_delete=models.CASCADE, primary_key=True, related_name="verification_profile"
    )
    app_name = models.CharField(
        "name of the application",
        max_length=MAX_APP_NAME_CHARS,
        blank=True,
        help_text="Who asks, in mails and on pages; empty for the owner's name.",
    )
    from_email = models.CharField(
        "From address",
        max_length=320,
        blank=True,
        help_text="Empty for that of the account which sends.",
    )
    template = models.SlugField(
        max_length=100,
        blank=True,
        help_text="Of the owner's own mail, for requests that name none; empty for the built-in "
        "mail, which speaks six languages.",
    )
    #: Origins with path prefixes, such as `https://app.example.com/welcome`.
    redirects = ArrayField(
        models.CharField(max_length=MAX_REDIRECT_CHARS),
        default=list,
        blank=True,
        help_text="Pages that may come after a confirmation, such as "
        "https://app.example.com/welcome: this path and all below it.",
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "verification settings"
        verbose_name_plural = "verification settings"

    def __str__(self) -> str:
        return f"{self.owner}"
