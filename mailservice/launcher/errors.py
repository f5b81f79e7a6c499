"""What can go wrong while starting the local servers."""

from __future__ import annotations


class LauncherError(Exception):
    """Something stands in the way of the local servers; the text says what and what to do."""
