"""The admin of what comes back."""

from inbound.admin import events, hits, returned, returned_mailboxes, sources

__all__ = ["events", "hits", "returned", "returned_mailboxes", "sources"]
