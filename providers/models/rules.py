"""Routing rules, their targets, and the explanations of what was chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q

from accounts.models import User
from mailservice.core.ids import uuid7
from providers.models.accounts import Provider
from providers.routing import Strategy

if TYPE_CHECKING:
    from uuid import UUID


class RoutingRuleQuerySet(models.QuerySet["RoutingRule"]):
    """Questions about rules."""

    def readable_by(self, user_id: UUID) -> RoutingRuleQuerySet:
        """Keep the user's own rules and everybody's."""
        return self.filter(Q(owner__isnull=True) | Q(owner_id=user_id))


class RoutingRule(models.Model):
    """Which accounts may take which mail, and how one of them is chosen.

    The first active rule that is for a message counts, by position, then id. A condition that is
    empty is met by all mail; those that are not must all be met.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="routing_rules",
        help_text="Whose mail it is for; empty for everybody's.",
    )
    name = models.CharField(max_length=100)
    position = models.PositiveSmallIntegerField(
        default=100, help_text="The lowest counts if several rules are for the same mail."
    )
    is_active = models.BooleanField("active", default=True)
    email_types = ArrayField(
        models.CharField(max_length=40), default=list, blank=True, help_text="One of these."
    )
    sender_domains = ArrayField(
        models.CharField(max_length=255),
        default=list,
        blank=True,
        help_text="The From address is in one of these: example.com or *.example.com.",
    )
    recipient_domains = ArrayField(
        models.CharField(max_length=255),
        default=list,
        blank=True,
        help_text="All recipients are in these: example.com or *.example.com.",
    )
    tags = ArrayField(
        models.CharField(max_length=64),
        default=list,
        blank=True,
        help_text="The mail carries one of these.",
    )
    api_key_ids = ArrayField(
        models.UUIDField(),
        default=list,
        blank=True,
        verbose_name="API keys",
        help_text="The mail was sent with one of these.",
    )
    strategy = models.CharField(
        max_length=20,
        choices=[(strategy.value, strategy.label) for strategy in Strategy],
        default=Strategy.FIXED_ORDER.value,
    )
    is_exclusive = models.BooleanField(
        "only these targets",
        default=True,
        help_text="While all targets are closed, the mail waits rather than go through another "
        "account: what compliance mostly asks for. Off: the usual order of accounts follows.",
    )
    cost_weight = models.PositiveSmallIntegerField(
        default=1, validators=[MaxValueValidator(100)], help_text="For “balanced” only."
    )
    reliability_weight = models.PositiveSmallIntegerField(
        default=1, validators=[MaxValueValidator(100)], help_text="For “balanced” only."
    )
    latency_weight = models.PositiveSmallIntegerField(
        "speed weight",
        default=1,
        validators=[MaxValueValidator(100)],
        help_text="For “balanced” only.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = RoutingRuleQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(strategy__in=[strategy.value for strategy in Strategy]),
                name="providers_routingrule_strategy",
            ),
            # A name tells an owner's rules apart in explanations.
            models.UniqueConstraint(fields=["owner", "name"], name="providers_routingrule_once"),
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(owner__isnull=True),
                name="providers_routingrule_shared_once",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class RoutingTarget(models.Model):
    """An account that a rule names: the first is its default, the others are fallbacks."""

    rule = models.ForeignKey(RoutingRule, on_delete=models.CASCADE, related_name="targets")
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="routing_targets")
    position = models.PositiveSmallIntegerField()
    weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[MaxValueValidator(1000)],
        help_text="Its part of a weighted split; 0: only if no other is open.",
    )

    class Meta:
        ordering = ["position"]
        constraints = [
            # An account has one place in a rule, and a place one account.
            models.UniqueConstraint(fields=["rule", "provider"], name="providers_target_once"),
            models.UniqueConstraint(fields=["rule", "position"], name="providers_target_position"),
        ]

    def __str__(self) -> str:
        return str(self.provider)


class RoutingDecision(models.Model):
    """Why a provider was chosen; equal explanations are stored once, under their hash."""

    #: The first 16 bytes of SHA-256 of the canonical JSON.
    id = models.UUIDField(primary_key=True, editable=False)
    body = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.id)
