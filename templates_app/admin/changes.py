"""What an import would change, in words: pure."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import unified_diff
from typing import TYPE_CHECKING

from templates_app.lookup import locale_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from templates_app.exchange import Imported, TemplateData, TextData

#: Beyond, counting lines costs more than it tells.
_MAX_COMPARED_LINES = 4_000


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one template."""

    slug: str
    #: `created`, `updated` or `unchanged`.
    action: str
    title: str
    #: One line each: “de: html +3 -1, subject”.
    lines: tuple[str, ...]
    #: Under which number it would be published, if it would.
    published: int | None


def changes(
    before: Mapping[str, TemplateData],
    after: Sequence[TemplateData],
    done: Sequence[Imported],
) -> list[Change]:
    """Return what an import does, template by template, those that change first."""
    by_slug = {one.slug: one for one in after}
    found = [
        Change(
            one.slug,
            one.action,
            by_slug[one.slug].title,
            tuple(_lines(before.get(one.slug), by_slug[one.slug], one)),
            one.published,
        )
        for one in done
    ]
    return sorted(found, key=lambda one: (one.action == "unchanged", one.slug))


def _lines(old: TemplateData | None, new: TemplateData, done: Imported) -> list[str]:
    if old is None:
        return [f"languages: {', '.join(locale_name(one.locale) for one in new.texts)}"]
    now, wanted = old.fields(), new.fields()
    fields = [name for name, value in wanted.items() if now.get(name) != value]
    lines = [f"details: {', '.join(fields)}"] if fields else []
    texts = {one.locale: one for one in old.texts}
    for one in new.texts:
        if one.locale in done.written:
            what = ", ".join(changed_parts(texts.get(one.locale), one))
            lines.append(f"{locale_name(one.locale)}: {what}")
    lines += [f"{locale_name(locale)}: dropped" for locale in done.dropped]
    return lines


def changed_parts(old: TextData | None, new: TextData) -> list[str]:
    """Return the parts of a text that differ; of bodies, how many lines come and go."""
    if old is None:
        return ["new"]
    found = []
    for name in ("subject", "preheader", "format", "html", "text"):
        one, other = getattr(old, name), getattr(new, name)
        if one != other:
            shown = new.format if name == "html" else name
            found.append(f"{shown}{_count(one, other)}" if name in {"html", "text"} else name)
    return found


def _count(old: str, new: str) -> str:
    before, after = old.split("\n"), new.split("\n")
    if len(before) + len(after) > _MAX_COMPARED_LINES:
        return ""
    lines = list(unified_diff(before, after, n=0, lineterm=""))[2:]
    added = sum(line.startswith("+") for line in lines)
    removed = sum(line.startswith("-") for line in lines)
    return f" +{added} -{removed}"
