"""Events as providers tell them, returned mails, hits of pixels and links."""

from inbound.models.events import EventSource, RawEvent, RawEventQuerySet, RawStatus
from inbound.models.hits import Hit, HitKind, HitQuerySet, HitVerdict
from inbound.models.mailboxes import BounceMailbox, BounceMailboxQuerySet, MailboxSecurity
from inbound.models.returned import (
    KEPT_BYTES,
    ReturnedKind,
    ReturnedMail,
    ReturnedMailQuerySet,
    ReturnedRoute,
    ReturnedStatus,
    ReturnHook,
)

__all__ = [
    "KEPT_BYTES",
    "BounceMailbox",
    "BounceMailboxQuerySet",
    "EventSource",
    "Hit",
    "HitKind",
    "HitQuerySet",
    "HitVerdict",
    "MailboxSecurity",
    "RawEvent",
    "RawEventQuerySet",
    "RawStatus",
    "ReturnHook",
    "ReturnedKind",
    "ReturnedMail",
    "ReturnedMailQuerySet",
    "ReturnedRoute",
    "ReturnedStatus",
]
