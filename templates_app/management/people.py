"""What the commands say to people, and whom they act for."""

from __future__ import annotations

from django.core.management.base import CommandError

from accounts.models import User
from mailservice.core.errors import DomainError, InvalidInputError


def owner(email: str) -> User:
    """Return the user of this address. Raises `CommandError`."""
    user = User.objects.filter(email=email.strip().lower()).first()
    if user is None:
        raise CommandError(f"There is no user {email}: see create_user.")
    return user


def told(error: DomainError) -> list[str]:
    """Return an error as lines, one for each fault."""
    if not isinstance(error, InvalidInputError):
        return [error.message]
    return [
        f"{field}: {fault['message']}" for field, found in error.details.items() for fault in found
    ]
