"""The admin of outgoing webhooks."""

from webhooks.admin import endpoints

__all__ = ["endpoints"]
