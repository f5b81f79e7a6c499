"""Make a fresh local installation usable at once."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.db import transaction
from django.urls import reverse

from accounts.models import ApiKey, User
from accounts.roles import set_up_roles
from accounts.services import create_api_key, create_user
from providers.models import Provider, ProviderKind
from providers.services import create_provider

if TYPE_CHECKING:
    from argparse import ArgumentParser

#: The administrator of a local installation.
ADMIN_EMAIL = "admin@localhost.localdomain"


class Command(BaseCommand):
    """`manage.py setup_local [--json]`: an administrator, roles, a local inbox and a demo key."""

    help = (
        "Create an administrator, the roles, a local inbox and an API key, where they are missing."
        " Passwords and keys are printed when they are made and cannot be read again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Create what is missing; running it again creates nothing."""
        # All or nothing: a password or key that was made but never printed would be lost.
        with transaction.atomic():
            facts = self._set_up()
        if options["json"]:
            self.stdout.write(json.dumps(facts))
            return
        for name, value in facts.items():
            self.stdout.write(f"{name}: {value or '(exists already)'}")

    def _set_up(self) -> dict[str, str | None]:
        set_up_roles()
        inbox_url = reverse("admin:providers_inboxmail_changelist")
        password = None
        admin = User.objects.filter(is_superuser=True).order_by("pk").first()
        if admin is None:
            password = secrets.token_urlsafe(12)
            admin = create_user(email=ADMIN_EMAIL, password=password, is_superuser=True)
        if not Provider.objects.exists():
            create_provider(
                owner_id=None,
                name="Local inbox",
                kind=ProviderKind.INBOX,
                settings={},
                secrets={},
                from_email="hello@example.com",
                from_name="mailservice",
            )
        key = None
        if not ApiKey.objects.filter(user=admin).exists():
            key = create_api_key(user=admin, name="Local demo").secret
        return {
            "admin_email": admin.email,
            "admin_password": password,
            "api_key": key,
            "inbox_url": inbox_url,
        }
