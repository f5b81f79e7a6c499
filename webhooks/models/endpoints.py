"""Endpoints: who is told of what, and how it stands with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.models import User
from accounts.scopes import Scope
from mailservice.core.ids import uuid7
from mailservice.core.secrets import EncryptedJSONField

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from accounts.models import ApiKey

URL_CHARS = 2000
DESCRIPTION_CHARS = 200
REASON_CHARS = 300


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    """Questions about endpoints."""

    def visible_to(self, api_key: ApiKey) -> EndpointQuerySet:
        """Keep the key's user's own; those that hear of everybody's mail only for such keys."""
        own = self.filter(owner_id=api_key.user_id)
        return own if api_key.has_scope(Scope.EMAILS_ALL) else own.filter(reaches_all=False)

    def listening(self) -> EndpointQuerySet:
        """Keep those that are told of what happens."""
        return self.filter(is_active=True, owner__is_active=True)

    def wanting(self, kind: str, owner_id: UUID) -> EndpointQuerySet:
        """Keep those to be told of a thing of this kind that is this user's."""
        return self.listening().filter(
            Q(reaches_all=True) | Q(owner_id=owner_id), Q(kinds=[]) | Q(kinds__contains=[kind])
        )


class Endpoint(models.Model):
    """An address that is told of what happens, signed with its own secret."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="webhook_endpoints")
    url = models.CharField("URL", max_length=URL_CHARS)
    description = models.CharField(max_length=DESCRIPTION_CHARS, blank=True, default="")
    #: Of `webhooks.kinds`; empty for all.
    kinds = ArrayField(models.CharField(max_length=40), blank=True, default=list)
    reaches_all = models.BooleanField(
        "everybody's mail", default=False, help_text="Not only that of its user."
    )
    #: As `mailservice.core.signing` has it.
    secret = EncryptedJSONField(editable=False)
    #: Signs beside the present one until its time is over.
    previous_secret = EncryptedJSONField(null=True, editable=False)
    previous_secret_expires_at = models.DateTimeField(null=True, editable=False)
    is_active = models.BooleanField("active", default=True)
    disabled_at = models.DateTimeField(null=True, editable=False)
    disabled_reason = models.CharField(max_length=REASON_CHARS, blank=True, editable=False)
    #: The first failure since the last success, or since a day without any.
    failing_since = models.DateTimeField(null=True, editable=False)
    last_failed_at = models.DateTimeField(null=True, editable=False)
    #: Nothing is sent before: the receiver asked for it (Retry-After).
    paused_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "webhook endpoint"
        constraints = [
            # Who is off says since when.
            models.CheckConstraint(
                condition=Q(is_active=True, disabled_at__isnull=True)
                | Q(is_active=False, disabled_at__isnull=False),
                name="webhooks_endpoint_disabled",
            )
        ]

    def __str__(self) -> str:
        return self.url

    def wants(self, kind: str, owner_id: UUID) -> bool:
        """Tell whether it is to hear of a thing of this kind that is this user's."""
        kinds: Collection[str] = self.kinds
        return (not kinds or kind in kinds) and (self.reaches_all or self.owner_id == owner_id)
