"""Django application configuration."""

from django.apps import AppConfig


class InboundConfig(AppConfig):
    """What comes back: provider events, returned mails, opens and clicks, unsubscribes."""

    name = "inbound"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Show opens and clicks on the page of a message."""
        from delivery.admin.cards import register_card  # noqa: PLC0415 - needs loaded apps
        from inbound.admin.hits import hits_card  # noqa: PLC0415 - needs loaded apps

        register_card("hits", hits_card)
