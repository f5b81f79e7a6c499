"""Which From domains are aligned at which kinds of accounts: kept here for the choice of one.

The facts are those of sender domains; `delivery.services.alignment` brings them here.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, Max, Q, Sum

from providers.models import AlignedDomains
from providers.routing import NO_ALIGNMENT, Alignment
from providers.routing.domains import is_wildcard

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

#: Kind of account, and whose mail; None for everybody's.
Place = tuple[str, "UUID | None"]
#: Rows of one statement, whose parameters are bounded.
_BATCH = 2_000
#: Domains named in a sentence.
_MAX_NAMES = 10


@dataclass(frozen=True, slots=True)
class _Held:
    """All lists as last read."""

    #: Their number, and the sum and the highest of their ids: whether they still hold.
    version: tuple[int, int, int]
    #: With their ids.
    lists: Mapping[Place, tuple[int, frozenset[str]]]
    by_kind: Mapping[str, Alignment]


_lock = threading.Lock()
_held = _Held((0, 0, 0), {}, {})


def replace_aligned(
    found: Mapping[Place, Sequence[str]], *, owners: Iterable[UUID | None] | None = None
) -> int:
    """Make the patterns kept those given; return how many places changed.

    `owners` bounds it to what is kept for them, None to none: all. Call it in a transaction in
    which nobody else does this.
    """
    rows = AlignedDomains.objects.all()
    if owners is not None:
        rows = rows.filter(_is_of(owners))
    kept = {(row.kind, row.owner_id): row for row in rows}
    changed = {
        place
        for place in kept.keys() | found.keys()
        if place not in kept or kept[place].patterns != list(found.get(place, ()))
    }
    stale = [kept[place].pk for place in changed & kept.keys()]
    for start in range(0, len(stale), _BATCH):
        AlignedDomains.objects.filter(pk__in=stale[start : start + _BATCH]).delete()
    AlignedDomains.objects.bulk_create(
        [
            AlignedDomains(kind=kind, owner_id=owner_id, patterns=list(found[kind, owner_id]))
            for kind, owner_id in changed & found.keys()
        ],
        batch_size=_BATCH,
    )
    return len(changed)


def alignment_in_words(kind: str, owner_id: UUID | None) -> str:
    """Return for whose mail and which From domains accounts of a kind and owner are aligned."""
    found = alignments().get(kind, NO_ALIGNMENT)
    patterns = found.of_owner(owner_id)
    names = sorted(pattern for pattern in patterns if not is_wildcard(pattern))
    words = [f"{name} and below" if f"*.{name}" in patterns else name for name in names]
    if len(words) > _MAX_NAMES:
        words[_MAX_NAMES:] = [f"{len(words) - _MAX_NAMES:,} more"]
    if owner_id is None and found.own:
        words.append("domains of single users, each for their own mail")
    return ", ".join(words)


def alignments() -> Mapping[str, Alignment]:
    """Return what is aligned, by kind; only what has changed is read anew."""
    global _held  # noqa: PLW0603 - a cache of the whole process
    now = AlignedDomains.objects.aggregate(count=Count("pk"), sum=Sum("pk"), last=Max("pk"))
    version = now["count"], int(now["sum"] or 0), now["last"] or 0
    held = _held
    if held.version == version:
        return held.by_kind
    lists = {**held.lists, **_read(after=held.version[2])}
    if (len(lists), sum(number for number, _ in lists.values())) != version[:2]:
        # Some are gone, not only replaced; or were read in a transaction that was undone.
        lists = _read(after=0)
    fresh = _Held(version, lists, _by_kind(lists))
    with _lock:
        _held = fresh
    return fresh.by_kind


def _read(*, after: int) -> dict[Place, tuple[int, frozenset[str]]]:
    rows = AlignedDomains.objects.filter(pk__gt=after)
    columns = rows.values_list("pk", "kind", "owner_id", "patterns")
    return {
        (kind, owner_id): (number, frozenset(patterns))
        for number, kind, owner_id, patterns in columns
    }


def _by_kind(lists: Mapping[Place, tuple[int, frozenset[str]]]) -> dict[str, Alignment]:
    shared: dict[str, frozenset[str]] = {}
    own: dict[str, dict[UUID, frozenset[str]]] = {}
    for (kind, owner_id), (_, patterns) in lists.items():
        if owner_id is None:
            shared[kind] = patterns
        else:
            own.setdefault(kind, {})[owner_id] = patterns
    return {
        kind: Alignment(shared.get(kind, frozenset()), own.get(kind, {}))
        for kind in shared.keys() | own.keys()
    }


def _is_of(owners: Iterable[UUID | None]) -> Q:
    given = list(owners)
    wanted = Q(owner_id__in=[owner_id for owner_id in given if owner_id is not None])
    return wanted | Q(owner__isnull=True) if None in given else wanted
