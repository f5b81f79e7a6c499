"""Encrypt everything encrypted under the newest key."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from mailservice.core.rotation import Rotation, rotate

if TYPE_CHECKING:
    from argparse import ArgumentParser

_UNREADABLE, _TO_DO = 1, 3
_SHOWN = 10


class Command(BaseCommand):
    """`manage.py rotate_encryption_keys [--dry-run] [--json]`."""

    help = (
        "Encrypt all stored credentials under the first of ENCRYPTION_KEYS. Put the new key in"
        " front, restart all processes, run this, see with --dry-run that nothing is left, then"
        " drop the old key. Exit codes: 0 all is under the newest key, 1 some credentials no"
        " configured key can read, 3 a dry run found some under older keys."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("--dry-run", action="store_true", help="count and change nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Re-encrypt and say how much."""
        is_dry_run = options["dry_run"]
        done = rotate(is_dry_run=is_dry_run)
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": is_dry_run, **asdict(done)}))
        else:
            self.stdout.write(_in_words(done, is_dry_run=is_dry_run))
        if done.unreadable:
            raise CommandError(_complaint(done), returncode=_UNREADABLE)
        if is_dry_run and done.rotated:
            sys.exit(_TO_DO)


def _in_words(done: Rotation, *, is_dry_run: bool) -> str:
    verb = "would be put" if is_dry_run else "were put"
    return (
        f"Credentials of {done.count} records: {done.rotated} {verb} under the newest key, "
        f"{done.current} are already, {len(done.unreadable)} cannot be read."
    )


def _complaint(done: Rotation) -> str:
    places = [f"{place.column} of {place.pk}" for place in done.unreadable[:_SHOWN]]
    more = len(done.unreadable) - len(places)
    listed = ", ".join(places) + (f" and {more} more" if more else "")
    return (
        f"No configured encryption key can read {listed}. Nothing is lost: add the key and run "
        "this again, or enter these credentials anew."
    )
