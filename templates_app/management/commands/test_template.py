"""Render a template in all its languages, look for faults, and send it to somebody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from mailservice.core.addresses import AddressError, parse_address
from mailservice.core.errors import DomainError, InvalidInputError, NotFoundError
from mailservice.core.headers import UNSAFE_IN_HEADER
from mailservice.core.mail import ServiceMail, Terms
from templates_app.lookup import best_text, find_usable, locale_name, number_of, texts_of
from templates_app.management.people import owner, told
from templates_app.models import Kind
from templates_app.services import Reader, preview_version

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from templates_app.models import Template, TemplateVersion
    from templates_app.rendering import Finding
    from templates_app.services import Preview

#: Exit codes beside 0 and argparse's 2.
FAULTY, REMARKS, NOT_FOUND = 1, 3, 4


class Command(BaseCommand):
    """`manage.py test_template NAME [--owner EMAIL] [--context FILE] [--to EMAIL] [--dry-run]`."""

    help = (
        "Render a template by the engine that sends. Exit codes: 0 fine, 1 it cannot be rendered "
        "or sent, 2 wrong arguments, 3 the lint finds errors (with --strict: warnings, too), "
        "4 there is no such template or version."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("name", help="name or id of the template")
        parser.add_argument("--owner", metavar="EMAIL", help="also look among this user's own")
        parser.add_argument("--release", default="", help="draft, published or a number")
        parser.add_argument("--locale", help="only the text a reader of this locale gets")
        parser.add_argument("--context", type=Path, help="a JSON file instead of the sample data")
        parser.add_argument("--marketing", action="store_true", help="it needs an unsubscribe link")
        parser.add_argument("--to", metavar="EMAIL", help="send what is rendered there")
        parser.add_argument("--dry-run", action="store_true", help="check all, send nothing")
        parser.add_argument("--strict", action="store_true", help="warnings are errors")
        parser.add_argument("--show", action="store_true", help="print the texts")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Render each text, print what is found, send it if asked to."""
        user_id = owner(options["owner"]).pk if options["owner"] else None
        context = _context(options["context"])
        try:
            template = find_usable(options["name"], user_id)
            texts = texts_of(template, number_of(template, options["release"]))
        except NotFoundError as error:
            raise CommandError(error.message, returncode=NOT_FOUND) from error
        chosen = list(texts.values())
        if options["locale"] is not None:
            chosen = [best_text(texts, options["locale"])]
        seen = _Seen()
        for version in chosen:
            reader = Reader(
                context=context,
                locale=options["locale"] or version.locale,
                is_marketing=options["marketing"],
            )
            self._test(template, version, reader, seen)
        if options["to"] and not seen.faults:
            seen.mails = [
                _mail(template, *one, to=options["to"], owner_id=user_id) for one in seen.previews
            ]
            if not options["dry_run"]:
                _send(seen.mails)
        self._report(template, seen, options)

    def _test(
        self, template: Template, version: TemplateVersion, reader: Reader, seen: _Seen
    ) -> None:
        try:
            seen.previews.append((version, preview_version(version, reader)))
        except InvalidInputError as error:
            place = f"{template.slug}/{locale_name(version.locale)}"
            seen.faults += [f"{place}: {line}" for line in told(error)]

    def _report(self, template: Template, seen: _Seen, options: Mapping[str, Any]) -> None:
        if options["json"]:
            report = seen.as_json(template, shows=options["show"])
            report |= {"dry_run": options["dry_run"], "mails": seen.recipients()}
            self.stdout.write(json.dumps(report))
        else:
            for line in seen.lines(template, shows=options["show"]):
                self.stdout.write(line)
            verb = "would be queued" if options["dry_run"] else "queued"
            for to in seen.recipients():
                self.stdout.write(f"A mail to {to} {verb}.")
        if seen.faults:
            raise CommandError("\n".join(seen.faults), returncode=FAULTY)
        bad = {"error", "warning"} if options["strict"] else {"error"}
        count = sum(one.severity in bad for one in seen.findings())
        if count:
            raise CommandError(f"The lint objects to {count} things.", returncode=REMARKS)


class _Seen:
    """What rendering the texts has brought."""

    def __init__(self) -> None:
        self.previews: list[tuple[TemplateVersion, Preview]] = []
        self.faults: list[str] = []
        self.mails: list[ServiceMail] = []

    def recipients(self) -> list[str]:
        """Return to whom the mails go."""
        return [to for mail in self.mails for to in mail.to]

    def findings(self) -> Iterable[Finding]:
        """Yield the remarks on all texts."""
        for _, preview in self.previews:
            yield from preview.warnings

    def as_json(self, template: Template, *, shows: bool) -> dict[str, Any]:
        """Return all of it for programs."""
        return {
            "template": template.slug,
            "faults": self.faults,
            "texts": [
                {
                    "locale": locale_name(version.locale),
                    "version": version.number,
                    "subject": preview.subject,
                    "html_bytes": len(preview.html.encode()),
                    "missing": preview.missing,
                    "warnings": [remark(one) for one in preview.warnings],
                    **({"html": preview.html, "text": preview.text} if shows else {}),
                }
                for version, preview in self.previews
            ],
        }

    def lines(self, template: Template, *, shows: bool) -> Iterable[str]:
        """Yield all of it for people."""
        for version, preview in self.previews:
            size = len(preview.html.encode())
            place = f"{template.slug}/{locale_name(version.locale)} v{version.number}"
            yield f"{place}: {preview.subject} ({size:,} bytes of HTML)"
            for one in preview.warnings:
                where = f" (line {one.line}, column {one.column})" if one.line else ""
                yield f"  {one.severity}: {one.message}{where} {one.hint}".rstrip()
            if shows:
                yield from ("", preview.html, "", preview.text)


def remark(one: Finding) -> dict[str, Any]:
    """Return a remark for programs."""
    return one._asdict()  # noqa: SLF001 - what it is called with every named tuple


def _context(path: Path | None) -> dict[str, Any] | None:
    """Return the object in a file. Raises `CommandError`."""
    if path is None:
        return None
    try:
        context = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CommandError(f"{path}: {error}") from error
    if not isinstance(context, dict):
        raise CommandError(f"{path}: a context is a JSON object.")
    return context


def _mail(
    template: Template,
    version: TemplateVersion,
    preview: Preview,
    *,
    to: str,
    owner_id: UUID | None,
) -> ServiceMail:
    """Return what was rendered as a mail. Raises `CommandError`."""
    if template.kind != Kind.MAIL:
        raise CommandError("Layouts and partials are not sent: test a mail that uses it.")
    if UNSAFE_IN_HEADER.search(preview.subject):
        raise CommandError("The subject holds a line break or control character.")
    metadata = {"template": template.slug, "template_version": version.number}
    try:
        mail = ServiceMail(
            subject=preview.subject,
            body=preview.text,
            to=[parse_address(to).email],
            terms=Terms(owner_id=owner_id, metadata=metadata),
        )
    except AddressError as error:
        raise CommandError(f"--to: {error.message}") from error
    if preview.html:
        mail.attach_alternative(preview.html, "text/html")
    return mail


def _send(mails: Iterable[ServiceMail]) -> None:
    """Queue all mails or none. Raises `CommandError`."""
    try:
        with transaction.atomic():
            for mail in mails:
                mail.send(fail_silently=False)
    except DomainError as error:
        raise CommandError("\n".join(told(error))) from error
