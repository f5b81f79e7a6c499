"""Asks DNS where domains take their mail: MX, else A or AAAA (RFC 5321 §5.1, RFC 7505)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.rdtypes.ANY.MX
import dns.resolver

from verification.validation.results import UNKNOWN_ROUTE, MailRoute, MailRouteKind

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from dns.resolver import Answer

#: One resolver is given so long before the next is asked.
TRY_SECONDS = 1.0
#: More mail hosts are of no use to anybody.
MAX_HOSTS = 10
DNS_PORT = 53
#: How long a process remembers whether a resolver knows the world.
CUT_OFF_SECONDS = 60.0
_LEAST_SECONDS = 0.1
_NO_DOMAIN = MailRouteKind.NO_DOMAIN
#: Resolvers → until when, and whether they deny the root.
_cut_off: dict[str, tuple[float, bool]] = {}


@dataclass(frozen=True, slots=True)
class Limits:
    """What looking up a number of domains may cost."""

    #: All of them together.
    budget_seconds: float
    #: Each of them.
    domain_seconds: float
    #: Asked about at the same time.
    concurrency: int


@dataclass(frozen=True, slots=True)
class Found:
    """What DNS says of a domain, and for how long it stands."""

    route: MailRoute
    ttl_seconds: float


def find_routes(
    domains: Collection[str], *, resolvers: Sequence[str], limits: Limits
) -> dict[str, Found]:
    """Return for each domain where it takes its mail.

    `domains` are A-labels; `resolvers` are what `parse_resolver` reads, none for the system's.
    Silence is `unknown`, never an error; a domain whose turn did not come within the budget is
    left out.
    """
    if not domains:
        return {}
    try:
        resolver = _resolver(resolvers)
    except dns.exception.DNSException:  # no usable /etc/resolv.conf
        return {domain: Found(UNKNOWN_ROUTE, 0) for domain in domains}
    return asyncio.run(_find_all(domains, resolver, limits))


def find_addresses(host: str, *, resolvers: Sequence[str], seconds: float) -> list[str]:
    """Return the IP addresses of a host, IPv4 first; none if nobody tells in time."""
    try:
        return asyncio.run(_addresses(host, _resolver(resolvers), seconds))
    except (dns.exception.DNSException, OSError, TimeoutError, ValueError):
        return []


async def _addresses(host: str, resolver: dns.asyncresolver.Resolver, seconds: float) -> list[str]:
    found = []
    for kind in ("A", "AAAA"):
        answer = await asyncio.wait_for(_ask(host, kind, resolver, seconds), seconds)
        found += [record.to_text() for record in answer.rrset or ()]
    return found


def parse_resolver(text: str) -> tuple[str, int]:
    """Return address and port of `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[…]:5353`.

    Raises `ValueError`.
    """
    address, port = text.strip(), ""
    if address.startswith("["):
        address, _, port = address[1:].partition("]")
    elif address.count(":") == 1:
        address, _, port = address.partition(":")
    return str(ip_address(address)), int(port.removeprefix(":") or DNS_PORT)


def _resolver(resolvers: Sequence[str]) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=not resolvers)
    if resolvers:
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(*parse_resolver(text)) for text in resolvers
        ]
    resolver.timeout = TRY_SECONDS
    resolver.use_edns(0, 0, 1232)
    return resolver


async def _find_all(
    domains: Collection[str], resolver: dns.asyncresolver.Resolver, limits: Limits
) -> dict[str, Found]:
    deadline = time.monotonic() + limits.budget_seconds
    turns = asyncio.Semaphore(limits.concurrency)

    async def find(domain: str) -> Found | None:
        async with turns:
            seconds = min(limits.domain_seconds, deadline - time.monotonic())
            if seconds <= 0:
                return None
            try:
                return await asyncio.wait_for(_find(domain, resolver, seconds), seconds)
            except (dns.exception.DNSException, OSError, TimeoutError, ValueError):
                return Found(UNKNOWN_ROUTE, 0)

    names = list(domains)
    answers = zip(names, await asyncio.gather(*map(find, names)), strict=True)
    found = {domain: answer for domain, answer in answers if answer is not None}
    gone = [each for each, answer in found.items() if answer.route.kind is _NO_DOMAIN]
    if gone and await _is_cut_off(resolver, deadline):
        found |= dict.fromkeys(gone, Found(UNKNOWN_ROUTE, 0))
    return found


async def _is_cut_off(resolver: dns.asyncresolver.Resolver, deadline: float) -> bool:
    """Tell whether the resolver denies even the root: it then knows no names but its own.

    That is what resolvers inside closed networks do; their "no such domain" means nothing.
    """
    key = ",".join(str(server) for server in resolver.nameservers)
    now = time.monotonic()
    known = _cut_off.get(key)
    if known is not None and known[0] > now:
        return known[1]
    seconds = min(TRY_SECONDS, max(_LEAST_SECONDS, deadline - now))
    denies = False
    try:
        await asyncio.wait_for(_ask("", "NS", resolver, seconds), seconds)
    except dns.resolver.NXDOMAIN:
        denies = True
    except (dns.exception.DNSException, OSError, TimeoutError):
        pass  # whoever keeps silent about the root may know the rest
    _cut_off[key] = (now + CUT_OFF_SECONDS, denies)
    return denies


async def _find(domain: str, resolver: dns.asyncresolver.Resolver, seconds: float) -> Found:
    """Return what DNS says. Raises `DNSException` and `OSError` if it says nothing."""
    try:
        answer = await _ask(domain, "MX", resolver, seconds)
        ttl = _ttl(answer)
        if answer.rrset is not None:
            return Found(_from_mx(answer), ttl)
        for kind in ("A", "AAAA"):
            answer = await _ask(domain, kind, resolver, seconds)
            ttl = min(ttl, _ttl(answer))
            if answer.rrset is not None:
                return Found(MailRoute(MailRouteKind.ADDRESS, (domain,)), ttl)
    except dns.resolver.NXDOMAIN as error:
        return Found(MailRoute(MailRouteKind.NO_DOMAIN), _negative_ttl(error))
    return Found(MailRoute(MailRouteKind.NOWHERE), ttl)


async def _ask(
    domain: str, kind: str, resolver: dns.asyncresolver.Resolver, seconds: float
) -> Answer:
    name = dns.name.from_text(domain + ".")
    return await resolver.resolve(
        name, kind, raise_on_no_answer=False, lifetime=seconds, search=False
    )


def _from_mx(answer: Answer) -> MailRoute:
    records = [cast("dns.rdtypes.ANY.MX.MX", record) for record in answer]
    records.sort(key=lambda record: record.preference)
    hosts = [record.exchange.to_text(omit_final_dot=True).lower() for record in records]
    # "." alone is the null MX; beside others it is a slip.
    named = [host for host in dict.fromkeys(hosts) if host != "."]
    if not named:
        return MailRoute(MailRouteKind.NULL_MX)
    return MailRoute(MailRouteKind.MX, tuple(named[:MAX_HOSTS]))


def _ttl(answer: Answer) -> float:
    return float(answer.chaining_result.minimum_ttl)


def _negative_ttl(error: dns.resolver.NXDOMAIN) -> float:
    """Return how long the domain stays missing (RFC 2308 §5)."""
    responses: dict[dns.name.Name, dns.message.QueryMessage] = error.kwargs["responses"]
    ttls = [float(each.resolve_chaining().minimum_ttl) for each in responses.values()]
    return min(ttls, default=0.0)
