"""Domains that mail is sent from, and what the DNS says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from accounts.models import User
from mailservice.core.ids import uuid7

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

MAX_DOMAIN_CHARS = 253


class DomainState(models.TextChoices):
    """What a check, or the worst of a domain's checks, has found."""

    PASS = "pass", "Pass"
    #: It works; something should be better.
    WARN = "warn", "Warning"
    #: Receivers will not trust mail from it.
    FAIL = "fail", "Fail"
    #: The DNS did not answer, or nobody has asked yet.
    UNKNOWN = "unknown", "Unknown"


class SenderDomainQuerySet(models.QuerySet["SenderDomain"]):
    """Questions about sender domains."""

    def visible_to(self, user_id: UUID) -> SenderDomainQuerySet:
        """Keep the user's own domains and the company's."""
        return self.filter(Q(owner__isnull=True) | Q(owner_id=user_id))

    def due(self, now: datetime) -> SenderDomainQuerySet:
        """Keep those to be checked again."""
        return self.filter(next_check_at__lte=now)


class SenderDomain(models.Model):
    """A domain that stands behind the @ of a From, and who sends for it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="sender_domains",
        db_index=False,
        help_text="Who sees it; empty for everybody.",
    )
    #: A-labels in lower case.
    domain = models.CharField(max_length=MAX_DOMAIN_CHARS)
    #: Kinds of providers that send for it, by the names of `Provider.kind`.
    providers = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    #: Names that its SPF record has to include beside those of the providers.
    spf_includes = ArrayField(
        models.CharField(max_length=MAX_DOMAIN_CHARS), default=list, blank=True
    )
    #: A list of {"selector", "type": "TXT|CNAME", "value", "provider"}: keys of our own, and what
    #: providers hand out per account; an empty value accepts any valid key.
    dkim = models.JSONField(default=list, blank=True)
    #: Where bounces go, if not to the domain itself; below it, mostly.
    return_path_domain = models.CharField(max_length=MAX_DOMAIN_CHARS, blank=True)
    #: Where the return path's CNAME has to lead, or empty.
    return_path_target = models.CharField(max_length=MAX_DOMAIN_CHARS, blank=True)
    state = models.CharField(max_length=7, choices=DomainState.choices, default=DomainState.UNKNOWN)
    #: Check results as `verification.domains.report` writes them.
    checks = models.JSONField(default=list)
    #: Kinds of providers whose mail was aligned (DMARC) when the DNS last told.
    aligned_providers = ArrayField(models.CharField(max_length=20), default=list)
    #: Those of them whose mail from domains below this one was aligned, too.
    aligned_below = ArrayField(models.CharField(max_length=20), default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    #: Also moved ahead by who takes the check, so that nobody else does.
    next_check_at = models.DateTimeField(db_index=True)
    #: Since when some check fails.
    failing_since = models.DateTimeField(null=True, blank=True)

    objects = SenderDomainQuerySet.as_manager()

    class Meta:
        ordering = ["domain"]
        constraints = [
            # One owner lists a domain once; several owners may share it.
            models.UniqueConstraint(fields=["owner", "domain"], name="verification_domain_once"),
            models.UniqueConstraint(
                fields=["domain"],
                condition=Q(owner__isnull=True),
                name="verification_domain_shared_once",
            ),
            models.CheckConstraint(
                condition=Q(state__in=DomainState.values), name="verification_domain_state"
            ),
        ]
        indexes = [
            # An owner's, newest first.
            models.Index(F("owner").asc(), F("id").desc(), name="verification_domain_owner"),
        ]

    def __str__(self) -> str:
        return self.domain
