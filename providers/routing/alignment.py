"""From domains that accounts may have to send for only if DMARC lets their mail pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from providers.routing.domains import is_among

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Alignment:
    """Domain patterns that are aligned (by SPF or DKIM) at accounts of one kind."""

    #: For everybody's mail.
    shared: frozenset[str] = frozenset()
    #: For one owner's mail only: what somebody else says of a domain vouches for nobody's mail.
    own: Mapping[UUID, frozenset[str]] = field(default_factory=dict)

    def covers(self, domain: str, owner_id: UUID) -> bool:
        """Tell whether an owner's mail from a domain is aligned."""
        return is_among(domain, self.shared) or is_among(domain, self.own.get(owner_id, _NONE))

    def of_owner(self, owner_id: UUID | None) -> frozenset[str]:
        """Return the patterns for the mail of one owner; without one, of everybody."""
        return self.shared | self.own.get(owner_id, _NONE) if owner_id else self.shared


NO_ALIGNMENT = Alignment()
