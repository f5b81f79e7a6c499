"""The life of a message: its states, and the moves between them that exist at all."""

from __future__ import annotations

from django.db import models


class Status(models.TextChoices):
    """Where a message is."""

    #: Waits for its `send_at`.
    SCHEDULED = "scheduled", "Scheduled"
    #: Due; a worker may claim it.
    QUEUED = "queued", "Queued"
    #: Claimed under a live lease.
    SENDING = "sending", "Sending"
    #: Put off after a temporary failure or for want of quota; waits for `due_at`.
    RETRY = "retry", "Waiting to retry"
    #: Stopped by an operator until released.
    HELD = "held", "Held"
    #: Handed over without a verdict; a provider's event, the policy or an operator decides.
    UNKNOWN = "unknown", "Outcome unknown"
    #: A provider took it.
    SENT = "sent", "Sent"
    #: The recipient's server took it.
    DELIVERED = "delivered", "Delivered"
    #: Refused for good by the recipient's side.
    BOUNCED = "bounced", "Bounced"
    #: The recipient called it spam.
    COMPLAINED = "complained", "Complained"
    #: Given up.
    FAILED = "failed", "Failed"
    #: Withdrawn before it was sent.
    CANCELLED = "cancelled", "Cancelled"
    #: Its `expires_at` passed before it could be sent.
    EXPIRED = "expired", "Expired"
    #: Every recipient is on a suppression list.
    SUPPRESSED = "suppressed", "Suppressed"


#: A later moment or a person brings these to the queue.
WAITING = frozenset({Status.SCHEDULED, Status.RETRY, Status.HELD})
#: Not over: these block later messages of the same sequence key.
UNFINISHED = WAITING | {Status.QUEUED, Status.SENDING, Status.UNKNOWN}
#: Nothing more happens by itself, short of news from outside.
FINISHED = frozenset(Status) - UNFINISHED
#: Certain not to be on the wire: may be cancelled, rescheduled or held.
STOPPABLE = WAITING | {Status.QUEUED}
#: An explicit retry may bring these back to the queue.
RETRIABLE = frozenset(
    {
        Status.RETRY,
        Status.FAILED,
        Status.BOUNCED,
        Status.CANCELLED,
        Status.EXPIRED,
        Status.SUPPRESSED,
        Status.UNKNOWN,
    }
)

#: Every move there is, by the state it leaves. The database refuses any other: the same table
#: stands in the first migration as a trigger.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.SCHEDULED: frozenset({Status.QUEUED, Status.HELD, Status.CANCELLED, Status.EXPIRED}),
    Status.QUEUED: frozenset(
        {Status.SENDING, Status.SCHEDULED, Status.HELD, Status.CANCELLED, Status.EXPIRED}
    ),
    Status.SENDING: frozenset(
        {
            Status.SENT,
            Status.QUEUED,
            Status.RETRY,
            Status.BOUNCED,
            Status.FAILED,
            Status.EXPIRED,
            Status.SUPPRESSED,
            Status.UNKNOWN,
        }
    ),
    Status.RETRY: frozenset(
        {Status.QUEUED, Status.SCHEDULED, Status.HELD, Status.CANCELLED, Status.EXPIRED}
    ),
    Status.HELD: frozenset({Status.QUEUED, Status.SCHEDULED, Status.CANCELLED, Status.EXPIRED}),
    Status.UNKNOWN: frozenset(
        {
            Status.QUEUED,
            Status.SENT,
            Status.DELIVERED,
            Status.BOUNCED,
            Status.COMPLAINED,
            Status.FAILED,
        }
    ),
    Status.SENT: frozenset({Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED}),
    # Many servers take a mail first and return it later.
    Status.DELIVERED: frozenset({Status.BOUNCED, Status.COMPLAINED}),
    Status.BOUNCED: frozenset({Status.QUEUED, Status.COMPLAINED}),
    Status.COMPLAINED: frozenset(),
    Status.FAILED: frozenset({Status.QUEUED}),
    Status.CANCELLED: frozenset({Status.QUEUED}),
    Status.EXPIRED: frozenset({Status.QUEUED}),
    Status.SUPPRESSED: frozenset({Status.QUEUED}),
}


class Lane(models.IntegerChoices):
    """Which queue serves a message; a newsletter never delays a password reset."""

    TRANSACTIONAL = 1, "transactional"
    BULK = 2, "bulk"


class EventKind(models.TextChoices):
    """What happened to a message apart from its attempts."""

    SCHEDULED = "scheduled", "Scheduled"
    CANCELLED = "cancelled", "Cancelled"
    RESCHEDULED = "rescheduled", "Rescheduled"
    HELD = "held", "Held"
    RELEASED = "released", "Released"
    RETRIED = "retried", "Retried by hand"
    EXPIRED = "expired", "Expired"
    SUPPRESSED = "suppressed", "Suppressed"
    #: Its worker vanished; it may have been sent and is sent again.
    LEASE_EXPIRED = "lease_expired", "Worker lost"
    #: No account may take it now.
    DEFERRED = "deferred", "Put off"
    #: It could not be composed or routed.
    FAILED = "failed", "Failed"
    #: An unknown outcome was settled by policy.
    RESOLVED = "resolved", "Outcome settled"
    # News from outside, one event per recipient: see `delivery.services.news`.
    DELIVERED = "delivered", "Delivered"
    #: The provider still tries.
    DELAYED = "delayed", "Delayed"
    BOUNCED = "bounced", "Bounced"
    #: Returned for a reason that may pass, or that is not the recipient's: suppresses nobody.
    SOFT_BOUNCED = "soft_bounced", "Bounced softly"
    COMPLAINED = "complained", "Marked as spam"
    OPENED = "opened", "Opened"
    CLICKED = "clicked", "Clicked"
    UNSUBSCRIBED = "unsubscribed", "Unsubscribed"
    RESUBSCRIBED = "resubscribed", "Subscribed again"
    #: A machine answered: out of office, or a challenge.
    AUTO_REPLIED = "auto_replied", "Answered by a machine"


#: Under this key an event's data name the routing decision by which no account took the message.
DECISION = "decision"

#: What others tell of a message after it was sent.
NEWS = frozenset(
    {
        EventKind.DELIVERED,
        EventKind.DELAYED,
        EventKind.BOUNCED,
        EventKind.SOFT_BOUNCED,
        EventKind.COMPLAINED,
        EventKind.OPENED,
        EventKind.CLICKED,
        EventKind.UNSUBSCRIBED,
        EventKind.RESUBSCRIBED,
        EventKind.AUTO_REPLIED,
    }
)
