"""Django application configuration."""

from django.apps import AppConfig


class TemplatesConfig(AppConfig):
    """The templates application."""

    name = "templates_app"
    label = "templates"
    verbose_name = "Templates"
    default_auto_field = "django.db.models.BigAutoField"
