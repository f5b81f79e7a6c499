"""Classes of mail, with their lanes and their patience."""

from __future__ import annotations

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from delivery.retries import RetryPolicy
from delivery.states import Lane


class UnknownPolicy(models.TextChoices):
    """What becomes of a message whose provider fell silent after taking the data."""

    PARK = "park", "Wait for a provider event or an operator: never twice"
    RESEND = "resend", "Send again after a while: rather twice than never"


class EmailType(models.Model):
    """A class of mail with its lane, default priority and patience."""

    name = models.SlugField(max_length=40, primary_key=True)
    lane = models.PositiveSmallIntegerField(choices=Lane.choices, default=Lane.TRANSACTIONAL)
    priority = models.PositiveSmallIntegerField(
        default=3,
        validators=[MinValueValidator(1), MaxValueValidator(5)],
        help_text="1 is highest; for messages that name none.",
    )
    unknown_policy = models.CharField(
        max_length=10, choices=UnknownPolicy.choices, default=UnknownPolicy.PARK
    )
    retry_first_seconds = models.PositiveIntegerField(
        default=60, help_text="Wait before the second attempt; doubles with each."
    )
    retry_max_seconds = models.PositiveIntegerField(default=4 * 3600)
    retry_give_up_seconds = models.PositiveIntegerField(
        default=48 * 3600, help_text="After so long a temporary failure becomes final."
    )
    max_attempts = models.PositiveSmallIntegerField(default=30, validators=[MinValueValidator(1)])
    is_marketing = models.BooleanField(
        "marketing",
        default=False,
        help_text="Recipients may unsubscribe: each gets a mail of their own with the headers of "
        "RFC 8058.",
    )
    title = models.CharField(
        max_length=100, blank=True, help_text="What recipients read on the preference page."
    )
    description = models.CharField(max_length=300, blank=True, help_text="The same, in a sentence.")
    track_opens = models.BooleanField(
        default=False, help_text="For messages that do not say; see the page on tracking."
    )
    track_clicks = models.BooleanField(default=False)

    class Meta:
        ordering = ["name"]
        verbose_name = "email type"
        constraints = [
            models.CheckConstraint(
                condition=Q(priority__range=(1, 5)), name="delivery_emailtype_priority"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a longest wait below the first."""
        first, longest = self.retry_first_seconds, self.retry_max_seconds
        # A field whose own value was refused has none.
        if None not in (first, longest) and longest < first:
            raise ValidationError({"retry_max_seconds": "At least as long as the first wait."})

    @property
    def retry_policy(self) -> RetryPolicy:
        """Return the type's patience as plain data."""
        return RetryPolicy(
            first=timedelta(seconds=self.retry_first_seconds),
            maximum=timedelta(seconds=self.retry_max_seconds),
            give_up_after=timedelta(seconds=self.retry_give_up_seconds),
            max_attempts=self.max_attempts,
            resends_unknown=self.unknown_policy == UnknownPolicy.RESEND,
        )
