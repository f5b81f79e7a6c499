"""What a template said and says: its history, and how two versions differ."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import unified_diff
from typing import TYPE_CHECKING, Any, NamedTuple

from mailservice.core.errors import NotFoundError
from templates_app.models import TemplateVersion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

#: Versions that one look at the history shows at most.
MAX_HISTORY = 200
#: Lines up to which two texts are compared line by line: beyond, it takes too long.
_MAX_DIFF_LINES = 10_000
_PARTS = ("subject", "preheader", "html", "text")


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """One version of a template, in all its languages."""

    number: int
    locales: tuple[str, ...]
    #: By locale.
    subjects: Mapping[str, str]
    #: None for the draft.
    published_at: datetime | None
    published_by: str
    note: str

    @property
    def is_draft(self) -> bool:
        """True if it is not published yet."""
        return self.published_at is None


class PartDiff(NamedTuple):
    """How one part of one language differs; `diff` is in unified format."""

    locale: str
    part: str
    diff: str


def history(
    template_id: UUID,
    *,
    before: int | None = None,
    limit: int = MAX_HISTORY,
    drafts: bool = True,
) -> list[VersionSummary]:
    """Return the versions of a template, the newest first, at most `limit`.

    With `before`, those of lower numbers.
    """
    rows = TemplateVersion.objects.filter(template_id=template_id)
    if before is not None:
        rows = rows.filter(number__lt=before)
    if not drafts:
        rows = rows.filter(published_at__isnull=False)
    numbers = rows.order_by("-number").values_list("number", flat=True).distinct()[:limit]
    shown = rows.filter(number__in=list(numbers)).order_by("-number", "locale")
    versions: dict[int, list[dict[str, Any]]] = {}
    for row in shown.values(
        "number", "locale", "subject", "published_at", "published_by__email", "note"
    ):
        versions.setdefault(row["number"], []).append(dict(row))
    return [
        VersionSummary(
            number=number,
            locales=tuple(row["locale"] for row in found),
            subjects={row["locale"]: row["subject"] for row in found},
            published_at=found[0]["published_at"],
            published_by=found[0]["published_by__email"] or "",
            note=found[0]["note"],
        )
        for number, found in versions.items()
    ]


def diff_versions(*, template_id: UUID, old: int, new: int) -> list[PartDiff]:
    """Return how version `new` differs from `old`: only what does. Raises `NotFoundError`."""
    before, after = (_texts(template_id, number) for number in (old, new))
    diffs = []
    for locale in sorted({*before, *after}):
        for part in (*_PARTS, "format"):
            texts = [
                getattr(side.get(locale), part, "") if locale in side else ""
                for side in (before, after)
            ]
            if texts[0] != texts[1]:
                names = (f"v{old} {part}", f"v{new} {part}")
                diffs.append(PartDiff(locale, part, _unified(texts[0], texts[1], names)))
    return diffs


def _texts(template_id: UUID, number: int) -> dict[str, TemplateVersion]:
    found = TemplateVersion.objects.filter(template_id=template_id, number=number)
    texts = {one.locale: one for one in found}
    if not texts:
        raise NotFoundError(f"There is no version {number}.")
    return texts


def _unified(old: str, new: str, names: tuple[str, str]) -> str:
    before, after = old.splitlines(), new.splitlines()
    if len(before) + len(after) > _MAX_DIFF_LINES:
        lines = [f"--- {names[0]}", f"+++ {names[1]}"]
        lines += [f"-{line}" for line in before] + [f"+{line}" for line in after]
        return "\n".join(lines) + "\n"
    lines = list(unified_diff(before, after, *names, lineterm=""))
    return "\n".join(lines) + "\n"
