"""Models of the app, one module per subject."""

from verification.models.domains import DomainState, SenderDomain
from verification.models.tokens import (
    Verification,
    VerificationProfile,
    VerificationState,
)
from verification.models.validation import (
    DomainEntry,
    JobStatus,
    ValidationChunk,
    ValidationJob,
)

__all__ = [
    "DomainEntry",
    "DomainState",
    "JobStatus",
    "SenderDomain",
    "ValidationChunk",
    "ValidationJob",
    "Verification",
    "VerificationProfile",
    "VerificationState",
]
