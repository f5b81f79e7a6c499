"""Django application configuration."""

from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    """The campaigns application."""

    name = "campaigns"
    verbose_name = "Campaigns"
