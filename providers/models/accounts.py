"""Provider accounts: how they send, what they take, and what bounds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from accounts.models import User
from mailservice.core.ids import uuid7
from mailservice.core.secrets import EncryptedJSONField
from providers.pricing import Pricing, read_tiers

if TYPE_CHECKING:
    from uuid import UUID

#: The largest part of its limits, in percent, that an account may keep for priority 1.
MAX_PRIORITY_RESERVE = 50


class ProviderKind(models.TextChoices):
    """How an account sends."""

    SMTP = "smtp", "SMTP account"
    INBOX = "inbox", "Local inbox (keeps mail here, for development)"
    SIMULATOR = "simulator", "Simulator (scripted faults)"
    AMAZON_SES = "amazon_ses", "Amazon SES"
    BREVO = "brevo", "Brevo"
    MAILERSEND = "mailersend", "MailerSend"
    MAILGUN = "mailgun", "Mailgun"
    MAILJET = "mailjet", "Mailjet"
    MAILTRAP = "mailtrap", "Mailtrap"
    MANDRILL = "mandrill", "Mailchimp Transactional (Mandrill)"
    POSTAL = "postal", "Postal"
    POSTMARK = "postmark", "Postmark"
    RESEND = "resend", "Resend"
    SCALEWAY = "scaleway", "Scaleway TEM"
    SENDGRID = "sendgrid", "SendGrid"
    SPARKPOST = "sparkpost", "SparkPost"
    UNISENDER_GO = "unisender_go", "Unisender Go"


class ProviderQuerySet(models.QuerySet["Provider"]):
    """Questions about providers."""

    def usable_by(self, user_id: UUID) -> ProviderQuerySet:
        """Keep the user's own accounts and the company's."""
        return self.filter(Q(owner__isnull=True) | Q(owner_id=user_id))


class Provider(models.Model):
    """One configured account at an email provider, an SMTP account included."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="providers",
        help_text="Whose mail may use it; empty for everybody's.",
    )
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=ProviderKind.choices, default=ProviderKind.SMTP)
    from_email = models.CharField(
        "From address", max_length=320, blank=True, help_text="For mail that names no From."
    )
    from_name = models.CharField("From name", max_length=200, blank=True)
    return_path = models.CharField(
        max_length=254,
        blank=True,
        help_text="Where mail that cannot be delivered comes back: bounces@example.com, to which a "
        "signed +token is added, or @bounces.example.com for a whole domain; empty for the From "
        "address.",
    )
    settings = models.JSONField(default=dict, blank=True)
    secrets = EncryptedJSONField(null=True, blank=True, editable=False)
    is_active = models.BooleanField("active", default=True)
    position = models.PositiveSmallIntegerField(
        default=100, help_text="Lower is tried first among the accounts that may take a mail."
    )
    hourly_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Mails (recipients) per clock hour; empty for no limit."
    )
    daily_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Mails (recipients) per day in the account's time zone; empty for no limit.",
    )
    monthly_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Mails (recipients) per calendar month in the account's time zone; empty for no "
        "limit.",
    )
    priority_reserve = models.PositiveSmallIntegerField(
        "kept for priority 1",
        default=5,
        validators=[MaxValueValidator(MAX_PRIORITY_RESERVE)],
        help_text="Percent of every limit that only mail of priority 1 may use.",
    )
    warm_up = models.JSONField(
        "warm-up plan",
        null=True,
        blank=True,
        help_text="Mails (recipients) per day while the account is new, such as "
        '{"starts_on": "2026-03-01", "daily": [50, 100, 200]}; empty for none.',
    )
    rate_per_second = models.FloatField(
        null=True,
        blank=True,
        help_text="Messages per second over all workers, such as 14 or 0.5; empty for no limit.",
    )
    time_zone = models.CharField(max_length=64, default="UTC", help_text="In which its days begin.")
    max_connections = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(1)], help_text="Open at once, over all workers."
    )
    max_messages_per_connection = models.PositiveIntegerField(
        default=0, help_text="A connection is renewed after so many mails; 0 for no cap."
    )
    from_domains = ArrayField(
        models.CharField(max_length=255),
        default=list,
        blank=True,
        verbose_name="From domains",
        help_text="It sends for these only, such as example.com or *.example.com; empty for any.",
    )
    requires_alignment = models.BooleanField(
        "aligned domains only",
        default=False,
        help_text="It sends only for From domains that are aligned (SPF or DKIM) at its kind of "
        "provider, as Sender domains tell.",
    )
    max_message_bytes = models.PositiveIntegerField(
        "largest mail",
        null=True,
        blank=True,
        help_text="In bytes, as sent with attachments; empty for no limit.",
    )
    takes_attachments = models.BooleanField(
        default=True, help_text="If not, mail with files goes elsewhere."
    )
    price_per_thousand = models.DecimalField(
        max_digits=12,
        decimal_places=6,
        default=0,
        help_text="What a thousand mails cost, after the free ones and below any tier.",
    )
    free_per_month = models.PositiveIntegerField(
        "free mails", default=0, help_text="Per calendar month in the account's time zone."
    )
    price_tiers = models.JSONField(
        default=list,
        blank=True,
        help_text="Other prices for what comes after so many mails of a month, free ones included: "
        '[{"above": 100000, "price_per_thousand": "0.80"}].',
    )
    monthly_fee = models.DecimalField(
        max_digits=12,
        decimal_places=2,
        default=0,
        help_text="Paid whether mail is sent or not.",
    )
    retry_first_seconds = models.PositiveIntegerField(
        "first wait",
        null=True,
        blank=True,
        help_text="Seconds before a mail it put off is tried again, doubling with each attempt; "
        "empty for what the email type says.",
    )
    retry_max_seconds = models.PositiveIntegerField(
        "longest wait",
        null=True,
        blank=True,
        help_text="In seconds; empty for what the email type says.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ProviderQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(max_connections__gte=1), name="providers_provider_some_connection"
            ),
            # A name tells an owner's accounts apart in lists and errors.
            models.UniqueConstraint(fields=["owner", "name"], name="providers_provider_name_once"),
            # NULLS NOT DISTINCT would say it in one, but needs PostgreSQL 15.
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(owner__isnull=True),
                name="providers_provider_shared_name_once",
            ),
            models.CheckConstraint(
                condition=Q(price_per_thousand__gte=0), name="providers_provider_price"
            ),
            models.CheckConstraint(condition=Q(monthly_fee__gte=0), name="providers_provider_fee"),
            models.CheckConstraint(
                condition=Q(priority_reserve__lte=MAX_PRIORITY_RESERVE),
                name="providers_provider_reserve",
            ),
            models.CheckConstraint(
                condition=Q(rate_per_second__isnull=True) | Q(rate_per_second__gt=0),
                name="providers_provider_rate",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def pricing(self) -> Pricing:
        """Return the account's price list."""
        return Pricing(
            self.price_per_thousand,
            self.free_per_month,
            read_tiers(self.price_tiers),
            self.monthly_fee,
        )

    @property
    def has_limits(self) -> bool:
        """True if mails must be reserved before they are sent."""
        limits = (self.hourly_limit, self.daily_limit, self.monthly_limit, self.warm_up)
        return any(limit is not None for limit in limits)
