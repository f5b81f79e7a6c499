"""Messages and what belongs to them.

A message row is one envelope and its place in the queue; its content stands once in `Content`,
shared by any number of messages. Attempts and events are append-only. References that the hot path
writes by the thousand carry no database constraint: users, keys and providers are never deleted
while referred to (their services see to it), and attempts and events outlive purged messages.
"""

from __future__ import annotations

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from accounts.models import ApiKey, User
from delivery.querysets import MessageQuerySet
from delivery.retries import RetryPolicy
from delivery.states import UNFINISHED, EventKind, Lane, Status
from mailservice.core.ids import uuid7
from providers.models import Provider
from providers.ports import Outcome, Reason, Scope
from templates_app.models import TemplateVersion


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


class Content(models.Model):
    """What a mail says, frozen at acceptance; shared by all messages of a batch or campaign."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    from_email = models.CharField(max_length=320)
    from_name = models.CharField(max_length=200, blank=True)
    #: A list of {"email", "name"}.
    reply_to = models.JSONField(default=list)
    subject = models.TextField()
    html = models.TextField(blank=True)
    text = models.TextField(blank=True)
    #: True if subject and bodies are templates to be rendered with each message's context.
    is_template = models.BooleanField(default=False)
    #: How dates and numbers read in templates.
    locale = models.CharField(max_length=35, blank=True, default="", db_default="")
    #: True if CSS rules are written into the elements of each filled HTML.
    inlines_css = models.BooleanField(default=False, db_default=False)
    template_version = models.ForeignKey(
        TemplateVersion, on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    #: None leaves the choice to the email type.
    track_opens = models.BooleanField(null=True)
    track_clicks = models.BooleanField(null=True)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.subject


class Blob(models.Model):
    """The bytes of attachments, stored once by their SHA-256 (hex)."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    size_bytes = models.PositiveIntegerField()
    #: Name in Django's default storage.
    stored_as = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    #: Renewed by every reference; the purge spares what was touched lately.
    touched_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.sha256


class Upload(models.Model):
    """A file uploaded once, to be attached to messages by its id."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="uploads")
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="uploads")
    filename = models.CharField(max_length=255)
    content_type = models.CharField(max_length=127)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.filename


class Disposition(models.TextChoices):
    """How a part is shown (RFC 2183)."""

    ATTACHMENT = "attachment", "Attachment"
    INLINE = "inline", "Inline image"


class Attachment(models.Model):
    """A file attached to a content."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    content = models.ForeignKey(Content, on_delete=models.CASCADE, related_name="attachments")
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="attachments")
    position = models.PositiveSmallIntegerField()
    filename = models.CharField(max_length=255)
    content_type = models.CharField(max_length=127)
    disposition = models.CharField(
        max_length=10, choices=Disposition.choices, default=Disposition.ATTACHMENT
    )
    #: Content-ID of an inline part, without angle brackets (RFC 2392).
    cid = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["content", "position"]
        constraints = [
            # The order of parts in the mail.
            models.UniqueConstraint(
                fields=["content", "position"], name="delivery_attachment_position"
            )
        ]

    def __str__(self) -> str:
        return self.filename


