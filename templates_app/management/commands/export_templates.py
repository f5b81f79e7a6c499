"""Export templates to a folder or a zip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from mailservice.core.errors import DomainError
from templates_app.exchange import exported, files_of, write_folder, write_zip
from templates_app.lookup import standings
from templates_app.management.people import owner, told
from templates_app.management.progress import Progress
from templates_app.models import Template

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

    from templates_app.exchange import Files

#: Exit codes beside 0 and argparse's 2.
REFUSED, UNWRITABLE = 1, 3


class Command(BaseCommand):
    """`manage.py export_templates PATH (--owner EMAIL | --shared) [NAME …] [--draft]`."""

    help = (
        "Export templates: what is published, or the draft of those that never were. Into a zip "
        "if PATH ends in .zip, else into one folder for each template. Exit codes: 0 done, "
        "1 refused, 2 wrong arguments, 3 the path cannot be written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("path", type=Path, help="a folder, or a file that ends in .zip")
        parser.add_argument("names", nargs="*", metavar="NAME", help="all templates if none")
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--owner", metavar="EMAIL", help="those of this user")
        whose.add_argument("--shared", action="store_true", help="those of everybody")
        parser.add_argument("--draft", action="store_true", help="drafts, where there are any")
        parser.add_argument("--dry-run", action="store_true", help="list the files, write none")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Export, and list the files."""
        templates = Template.objects.filter(
            owner=None if options["shared"] else owner(options["owner"])
        )
        if options["names"]:
            templates = templates.filter(slug__in=options["names"])
        chosen = list(templates.order_by("slug"))
        if absent := sorted(set(options["names"]) - {one.slug for one in chosen}):
            raise CommandError(f"There is no template {', '.join(absent)}.", returncode=REFUSED)
        try:
            with Progress(self.stderr, "Exporting") as progress:
                files = _files(chosen, progress, prefers_draft=options["draft"])
            removed = [] if options["dry_run"] else _write(options["path"], files)
        except DomainError as error:
            raise CommandError("\n".join(told(error)), returncode=REFUSED) from error
        except OSError as error:
            raise CommandError(f"{options['path']}: {error}", returncode=UNWRITABLE) from error
        if options["json"]:
            report = {
                "dry_run": options["dry_run"],
                "templates": [one.slug for one in chosen],
                "files": list(files),
                "removed": removed,
            }
            self.stdout.write(json.dumps(report))
            return
        for name in files:
            self.stdout.write(name)
        for name in removed:
            self.stdout.write(f"removed {name}: no language of the template any more")
        verb = "would be exported" if options["dry_run"] else "exported"
        self.stdout.write(f"{len(chosen)} templates {verb}.")


def _files(templates: Sequence[Template], progress: Progress, *, prefers_draft: bool) -> Files:
    stand = standings([one.pk for one in templates])
    chosen = []
    for place, one in enumerate(templates):
        progress(place, len(templates))
        now = stand.get(one.pk)
        number = None
        if now is not None:
            order = (now.draft, now.published) if prefers_draft else (now.published, now.draft)
            number = next((found for found in order if found is not None), None)
        chosen.append(exported(one, number))
    return files_of(chosen)


def _write(path: Path, files: Files) -> list[str]:
    """Write the files; return those removed. Raises `OSError`."""
    if path.suffix.lower() != ".zip":
        return write_folder(path, files)
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(write_zip(files))
    beside.replace(path)
    return []
