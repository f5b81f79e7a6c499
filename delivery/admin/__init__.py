"""The admin of messages, types, suppressions and refusals, and what delivery adds to providers."""

from delivery.admin import email_types, messages, sending_providers, suppressions, tracking_refusals

__all__ = ["email_types", "messages", "sending_providers", "suppressions", "tracking_refusals"]
