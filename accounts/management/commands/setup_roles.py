"""Make the roles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from accounts.roles import set_up_roles

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """`manage.py setup_roles [--reset] [--json]`."""

    help = (
        "Make the roles Operator, Marketer, Developer and Auditor where they are missing. Run it "
        "after `migrate`. Roles that are there stay as they are, unless --reset is given."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument(
            "--reset", action="store_true", help="give the four their first permissions again"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Make them and say so."""
        done = set_up_roles(resets=options["reset"])
        if options["json"]:
            self.stdout.write(json.dumps(done))
            return
        for name, count in done.items():
            told = "(exists already)" if count is None else f"{count} permissions"
            self.stdout.write(f"{name}: {told}")
