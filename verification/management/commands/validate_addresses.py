"""Validate the addresses of a file."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from verification.services import validate_many
from verification.validation import Verdict
from verification.validation.tables import TableError, csv_header, csv_row, read_addresses

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from verification.validation import Result

#: Addresses looked at together.
CHUNK_SIZE = 500
CONCURRENCY = 64
#: What a chunk may wait for DNS.
CHUNK_SECONDS = 30.0
#: Exit code of `--strict` if an address is invalid.
EXIT_INVALID = 3


class Command(BaseCommand):
    """`manage.py validate_addresses FILE [--column C] [--output FILE] [--json] [--strict]`."""

    help = (
        "Validate the addresses of a CSV file or plain list (- for standard input) and write a CSV "
        "with verdict and reasons. Exit code 0: done; 1: the file cannot be read; with --strict 3: "
        "some addresses are invalid."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("file", help="CSV file or list of addresses, - for standard input")
        parser.add_argument("--column", default="", help="header of the column with the addresses")
        parser.add_argument("--output", default="-", help="where results go; - for standard output")
        parser.add_argument("--json", action="store_true", help="write one JSON object per line")
        parser.add_argument("--strict", action="store_true", help="fail if any is invalid")
        parser.add_argument("--probe", action="store_true", help="ask mail servers too")
        parser.add_argument("--dry-run", action="store_true", help="only count the addresses")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Read, validate and write in chunks; the file may have any length."""
        if options["probe"] and not settings.VALIDATION_PROBE:
            raise CommandError("Mail servers are not asked: VALIDATION_PROBE is off.")
        try:
            with _opened(options["file"]) as file:
                counts = self._run(file, options)
        except TableError as error:
            raise CommandError(f"{error.field}: {error.message}") from None
        except OSError as error:
            raise CommandError(str(error)) from None
        words = ", ".join(f"{counts[verdict]:,} {verdict.value}" for verdict in Verdict)
        self.stderr.write(f"{sum(counts.values()):,} addresses: {words}.")
        if options["strict"] and counts[Verdict.INVALID]:
            sys.exit(EXIT_INVALID)

    def _run(self, file: IO[bytes], options: dict[str, Any]) -> Counter[Verdict]:
        addresses = read_addresses(file, column=options["column"])
        if options["dry_run"]:
            total = sum(1 for _ in addresses)
            self.stderr.write(f"{total:,} addresses; none was looked at.")
            return Counter()
        if options["output"] == "-":
            return self._write(addresses, self.stdout, options)
        with Path(options["output"]).open("w", encoding="utf-8", newline="") as output:
            return self._write(addresses, output, options)

    def _write(
        self, addresses: Iterator[str], output: Any, options: dict[str, Any]
    ) -> Counter[Verdict]:
        counts: Counter[Verdict] = Counter()
        is_tty = sys.stderr.isatty()
        if not options["json"]:
            output.write(csv_header())
        while chunk := list(islice(addresses, CHUNK_SIZE)):
            results = validate_many(
                chunk,
                budget_seconds=CHUNK_SECONDS,
                concurrency=CONCURRENCY,
                does_probe=options["probe"],
            )
            for result in results:
                output.write(_json(result) if options["json"] else csv_row(result))
            counts.update(result.verdict for result in results)
            if is_tty:
                self.stderr.write(f"\r{sum(counts.values()):,} addresses", ending="")
        if is_tty:
            self.stderr.write("")
        return counts


def _json(result: Result) -> str:
    return orjson.dumps(result.as_json()).decode() + "\n"


def _opened(name: str) -> IO[bytes]:
    return sys.stdin.buffer if name == "-" else Path(name).open("rb")
