"""Refusals of this app."""

from __future__ import annotations

import math

from mailservice.core.errors import DomainError


class TooManyRequestsError(DomainError):
    """Come back later; `details["retry_after_seconds"]` says when."""

    code = "rate_limited"
    http_status = 429

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        seconds = max(1, math.ceil(retry_after_seconds))
        super().__init__(message, details={"retry_after_seconds": seconds})
