"""Import templates from a folder, a zip or a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from mailservice.core.errors import DomainError, InvalidInputError
from templates_app.exchange import (
    ImportOptions,
    TemplateData,
    import_templates,
    read_folder,
    read_zip,
    templates_from,
    templates_in,
)
from templates_app.exchange.archive import MAX_ARCHIVE_BYTES
from templates_app.lookup import locale_name
from templates_app.management.people import owner, told
from templates_app.management.progress import Progress

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from templates_app.exchange import Imported

#: Exit codes beside 0 and argparse's 2.
REFUSED, UNREADABLE = 1, 3


class Command(BaseCommand):
    """`manage.py import_templates PATH (--owner EMAIL | --shared) [--publish] [--dry-run]`."""

    help = (
        "Import templates: all of them, or none if one is at fault. What is the same already is "
        "left alone. Exit codes: 0 done, 1 refused (nothing is written), 2 wrong arguments, "
        "3 the path cannot be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("path", type=Path, help="a template's folder, a folder of such, .zip")
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--owner", metavar="EMAIL", help="whose mail may use them")
        whose.add_argument("--shared", action="store_true", help="everybody's mail may use them")
        parser.add_argument("--publish", action="store_true", help="new mail uses them at once")
        parser.add_argument("--note", default="", help="for the history, with --publish")
        parser.add_argument("--dry-run", action="store_true", help="check all, write nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Import, and say what became of each template."""
        owner_id = None if options["shared"] else owner(options["owner"]).pk
        try:
            templates = _read(options["path"])
            with Progress(self.stderr, "Importing") as progress:
                done = import_templates(
                    templates,
                    ImportOptions(
                        owner_id=owner_id,
                        publish=options["publish"],
                        note=options["note"],
                        dry_run=options["dry_run"],
                        progress=progress,
                    ),
                )
        except OSError as error:
            raise CommandError(f"{options['path']}: {error}", returncode=UNREADABLE) from error
        except DomainError as error:
            if options["json"]:
                self.stdout.write(json.dumps(_refusal(error)))
            raise CommandError("\n".join(told(error)), returncode=REFUSED) from error
        if options["json"]:
            report = [one.as_json() for one in done]
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], "templates": report}))
            return
        for one in done:
            self.stdout.write(_line(one))
        if options["dry_run"]:
            self.stdout.write("Nothing is written: this was a dry run.")


def _read(path: Path) -> list[TemplateData]:
    """Return the templates at a path. Raises `InvalidInputError` and `OSError`."""
    if path.is_dir():
        return templates_in(read_folder(path))
    with path.open("rb") as file:
        # One octet more than is allowed shows that there are too many.
        data = file.read(MAX_ARCHIVE_BYTES + 1)
    if path.suffix.lower() != ".json":
        return templates_in(read_zip(data))
    try:
        return templates_from(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError.for_field(path.name, f"This is not JSON: {error}") from error


def _refusal(error: DomainError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "details": dict(error.details)}


def _line(one: Imported) -> str:
    words = [f"{one.slug}: {one.action}"]
    if one.written:
        words.append("wrote " + ", ".join(map(locale_name, one.written)))
    if one.dropped:
        words.append("dropped " + ", ".join(map(locale_name, one.dropped)))
    if one.published is not None:
        words.append(f"published as version {one.published}")
    return "; ".join(words)
