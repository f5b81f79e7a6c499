"""Events as providers tell them, returned mails, hits of pixels and links."""

from inbound.models.events import EventSource, RawEvent, RawEventQuerySet, RawStatus

__all__ = ["EventSource", "RawEvent", "RawEventQuerySet", "RawStatus"]
