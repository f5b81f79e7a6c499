"""Encrypt all stored credentials under the newest key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from mailservice.core.secrets import DecryptionError
from providers.services import rotate_secrets

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """`manage.py rotate_encryption_keys [--json]`."""

    help = (
        "Encrypt all stored credentials under the first of ENCRYPTION_KEYS. Put the new key in"
        " front, restart all processes, run this, then drop the old key."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Re-encrypt and say how much."""
        try:
            count = rotate_secrets()
        except DecryptionError as error:
            raise CommandError(
                f"{error} Nothing is lost: add the key and run this again."
            ) from error
        if options["json"]:
            self.stdout.write(json.dumps({"accounts": count}))
        else:
            self.stdout.write(f"The credentials of {count} accounts are under the newest key.")
