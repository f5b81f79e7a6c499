"""Questions about sender domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verification.domains.conventions import Key
from verification.domains.report import Plan
from verification.models import SenderDomain

if TYPE_CHECKING:
    from uuid import UUID


def plan_of(row: SenderDomain) -> Plan:
    """Return what is expected of a domain, as plain data."""
    return Plan(
        domain=row.domain,
        providers=tuple(row.providers),
        spf_includes=tuple(row.spf_includes),
        keys=tuple(Key(key["selector"], key["type"], key["value"]) for key in row.dkim),
        return_path_domain=row.return_path_domain,
        return_path_target=row.return_path_target,
    )


def aligned_domains(kind: str, *, owner_id: UUID | None) -> frozenset[str]:
    """Return the domains whose mail is aligned (DMARC) when providers of a kind send it.

    For an account with an owner, the owner's domains and the company's count; for one of the
    company, all. A From at or below one of them is aligned (`domains.report.is_from_aligned`).
    What the DNS last said counts: silence changes nothing.
    """
    rows = SenderDomain.objects.filter(aligned_providers__contains=[kind])
    if owner_id is not None:
        rows = rows.visible_to(owner_id)
    return frozenset(rows.values_list("domain", flat=True))
