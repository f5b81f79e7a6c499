"""The admin of provider accounts and of the local inbox."""

from providers.admin import accounts, inbox

__all__ = ["accounts", "inbox"]
