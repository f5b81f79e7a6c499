"""Writes and checks of the app, one module per subject."""

from verification.services.validation import validate_many

__all__ = ["validate_many"]
