"""Django application configuration."""

from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """Outgoing webhooks: endpoints, deliveries, their log."""

    name = "webhooks"
    verbose_name = "Webhooks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hear of confirmed addresses."""
        from verification.signals import verified  # noqa: PLC0415 - needs loaded apps
        from webhooks.receivers import on_verified  # noqa: PLC0415 - needs loaded apps

        verified.connect(on_verified, dispatch_uid="webhooks")
