"""The admin of provider accounts, of routing rules and of the local inbox."""

from providers.admin import accounts, inbox, rules

__all__ = ["accounts", "inbox", "rules"]
