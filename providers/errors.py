"""Refusals of this app."""

from mailservice.core.errors import ConflictError


class ProviderInUseError(ConflictError):
    """The account has unsent mail pinned to it or has carried mail, so it is not deleted."""

    code = "provider_in_use"
