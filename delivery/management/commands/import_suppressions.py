"""Suppress the addresses of a CSV file."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from delivery.email_types import email_types
from delivery.intake.fields import LIST
from delivery.models import SuppressionReason
from delivery.models.suppressions import ALL_MARKETING
from delivery.services.suppression_files import COLUMNS, import_csv
from mailservice.core.errors import DomainError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Command(BaseCommand):
    """Suppress the addresses of a CSV file; those that are suppressed already stay as they are."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the file and what holds for lines that do not say."""
        parser.add_argument(
            "file", help=f"CSV in UTF-8 with the columns {', '.join(COLUMNS)}; - is the input"
        )
        parser.add_argument("--reason", default="manual", choices=SuppressionReason.values)
        scope = parser.add_mutually_exclusive_group()
        scope.add_argument(
            "--type", default="", help=f'an email type, or "{ALL_MARKETING}" for all marketing'
        )
        scope.add_argument("--list", default="", help="a mailing list")
        parser.add_argument("--dry-run", action="store_true", help="only read the file")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Read and write in chunks; the file may have any length."""
        if options["type"] not in {"", ALL_MARKETING, *email_types()}:
            raise CommandError(f"--type: there is no email type {options['type']!r}.")
        if options["list"] and not LIST.match(options["list"]):
            raise CommandError("--list: use 1 to 64 letters, digits, hyphens and underscores.")
        try:
            with _opened(options["file"]) as file:
                result = import_csv(
                    file,
                    reason=SuppressionReason(options["reason"]),
                    email_type=options["type"],
                    list_key=options["list"],
                    is_dry_run=options["dry_run"],
                )
        except DomainError as error:
            raise CommandError(error.message) from None
        except OSError as error:
            raise CommandError(str(error)) from None
        for line, message in result.faults:
            self.stderr.write(f"Line {line}: {message}")
        self.stderr.write(
            f"{result.read:,} lines read, {result.added:,} suppressions added, "
            f"{result.refused:,} lines left out."
        )


def _opened(name: str) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb")
