"""Messages and what belongs to them.

A message row is one envelope and its place in the queue; its content stands once in `Content`,
shared by any number of messages. Attempts and events are append-only. References that the hot path
writes by the thousand carry no database constraint: users, keys and providers are never deleted
while referred to (their services see to it), and attempts and events outlive purged messages.
"""

from delivery.models.announcements import Announcement, Listener
from delivery.models.content import Attachment, Blob, Content, Disposition, Upload
from delivery.models.links import LinkKey
from delivery.models.messages import Attempt, Event, Lease, Message
from delivery.models.requests import IdempotencyRecord
from delivery.models.suppressions import Suppression, SuppressionReason, TrackingRefusal
from delivery.models.types import EmailType, UnknownPolicy

__all__ = [
    "Announcement",
    "Attachment",
    "Attempt",
    "Blob",
    "Content",
    "Disposition",
    "EmailType",
    "Event",
    "IdempotencyRecord",
    "Lease",
    "LinkKey",
    "Listener",
    "Message",
    "Suppression",
    "SuppressionReason",
    "TrackingRefusal",
    "UnknownPolicy",
    "Upload",
]
