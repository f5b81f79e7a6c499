"""Provider accounts, what they have sent, and the built-in inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from accounts.models import User
from mailservice.core.ids import uuid7
from mailservice.core.secrets import EncryptedJSONField
from providers.routing import Strategy

if TYPE_CHECKING:
    from datetime import datetime
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
    settings = models.JSONField(default=dict, blank=True)
    secrets = EncryptedJSONField(null=True, blank=True, editable=False)
    is_active = models.BooleanField("active", default=True)
    position = models.PositiveSmallIntegerField(
        default=100, help_text="Lower is tried first among the accounts that may take a mail."
    )
    hourly_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Mails per clock hour; empty for no limit."
    )
    daily_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Mails per day in the account's time zone; empty for no limit.",
    )
    monthly_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Mails per calendar month in the account's time zone; empty for no limit.",
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
        help_text="Mails per day while the account is new, such as "
        '{"starts_on": "2026-03-01", "daily": [50, 100, 200]}; empty for none.',
    )
    rate_per_second = models.FloatField(
        null=True,
        blank=True,
        help_text="Mails per second over all workers, such as 14 or 0.5; empty for no limit.",
    )
    time_zone = models.CharField(max_length=64, default="UTC", help_text="In which its days begin.")
    max_connections = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(1)], help_text="Open at once, per worker process."
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
        help_text="What a thousand mails cost, for accounts with one price.",
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
    def has_limits(self) -> bool:
        """True if mails must be reserved before they are sent."""
        limits = (self.hourly_limit, self.daily_limit, self.monthly_limit, self.warm_up)
        return any(limit is not None for limit in limits)


class ProviderUsage(models.Model):
    """How much of its quotas an account has used: one row each, changed by guarded statements only.

    A count belongs to the window that began at `*_start`; an older window reads as zero, so no
    reset has to run. `reserved` is what workers may still send under reservations they hold.
    """

    provider = models.OneToOneField(
        Provider, on_delete=models.CASCADE, primary_key=True, related_name="usage"
    )
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
    rejected = models.PositiveIntegerField(default=0)
    unknown = models.PositiveIntegerField(default=0)
    #: The account refused us, not the mail.
    faults = models.PositiveIntegerField(default=0)
    #: How many accepted mails took how long: see `figures.BUCKETS`.
    latency = ArrayField(models.IntegerField())

    class Meta:
        indexes = [
            # What was in the last hour, over all accounts; what is older than 90 days.
            models.Index(fields=["minute"], name="providers_minute_minute")
        ]

    def __str__(self) -> str:
        return f"{self.provider_id} at {self.minute}"


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


class InboxMail(models.Model):
    """A mail that an inbox account received instead of sending it on."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="inbox")
    #: The message it came from: a repeated attempt is the same mail.
    message_id = models.UUIDField()
    return_path = models.CharField(max_length=320, blank=True)
    recipients = models.JSONField(default=list)
    sender = models.CharField(max_length=500)
    subject = models.CharField(max_length=998, blank=True)
    data = models.BinaryField()
    size_bytes = models.PositiveIntegerField()
    received_at = models.DateTimeField()
    is_read = models.BooleanField(default=False)

    class Meta:
        verbose_name = "inbox mail"
        verbose_name_plural = "local inbox"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "message_id"], name="providers_inboxmail_once"
            )
        ]

    def __str__(self) -> str:
        return self.subject or "(no subject)"
