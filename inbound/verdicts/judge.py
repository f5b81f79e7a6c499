"""The verdict on each hit of one mail, from the hit itself and from those beside it.

The rules are a table, and the first that speaks decides. What is decided depends on the hits alone,
not on their order nor on which of them are judged together, as long as those within `BESIDE` of a
hit are at hand.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from inbound.verdicts.reasons import Verdict
from inbound.verdicts.tables import place_of, reason_of_address, reason_of_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: Hits of a mail farther apart have nothing to do with each other.
BESIDE = timedelta(seconds=15)
#: So many different links from one network within so long are a machine's.
BURST_LINKS, BURST = 3, timedelta(seconds=3)
#: No person clicks so soon after a mail was handed over.
TOO_SOON = timedelta(seconds=2)
#: An image server that comes so soon fetches ahead.
AT_ONCE = timedelta(seconds=5)

_APPLE = "Mozilla/5.0"
_AHEAD = ("prefetch", "prerender", "preview")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a hit."""

    id: UUID
    at: datetime
    is_click: bool
    url: str = ""
    method: str = "GET"
    user_agent: str = ""
    #: IPv4 or IPv6; empty if unknown.
    address: str = ""
    #: Values of the headers by which browsers say why they ask.
    purpose: str = ""
    #: Different tracked links in the mail; 0 if unknown.
    link_count: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """Who it was, and why we think so: a code of `REASONS`."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class _Case:
    """A hit, and what its surroundings say of it."""

    hit: Facts
    #: Since the mail was handed over; None if that is not known.
    age: timedelta | None
    #: The code of the burst that it belongs to; empty if none.
    burst: str


def _head(case: _Case) -> Judgement | None:
    return Judgement(Verdict.SCANNER, "head") if case.hit.method == "HEAD" else None


def _says_so(case: _Case) -> Judgement | None:
    purpose = case.hit.purpose.lower()
    if any(word in purpose for word in _AHEAD):
        return Judgement(Verdict.PREFETCH, "prefetch_header")
    return None


def _agent(case: _Case) -> Judgement | None:
    """Judge by the program's name alone."""
    agent = case.hit.user_agent.strip()
    if not agent:
        return Judgement(Verdict.SCANNER, "no_agent")
    if agent == _APPLE:
        if case.hit.is_click:
            return Judgement(Verdict.SCANNER, "program")
        return Judgement(Verdict.PREFETCH, "apple_privacy")
    reason = reason_of_agent(agent)
    if reason == "image_proxy" and case.hit.is_click:
        return Judgement(Verdict.SCANNER, "proxy_clicks")
    if reason and reason != "image_proxy":
        return Judgement(Verdict.SCANNER, reason)
    return None


def _burst(case: _Case) -> Judgement | None:
    return Judgement(Verdict.SCANNER, case.burst) if case.burst else None


def _too_soon(case: _Case) -> Judgement | None:
    if case.hit.is_click and case.age is not None and case.age < TOO_SOON:
        return Judgement(Verdict.SCANNER, "too_soon")
    return None


def _image_proxy(case: _Case) -> Judgement | None:
    if reason_of_agent(case.hit.user_agent.strip()) != "image_proxy":
        return None
    if case.age is not None and case.age < AT_ONCE:
        return Judgement(Verdict.PREFETCH, "proxy_at_once")
    return Judgement(Verdict.PROXY, "image_proxy")


def _network(case: _Case) -> Judgement | None:
    reason = reason_of_address(case.hit.address)
    return Judgement(Verdict.SCANNER, reason) if reason else None


#: The first that speaks decides: image servers come from data centres, which are asked for last.
_RULES: Sequence[Callable[[_Case], Judgement | None]] = (
    _head,
    _says_so,
    _agent,
    _burst,
    _too_soon,
    _image_proxy,
    _network,
)
#: Of a hit that was somebody else's.
_NOBODY, _NEVER = UUID(int=0), datetime(1970, 1, 1, tzinfo=UTC)
_NO_SIGN = Judgement(Verdict.PERSON, "no_sign")


def judge(hits: Iterable[Facts], *, sent_at: datetime | None) -> dict[UUID, Judgement]:
    """Return the verdict on every hit of one mail; `sent_at` is None if that is not known."""
    hits = list(hits)
    bursts = _bursts(hits)
    return {
        hit.id: _judged(_Case(hit, hit.at - sent_at if sent_at else None, bursts.get(hit.id, "")))
        for hit in hits
    }


def judge_told(*, is_click: bool, user_agent: str, address: str, said: Verdict | None) -> Judgement:
    """Return the verdict on what another saw and tells of; `said` is what it takes it for itself.

    It comes alone, without what came beside it, and what is not told is no sign of a machine. An
    open without the program's name may well be an image server's, which data centres house.
    """
    if said is not None:
        return Judgement(said, "provider_says")
    hit = Facts(
        id=_NOBODY,
        at=_NEVER,
        is_click=is_click,
        user_agent=user_agent,
        address=address,
    )
    if user_agent.strip():
        return _judged(_Case(hit, None, ""))
    judgement = _network(_Case(hit, None, ""))
    if judgement is None or (judgement.reason == "data_centre" and not is_click):
        return _NO_SIGN
    return judgement


def _judged(case: _Case) -> Judgement:
    for rule in _RULES:
        judgement = rule(case)
        if judgement is not None:
            return judgement
    return _NO_SIGN


def _bursts(hits: Iterable[Facts]) -> Mapping[UUID, str]:
    """Return the hits that belong to a burst: clicks from one network, and opens among them."""
    by_place: dict[str, list[Facts]] = defaultdict(list)
    for hit in hits:
        by_place[place_of(hit.address)].append(hit)
    found: dict[UUID, str] = {}
    for each in by_place.values():
        clicks = sorted((hit for hit in each if hit.is_click), key=lambda hit: hit.at)
        for reason, first, last in _spans(clicks):
            for hit in each:
                # Many links at once is the plainer sign.
                if first <= hit.at <= last and found.get(hit.id) != "burst":
                    found[hit.id] = reason
    return found


def _spans(clicks: Sequence[Facts]) -> Iterable[tuple[str, datetime, datetime]]:
    """Yield the times in which one network clicked as machines do."""
    start = 0
    counts: dict[str, int] = defaultdict(int)
    for click in clicks:
        counts[click.url] += 1
        while click.at - clicks[start].at > BURST:
            counts[clicks[start].url] -= 1
            if not counts[clicks[start].url]:
                del counts[clicks[start].url]
            start += 1
        if len(counts) >= BURST_LINKS:
            yield "burst", clicks[start].at, click.at
        elif 1 < click.link_count == len(counts):
            yield "all_links", clicks[start].at, click.at
