"""Write all suppressions as CSV."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from delivery.services.suppression_files import export_csv


class Command(BaseCommand):
    """Write all suppressions as CSV, as `import_suppressions` reads it."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the file."""
        parser.add_argument("--output", default="-", help="file to write (default: the output)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Write it, block by block."""
        if options["output"] == "-":
            for block in export_csv():
                sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
            return
        try:
            with Path(options["output"]).open("wb") as file:
                file.writelines(export_csv())
        except OSError as error:
            raise CommandError(str(error)) from None
