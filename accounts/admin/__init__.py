"""The admin of users, roles, API keys and the audit trail, and what all admin pages share."""

from accounts.admin import api_keys, audit, roles, users

__all__ = ["api_keys", "audit", "roles", "users"]
