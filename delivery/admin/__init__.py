"""The admin of messages, email types and suppressions, and what delivery adds to providers."""

from delivery.admin import email_types, messages, sending_providers, suppressions

__all__ = ["email_types", "messages", "sending_providers", "suppressions"]
