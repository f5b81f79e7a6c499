"""Django application configuration."""

from django.apps import AppConfig


class VerificationConfig(AppConfig):
    """The verification application."""

    name = "verification"
    verbose_name = "Verification"
