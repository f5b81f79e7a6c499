"""Django application configuration."""

from django.apps import AppConfig


class InboundConfig(AppConfig):
    """What comes back: provider events, returned mails, opens and clicks, unsubscribes."""

    name = "inbound"
    default_auto_field = "django.db.models.BigAutoField"
