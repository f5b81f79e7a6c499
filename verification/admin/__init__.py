"""Pages of the console, one module per model."""

from verification.admin import (
    domain_entries,
    sender_domains,
    validation_jobs,
    verification_profiles,
    verifications,
)

__all__ = [
    "domain_entries",
    "sender_domains",
    "validation_jobs",
    "verification_profiles",
    "verifications",
]