class Message(models.Model):
    """One email job: an envelope, its context, and where it is in the queue."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    content = models.ForeignKey(
        Content, on_delete=models.PROTECT, related_name="messages", db_index=False
    )
    owner = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        related_name="messages",
        db_index=False,
        db_constraint=False,
    )
    api_key = models.ForeignKey(
        ApiKey,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    #: The batch or campaign it belongs to.
    group_id = models.UUIDField(null=True)
    email_type = models.ForeignKey(
        EmailType,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
        db_column="email_type",
    )
    lane = models.PositiveSmallIntegerField(choices=Lane.choices)
    priority = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(5)]
    )
    status = models.CharField(max_length=12, choices=Status.choices)
    is_test = models.BooleanField(default=False)
    #: A list of {"k": "to|cc|bcc", "a": address, "n": name, "s": state, "r": reason}; `n` only if
    #: given, `s` and `r` only where the recipient's fate differs from the message's.
    recipients = models.JSONField()
    #: The recipients' addresses in normal form, for look-up.
    addresses = ArrayField(models.CharField(max_length=320))
    context = models.JSONField(null=True)
    #: Header name to value, beside those the composer makes.
    headers = models.JSONField(null=True)
    metadata = models.JSONField(null=True)
    tags = ArrayField(models.CharField(max_length=64), null=True)
    pinned_provider = models.ForeignKey(
        Provider,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    #: The account of the latest attempt.
    provider = models.ForeignKey(
        Provider,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    sequence_key = models.CharField(max_length=200, blank=True, default="")
    #: True while an earlier message of the same sequence is unfinished.
    awaits_turn = models.BooleanField(default=False)
    due_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    attempt_count = models.PositiveSmallIntegerField(default=0)
    lease_id = models.UUIDField(null=True)
    #: Why it is not sent (yet), in one line.
    error = models.CharField(max_length=500, blank=True, default="")

    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(priority__range=(1, 5)), name="delivery_message_priority"
            ),
            models.CheckConstraint(
                condition=Q(status__in=Status.values), name="delivery_message_status"
            ),
            # A lease is held exactly while sending.
            models.CheckConstraint(
                condition=Q(status=Status.SENDING, lease_id__isnull=False)
                | (~Q(status=Status.SENDING) & Q(lease_id__isnull=True)),
                name="delivery_message_lease",
            ),
        ]
        indexes = [
            # The claim: the head of a lane, strictly by priority, then by due time.
            models.Index(
                fields=["lane", "priority", "due_at"],
                condition=Q(status=Status.QUEUED, awaits_turn=False),
                name="delivery_message_claim",
            ),
            # The sweep: what becomes due.
            models.Index(
                fields=["due_at"],
                condition=Q(status__in=[Status.SCHEDULED, Status.RETRY]),
                name="delivery_message_waiting",
            ),
            # The sweep: what dead workers held.
            models.Index(
                fields=["lease_id"],
                condition=Q(lease_id__isnull=False),
                name="delivery_message_lease_idx",
            ),
            # The sweep: unknown outcomes of types that send again; parked ones are passed over.
            models.Index(
                fields=["email_type", "due_at"],
                condition=Q(status=Status.UNKNOWN),
                name="delivery_message_unknown",
            ),
            # The sweep: what ran out of time.
            models.Index(
                fields=["expires_at"],
                condition=Q(
                    expires_at__isnull=False,
                    status__in=[Status.SCHEDULED, Status.QUEUED, Status.RETRY, Status.HELD],
                ),
                name="delivery_message_expires",
            ),
            # Who is next, and who is earlier, in a sequence.
            models.Index(
                fields=["owner", "sequence_key", "id"],
                condition=Q(status__in=sorted(UNFINISHED)) & ~Q(sequence_key=""),
                name="delivery_message_sequence",
            ),
            # A user's mail, newest first (ids are in time order).
            models.Index(F("owner").asc(), F("id").desc(), name="delivery_message_owner"),
            # Lists by status; the common states are found fast enough through the id.
            models.Index(
                F("status").asc(),
                F("id").desc(),
                condition=~Q(status__in=[Status.SENT, Status.DELIVERED, Status.SENDING]),
                name="delivery_message_by_status",
            ),
            # A batch's or campaign's mail.
            models.Index(
                fields=["group_id", "id"],
                condition=Q(group_id__isnull=False),
                name="delivery_message_group",
            ),
            # "What did we send to this address?"
            GinIndex(fields=["addresses"], name="delivery_message_addresses"),
            GinIndex(
                fields=["tags"], condition=Q(tags__isnull=False), name="delivery_message_tags"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class Attempt(models.Model):
    """One try at one provider; append-only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    message = models.ForeignKey(
        Message,
        on_delete=models.DO_NOTHING,
        related_name="attempts",
        db_constraint=False,
    )
    number = models.PositiveSmallIntegerField()
    provider = models.ForeignKey(
        Provider,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    #: See `providers.RoutingDecision`.
    decision_id = models.UUIDField(null=True)
    started_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    outcome = models.CharField(max_length=12, choices=[(o.value, o.value) for o in Outcome])
    reason = models.CharField(
        max_length=20, blank=True, choices=[(r.value, r.value) for r in Reason]
    )
    scope = models.CharField(max_length=10, choices=[(s.value, s.value) for s in Scope])
    code = models.PositiveSmallIntegerField(default=0)
    enhanced_code = models.CharField(max_length=12, blank=True)
    reply = models.CharField(max_length=500, blank=True)
    remote_id = models.CharField(max_length=200, blank=True)
    #: Verdicts that differ: a list of {"address", "outcome", "reason", "code", "reply"}.
    recipients = models.JSONField(null=True)
    dialogue = models.TextField(blank=True)
    worker = models.CharField(max_length=80, blank=True)
    #: Billionths of the currency unit, by its place in the account's month; see `providers.ledger`.
    cost_nanos = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["message", "id"]

    def __str__(self) -> str:
        return f"{self.number}. {self.outcome}"


class Event(models.Model):
    """What happened to a message, or to one recipient of it, other than an attempt; append-only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    message = models.ForeignKey(
        Message,
        on_delete=models.DO_NOTHING,
        related_name="events",
        db_constraint=False,
    )
    kind = models.CharField(max_length=20, choices=EventKind.choices)
    #: The address concerned; empty for the whole message.
    recipient = models.CharField(max_length=320, blank=True, default="")
    at = models.DateTimeField()
    #: Who did it, such as `user:ann@example.com` or `key:msk_…`; empty for the service itself.
    actor = models.CharField(max_length=330, blank=True, default="")
    detail = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        ordering = ["message", "id"]

    def __str__(self) -> str:
        return self.kind


class Lease(models.Model):
    """One draining worker's claim on messages: renewed while it lives, swept when it does not."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    worker = models.CharField(max_length=80)
    lane = models.PositiveSmallIntegerField(choices=Lane.choices)
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.worker


class SuppressionReason(models.TextChoices):
    """Why an address gets no mail."""

    HARD_BOUNCE = "hard_bounce", "Hard bounce"
    COMPLAINT = "complaint", "Complaint"
    UNSUBSCRIBE = "unsubscribe", "Unsubscribed"
    MANUAL = "manual", "Entered by hand"


class Suppression(models.Model):
    """An address that gets no mail, of any type or of one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    #: In normal form (`mailservice.core.addresses.normalized`).
    address = models.CharField(max_length=320)
    #: The email type it holds for; empty for all mail.
    email_type = models.CharField(max_length=40, blank=True, default="")
    reason = models.CharField(
        max_length=20, choices=SuppressionReason.choices, default=SuppressionReason.MANUAL
    )
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # Also the index of the check before sending.
            models.UniqueConstraint(
                fields=["address", "email_type"], name="delivery_suppression_once"
            )
        ]

    def __str__(self) -> str:
        return self.address


class IdempotencyRecord(models.Model):
    """The answer to a request with an `Idempotency-Key`, committed with what the request made."""

    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=256)
    #: SHA-256 of method, path and body.
    request_hash = models.BinaryField(max_length=32)
    status_code = models.PositiveSmallIntegerField()
    body = models.BinaryField()
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            # Invariant 2: one answer per key.
            models.UniqueConstraint(fields=["api_key", "key"], name="delivery_idempotency_once")
        ]

    def __str__(self) -> str:
        return self.key
