"""What mail costs: the ledger, and what may be spent."""

from __future__ import annotations

from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce

from accounts.models import ApiKey, User
from mailservice.core.ids import uuid7
from providers.models.accounts import Provider

#: Stands for "no key" where the database tells ledger rows apart.
NO_KEY = UUID(int=0)


class CostDay(models.Model):
    """The ledger: what one kind of mail came to at one account on one day.

    Rows are added to by the transaction that records the mails, never corrected. Their sum over a
    month is what the account's price list says for that many mails.
    """

    provider = models.ForeignKey(
        Provider, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    #: In the account's time zone, as its price list counts months.
    day = models.DateField()
    owner = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    api_key = models.ForeignKey(
        ApiKey,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    email_type = models.CharField(max_length=40)
    messages = models.PositiveIntegerField(default=0)
    #: As billed: one per recipient that the provider took, or may have taken.
    mails = models.PositiveIntegerField(default=0)
    #: Billionths of the currency unit, without monthly fees.
    nanos = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name = "cost of a day"
        verbose_name_plural = "costs"
        ordering = ["-day", "provider_id"]
        constraints = [
            # Where a batch is added; days first, since every report is for some days.
            models.UniqueConstraint(
                F("day"),
                F("provider"),
                F("owner"),
                F("email_type"),
                Coalesce(F("api_key"), Value(NO_KEY)),
                name="providers_costday_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider_id} on {self.day}"


class Budget(models.Model):
    """What may be spent in a calendar month, on all mail or some; it warns, it does not stop."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    amount = models.DecimalField(
        max_digits=14,
        decimal_places=2,
        validators=[MinValueValidator(0.01)],
        help_text="Per calendar month, monthly fees of the accounts included.",
    )
    provider = models.ForeignKey(
        Provider,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="budgets",
        help_text="Only what this account costs; empty for all.",
    )
    api_key = models.ForeignKey(
        ApiKey,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name="API key",
        help_text="Only mail sent with this key; empty for all.",
    )
    email_type = models.CharField(
        max_length=40, blank=True, help_text="Only mail of this type; empty for all."
    )
    warn_percents = ArrayField(
        models.PositiveSmallIntegerField(
            validators=[MinValueValidator(1), MaxValueValidator(1000)]
        ),
        default=list,
        blank=True,
        verbose_name="warn at",
        help_text="Percent of the amount, such as 50, 80, 100; empty for 80 and 100.",
    )
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="providers_budget_amount")
        ]

    def __str__(self) -> str:
        return self.name
