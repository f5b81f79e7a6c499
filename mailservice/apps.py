"""Django application configuration of the project package."""

from django.apps import AppConfig


class MailserviceConfig(AppConfig):
    """Holds the project's management commands, admin site and static files."""

    name = "mailservice"
    verbose_name = "mailservice"
