"""Take a mail that came to a return path from a mail server's pipe."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError

from inbound.models import ReturnedRoute
from inbound.services.returned import read_start, take_returned
from mailservice.core.errors import InvalidInputError

#: Of sysexits.h: what mail servers understand. They queue the mail for 75 and return it for 65.
_BAD_DATA, _TRY_AGAIN = 65, 75


class Command(BaseCommand):
    """`manage.py receive_returned_mail --to ADDRESS < mail`."""

    help = (
        "Take a mail that came to a return path from the input. Exit codes: 0 it is stored,"
        " 65 it is empty, 75 the database is away and the mail server should try again."
    )
    # A mail server starts it for every mail; the checks would take longer than the work.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the address."""
        parser.add_argument("--to", default="", help="the address that the mail came to")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Store it."""
        raw, size_bytes = read_start(sys.stdin.buffer)
        try:
            take_returned(raw, options["to"], ReturnedRoute.COMMAND, size_bytes=size_bytes)
        except InvalidInputError as error:
            raise CommandError(error.message, returncode=_BAD_DATA) from None
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(
                f"Try again later: {type(error).__name__}", returncode=_TRY_AGAIN
            ) from None
