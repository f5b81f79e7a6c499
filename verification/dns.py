"""The one door to the DNS: bounded in time, and clear about what is not known.

Answers tell "there is none" from "we could not find out": nobody's address or domain may be called
bad because a name server was slow. Names and values are ASCII, in lower case where case has no
meaning, without the final dot. Resolvers come from `settings.DNS_RESOLVERS`, else from the system.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
from django.conf import settings

from verification.adapters.resolver import parse_resolver

if TYPE_CHECKING:
    from collections.abc import Callable

#: Types that are asked for, and how a record of it reads.
_WRITERS: dict[str, Callable[[Any], str]] = {
    "A": lambda record: str(record.address),
    "AAAA": lambda record: str(record.address),
    "CNAME": lambda record: _host(record.target),
    "MX": lambda record: f"{record.preference} {_host(record.exchange) or '.'}",
    "NS": lambda record: _host(record.target),
    "TXT": lambda record: b"".join(record.strings).decode("utf-8", "replace"),
}


class Status(StrEnum):
    """What became of a question."""

    #: There are records.
    FOUND = "found"
    #: The name exists, without records of this type.
    EMPTY = "empty"
    #: There is no such name (NXDOMAIN), or there cannot be.
    ABSENT = "absent"
    #: Nobody answered in time, or only to say that they cannot (SERVFAIL, REFUSED).
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the DNS says about one name and type."""

    status: Status
    #: TXT strings are joined; MX reads "10 mail.example.com", the null MX "0 .".
    records: tuple[str, ...] = ()
    #: For how long it may be remembered; 0 if it may not.
    ttl_seconds: int = 0
    #: Where aliases (CNAME) led to, or empty.
    canonical: str = ""
    #: What went wrong, for people; only if unknown.
    detail: str = ""

    @property
    def is_known(self) -> bool:
        """Tell whether somebody who knows has answered."""
        return self.status is not Status.UNKNOWN


class Budget:
    """Seconds that several questions may take together; for one thread or many."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    @property
    def left_seconds(self) -> float:
        """Return what is left, never below 0."""
        return max(0.0, self._ends_at - time.monotonic())


def look_up(name: str, kind: str, *, budget: Budget | None = None) -> Answer:
    """Ask for the records of a type (`A`, `AAAA`, `CNAME`, `MX`, `NS`, `TXT`); never raises.

    Takes at most `settings.DNS_TIMEOUT_SECONDS`, and no longer than the budget has left.
    """
    seconds = float(settings.DNS_TIMEOUT_SECONDS)
    if budget is not None:
        seconds = min(seconds, budget.left_seconds)
    if seconds <= 0:
        return Answer(Status.UNKNOWN, detail="The time allowed for look-ups is used up.")
    try:
        asked = dns.name.from_text(name.rstrip(".") + ".")
    except (dns.exception.DNSException, UnicodeError):
        return Answer(Status.ABSENT)
    try:
        resolver = _resolver(tuple(settings.DNS_RESOLVERS), float(settings.DNS_TIMEOUT_SECONDS))
        found = resolver.resolve(
            asked, kind, lifetime=seconds, raise_on_no_answer=False, search=False
        )
    except dns.resolver.NXDOMAIN:
        return Answer(Status.ABSENT, ttl_seconds=0)
    except (dns.exception.DNSException, OSError) as error:
        return Answer(Status.UNKNOWN, detail=_reason(error))
    return _answer(found, kind)


def _answer(found: dns.resolver.Answer, kind: str) -> Answer:
    ttl = max(0, int(found.expiration - time.time()))
    canonical = _host(found.canonical_name)
    canonical = "" if canonical == _host(found.qname) else canonical
    if found.rrset is None:
        return Answer(Status.EMPTY, ttl_seconds=ttl, canonical=canonical)
    write = _WRITERS[kind]
    records = tuple(sorted(write(record) for record in found.rrset))
    return Answer(Status.FOUND, records, ttl, canonical)


@lru_cache(maxsize=8)
def _resolver(servers: tuple[str, ...], timeout_seconds: float) -> dns.resolver.Resolver:
    """Return a resolver, which is safe to share between threads and keeps no cache."""
    resolver = dns.resolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(*parse_resolver(text)) for text in servers
        ]
    # Several servers share the time: the second is asked when the first is silent for so long.
    resolver.timeout = min(1.0, timeout_seconds)
    return resolver


def _host(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if len(name) > 1 else ""


def _reason(error: Exception) -> str:
    if isinstance(error, dns.exception.Timeout):
        return "No name server answered in time."
    if isinstance(error, dns.resolver.NoNameservers):
        return "The name servers could not answer (SERVFAIL or REFUSED)."
    if isinstance(error, dns.resolver.NoResolverConfiguration):
        return "No name server is configured."
    return "The look-up failed."
