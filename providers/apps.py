"""Django application configuration."""

from django.apps import AppConfig


class ProvidersConfig(AppConfig):
    """The providers application."""

    name = "providers"
    verbose_name = "Providers"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make the inbox known to the adapters, and have refused credentials told at once."""
        from providers.adapters import register  # noqa: PLC0415 - needs loaded apps
        from providers.health import on_opened  # noqa: PLC0415 - needs loaded apps
        from providers.inbox import InboxAdapter  # noqa: PLC0415 - needs loaded apps
        from providers.watch import tell_refused  # noqa: PLC0415 - needs loaded apps

        # It alone needs the database.
        register("inbox", InboxAdapter)
        on_opened.connect(tell_refused, dispatch_uid="alert of refused credentials")
