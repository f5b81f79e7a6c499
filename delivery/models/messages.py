"""Messages with their attempts and events, and the leases of those who send them."""

from __future__ import annotations

from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from accounts.models import ApiKey, User
from delivery.models.content import Content
from delivery.models.types import EmailType
from delivery.querysets import MessageQuerySet
from delivery.states import DECISION, UNFINISHED, EventKind, Lane, Status
from mailservice.core.ids import uuid7
from providers.bounces import BounceVerdict, classify
from providers.models import Provider
from providers.ports import Outcome, Reason, Scope


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
    #: Queued again although `provider` may have taken it: its outcome there was unknown.
    is_resend = models.BooleanField(default=False, db_default=False)
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
        indexes = [
            # Whose message an event of the provider is about. Ids of mails that went in several
            # calls are joined; the first migration has an index of their parts.
            models.Index(
                fields=["provider", "remote_id"],
                condition=~Q(remote_id=""),
                name="delivery_attempt_remote",
            )
        ]

    def __str__(self) -> str:
        return f"{self.number}. {self.outcome}"

    @property
    def refusal(self) -> BounceVerdict | None:
        """Return what a refusal says of the mail and its recipients; None if it was none."""
        if self.outcome not in (Outcome.REJECTED, Outcome.NOT_ACCEPTED):
            return None
        is_permanent = self.outcome == Outcome.REJECTED
        return classify(self.code, self.enhanced_code, self.reply, is_permanent=is_permanent)


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
    #: What programs want to know of it, such as a bounce's class and code or the link clicked.
    data = models.JSONField(null=True)

    class Meta:
        ordering = ["message", "id"]

    def __str__(self) -> str:
        return self.kind

    @property
    def decision_id(self) -> UUID | None:
        """Return the id of the `providers.RoutingDecision` by which no account took it, if any."""
        found = (self.data or {}).get(DECISION)
        return UUID(found) if found else None


class Lease(models.Model):
    """One draining worker's claim on messages: renewed while it lives, swept when it does not."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    worker = models.CharField(max_length=80)
    lane = models.PositiveSmallIntegerField(choices=Lane.choices)
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.worker
