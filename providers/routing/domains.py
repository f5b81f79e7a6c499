"""Domains as rules and accounts name them: `example.com`, or `*.example.com` for all below it."""

from __future__ import annotations

from functools import lru_cache

from mailservice.core.addresses import domain_of, parse_email

_ANY_BELOW = "*."


def parse_domain_pattern(text: str) -> str:
    """Return the pattern in wire form (lower case, A-labels). Raises `AddressError`."""
    text = text.strip()
    prefix = _ANY_BELOW if text.startswith(_ANY_BELOW) else ""
    return prefix + domain_of(parse_email(f"postmaster@{text.removeprefix(prefix)}"))


def is_wildcard(pattern: str) -> bool:
    """Tell whether a pattern stands for all domains below one."""
    return pattern.startswith(_ANY_BELOW)


@lru_cache(maxsize=10_000)
def patterns_for(domain: str) -> frozenset[str]:
    """Return every pattern that a domain matches: itself, and one for each domain above it."""
    labels = domain.lower().split(".")
    above = (_ANY_BELOW + ".".join(labels[start:]) for start in range(1, len(labels)))
    return frozenset({domain.lower(), *above})


def is_among(domain: str, patterns: frozenset[str]) -> bool:
    """Tell whether a domain matches one of the patterns."""
    return not patterns.isdisjoint(patterns_for(domain))
