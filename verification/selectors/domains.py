"""Questions about sender domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Q

from verification.domains.conventions import Key
from verification.domains.report import Plan
from verification.models import SenderDomain

if TYPE_CHECKING:
    from uuid import UUID

#: Rows held at once while reading all.
_CHUNK = 2_000


def plan_of(row: SenderDomain) -> Plan:
    """Return what is expected of a domain, as plain data."""
    return Plan(
        domain=row.domain,
        providers=tuple(row.providers),
        spf_includes=tuple(row.spf_includes),
        keys=tuple(
            Key(key["selector"], key["type"], key["value"], key["provider"]) for key in row.dkim
        ),
        return_path_domain=row.return_path_domain,
        return_path_target=row.return_path_target,
    )


def aligned_patterns(*owners: UUID | None) -> dict[tuple[str, UUID | None], list[str]]:
    """Return, by kind of provider and owner, which From domains are aligned (DMARC) there.

    `example.com` is that domain, `*.example.com` all below it. Of the owners given, None for the
    company; of all if none is. What the DNS last said counts: silence changes nothing.
    """
    rows = SenderDomain.objects.order_by("domain")
    if owners:
        named = Q(owner_id__in=[owner_id for owner_id in owners if owner_id is not None])
        rows = rows.filter(named | Q(owner__isnull=True) if None in owners else named)
    columns = ("owner_id", "domain", "aligned_providers", "aligned_below")
    found: dict[tuple[str, UUID | None], list[str]] = {}
    aligned = rows.exclude(aligned_providers=[]).values_list(*columns)
    for owner_id, domain, kinds, below in aligned.iterator(chunk_size=_CHUNK):
        for kind in kinds:
            patterns = found.setdefault((kind, owner_id), [])
            patterns += [domain, f"*.{domain}"] if kind in below else [domain]
    return found
