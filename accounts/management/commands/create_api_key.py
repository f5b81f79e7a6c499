"""Create an API key."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import User
from accounts.scopes import Scope
from accounts.services import create_api_key
from mailservice.core.errors import DomainError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from datetime import datetime


#: A hundred years; later moments are beyond what the calendar knows.
MAX_DAYS = 36_525


class Command(BaseCommand):
    """`manage.py create_api_key --user EMAIL --name NAME [--scopes a,b] [--test] [--json]`."""

    help = "Create an API key and print it. It is shown this once and cannot be read again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("--user", required=True, metavar="EMAIL")
        parser.add_argument("--name", required=True, help="what will use the key")
        parser.add_argument("--scopes", help="comma-separated: " + ", ".join(Scope.values))
        parser.add_argument("--test", action="store_true", help="nothing it sends leaves")
        parser.add_argument("--days", type=int, help="days until it expires")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Create the key and print it."""
        user = User.objects.filter(email=options["user"].strip().lower()).first()
        if user is None:
            raise CommandError(f"There is no user {options['user']}: see create_user.")
        try:
            new = create_api_key(
                user=user,
                name=options["name"],
                scopes=_scopes(options["scopes"]),
                is_test=options["test"],
                expires_at=_expiry(options["days"]),
            )
        except DomainError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {
                        "id": str(new.api_key.pk),
                        "key": new.secret,
                        "prefix": new.api_key.prefix,
                        "name": new.api_key.name,
                        "user": user.email,
                        "scopes": new.api_key.scopes,
                        "test": new.api_key.is_test,
                    }
                )
            )
        else:
            self.stdout.write(new.secret)


def _scopes(given: str | None) -> list[str] | None:
    if given is None:
        return None
    scopes = [scope.strip() for scope in given.split(",") if scope.strip()]
    if not scopes:
        raise CommandError("--scopes: name one at least, or leave it out for the usual ones.")
    return scopes


def _expiry(days: int | None) -> datetime | None:
    if days is None:
        return None
    if not 1 <= days <= MAX_DAYS:
        raise CommandError(f"--days: give a number from 1 to {MAX_DAYS:,}.")
    return timezone.now() + timedelta(days=days)
