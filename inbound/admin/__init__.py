"""The admin of what comes back."""

from inbound.admin import events, sources

__all__ = ["events", "sources"]
