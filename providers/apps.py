"""Django application configuration."""

from django.apps import AppConfig


class ProvidersConfig(AppConfig):
    """The providers application."""

    name = "providers"
    verbose_name = "Providers"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make the inbox known to the adapters: it alone needs the database."""
        from providers.adapters import register  # noqa: PLC0415 - needs loaded apps
        from providers.inbox import InboxAdapter  # noqa: PLC0415 - needs loaded apps

        register("inbox", InboxAdapter)
