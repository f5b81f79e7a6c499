"""Create a user."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from accounts.services import create_user
from mailservice.core.errors import DomainError

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """`manage.py create_user EMAIL [--password P] [--staff] [--superuser] [--json]`."""

    help = "Create a user. Without --password nobody can log in as them, but they can own API keys."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("email")
        parser.add_argument("--password")
        parser.add_argument("--staff", action="store_true", help="may log in to the admin")
        parser.add_argument("--superuser", action="store_true", help="may do everything there")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Create the user and say so."""
        try:
            user = create_user(
                email=options["email"],
                password=options["password"],
                is_staff=options["staff"],
                is_superuser=options["superuser"],
            )
        except DomainError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {
                        "id": str(user.pk),
                        "email": user.email,
                        "is_staff": user.is_staff,
                        "is_superuser": user.is_superuser,
                    }
                )
            )
        else:
            self.stdout.write(f"Created {user.email}.")
