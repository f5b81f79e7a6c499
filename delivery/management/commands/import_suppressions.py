"""Suppress the addresses of a CSV file."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from delivery.email_types import email_types
from delivery.intake.fields import LIST
from delivery.models import SuppressionReason
from delivery.models.suppressions import ALL_MARKETING
from delivery.services.suppression_files import COLUMNS, Imported, import_csv
from mailservice.core.errors import DomainError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


#: Exit code if lines were left out; the others are written.
EXIT_LEFT_OUT = 3


class Command(BaseCommand):
    """Suppress the addresses of a CSV file; those that are suppressed already stay as they are."""

    help = (
        "Suppress the addresses of a CSV file. Exit code 0: all lines are taken; 1: the file "
        "cannot be read; 3: some lines are left out, which are named."
    )

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
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Read and write in chunks; the file may have any length."""
        if options["type"] not in {"", ALL_MARKETING, *email_types()}:
            raise CommandError(f"--type: there is no email type {options['type']!r}.")
        if options["list"] and not LIST.match(options["list"]):
            raise CommandError("--list: use 1 to 64 letters, digits, hyphens and underscores.")
        result = self._imported(options)
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], **_report(result)}))
        else:
            for line, message in result.faults:
                self.stderr.write(f"Line {line}: {message}")
            self.stderr.write(
                f"{result.read:,} lines read, {result.added:,} suppressions added, "
                f"{result.refused:,} lines left out."
            )
        if result.refused:
            sys.exit(EXIT_LEFT_OUT)

    def _imported(self, options: dict[str, Any]) -> Imported:
        try:
            with _opened(options["file"]) as file:
                return import_csv(
                    file,
                    reason=SuppressionReason(options["reason"]),
                    email_type=options["type"],
                    list_key=options["list"],
                    is_dry_run=options["dry_run"],
                )
        except DomainError as error:
            if options["json"]:
                refusal = {"code": error.code, "message": error.message}
                self.stdout.write(json.dumps({**refusal, "details": dict(error.details)}))
            raise CommandError(error.message) from None
        except OSError as error:
            raise CommandError(str(error)) from None


def _report(result: Imported) -> dict[str, Any]:
    faults = [{"line": line, "message": message} for line, message in result.faults]
    return {
        "read": result.read,
        "added": result.added,
        "refused": result.refused,
        "faults": faults,
    }


def _opened(name: str) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb")
