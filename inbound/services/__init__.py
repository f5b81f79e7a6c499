"""Writes of what comes back."""
