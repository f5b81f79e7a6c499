"""Mails to begin with: a folder each, with `about.json`, `mail.html` or `mail.mjml`, `mail.txt`.

`about.json` holds `title`, `description`, `category`, `position`, `subject`, `preheader` and
`sample`. Every starter passes the lint without a remark.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from templates_app.rendering import (
    Finding,
    MailSource,
    Rendered,
    Shared,
    compile_mail,
    finish,
    lint,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Starter:
    """A mail to begin with."""

    name: str
    title: str
    description: str
    category: str
    subject: str
    preheader: str
    html: str
    text: str
    #: `html` or `mjml`.
    format: str
    position: int
    sample: dict[str, Any] = field(default_factory=dict)


class _NoLibrary:
    """Starters stand alone."""

    def find(self, name: str, kind: str) -> Shared | None:
        """Return nothing."""
        del name, kind
        return None

    def names(self, kind: str) -> Sequence[str]:
        """Return nothing."""
        del kind
        return []


def all_starters() -> list[Starter]:
    """Return the starters in the order they are offered in."""
    return list(_starters().values())


def starter(name: str) -> Starter | None:
    """Return one by its name."""
    return _starters().get(name)


def rendered(one: Starter) -> Rendered:
    """Return a starter filled with its sample data."""
    return _finished(one.name)[0]


def remarks(one: Starter) -> list[Finding]:
    """Return what the lint says of a starter."""
    return _finished(one.name)[1]


@cache
def _starters() -> dict[str, Starter]:
    found = [_read(path.parent) for path in _FOLDER.glob("*/about.json")]
    return {one.name: one for one in sorted(found, key=lambda one: one.position)}


def _read(folder: Path) -> Starter:
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    format_ = "mjml" if (folder / "mail.mjml").exists() else "html"
    text = folder / "mail.txt"
    return Starter(
        name=folder.name,
        html=(folder / f"mail.{format_}").read_text(encoding="utf-8"),
        text=text.read_text(encoding="utf-8") if text.exists() else "",
        format=format_,
        **about,
    )


@cache
def _finished(name: str) -> tuple[Rendered, list[Finding]]:
    one = _starters()[name]
    source = MailSource(
        subject=one.subject,
        preheader=one.preheader,
        html=one.html,
        text=one.text,
        format=one.format,
    )
    done = finish(source, _NoLibrary())
    mail = compile_mail(done.mail).render(one.sample)
    found = lint(done.bundles["html"], mail, is_marketing=one.category == "marketing")
    notes = [Finding(code, "warning", message, "") for code, message in done.notes]
    return mail, [*notes, *found]
