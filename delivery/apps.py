"""Django application configuration."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


def ensure_email_types(using: str, **_signal: Any) -> None:
    """Create the two email types that every installation has; an operator's changes stay."""
    from delivery.models import EmailType, UnknownPolicy  # noqa: PLC0415 - needs loaded apps
    from delivery.states import Lane  # noqa: PLC0415 - needs settings

    for name, values in {
        "transactional": {
            "lane": Lane.TRANSACTIONAL,
            "priority": 2,
            "unknown_policy": UnknownPolicy.RESEND,
        },
        "marketing": {
            "lane": Lane.BULK,
            "priority": 4,
            "unknown_policy": UnknownPolicy.PARK,
            "is_marketing": True,
            "title": "News and offers",
            "track_opens": True,
            "track_clicks": True,
        },
    }.items():
        EmailType.objects.using(using).get_or_create(name=name, defaults=values)


class DeliveryConfig(AppConfig):
    """The delivery application."""

    name = "delivery"
    verbose_name = "Delivery"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Have the email types made after every migration, guard accounts that carried mail.

        And have routing learn which types there are and what becomes of sender domains, and
        verification which templates there are.
        """
        from delivery.email_types import email_type_names  # noqa: PLC0415 - needs loaded apps
        from delivery.references import use_of_provider  # noqa: PLC0415 - needs loaded apps
        from delivery.services.alignment import note_alignment  # noqa: PLC0415 - needs loaded apps
        from delivery.services.texts import template_fault  # noqa: PLC0415 - needs loaded apps
        from providers.mail_types import sources  # noqa: PLC0415 - needs loaded apps
        from providers.services import in_use_checks  # noqa: PLC0415 - needs loaded apps
        from verification.services.token_settings import (  # noqa: PLC0415 - needs loaded apps
            template_checks,
        )
        from verification.signals import alignment_changed  # noqa: PLC0415 - needs loaded apps

        sources.append(email_type_names)
        in_use_checks.append(use_of_provider)
        template_checks.append(template_fault)
        alignment_changed.connect(note_alignment, dispatch_uid="alignment for routing")
        post_migrate.connect(ensure_email_types, sender=self, dispatch_uid="email types")
