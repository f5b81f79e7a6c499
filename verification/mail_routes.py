"""Where domains take their mail, remembered by all processes together.

What is known stands in the broker's store for as long as DNS says. A domain that nobody knows is
looked up by one process, under a short-lived mark; the others wait for its answer. Without the
store each process remembers for itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from random import sample
from typing import TYPE_CHECKING, Any, TypeVar, cast

import orjson
from django.conf import settings

from mailservice.core.broker import BrokerError, redis_client
from verification.adapters.resolver import Found, Limits, find_routes
from verification.validation.results import UNKNOWN_ROUTE, MailRoute, MailRouteKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

logger = logging.getLogger(__name__)

#: However DNS sets them, answers stand at least and at most so long.
POSITIVE_SECONDS = (300, 86_400)
NEGATIVE_SECONDS = (60, 3_600)
#: Nobody asks a silent domain again for so long.
UNKNOWN_SECONDS = 30
#: Silence towards somebody in a hurry says less.
HASTY_SECONDS = 5
#: In a process's own memory an answer stands no longer.
OWN_SECONDS = 60
MAX_OWN = 20_000
#: After so long the process that looks a domain up is taken for dead.
MARK_SECONDS = 10
#: After the store failed, nobody waits for it again for so long.
PAUSE_SECONDS = 5.0
_POLL_SECONDS = 0.03

_ROUTE, _MARK = "mailroute:", "mailroute-mark:"
_POSITIVE = frozenset({MailRouteKind.MX, MailRouteKind.ADDRESS})

_T = TypeVar("_T")
_lock = threading.Lock()
_own: OrderedDict[str, tuple[float, MailRoute]] = OrderedDict()
_paused_until = 0.0


def mail_routes(
    domains: Iterable[str], *, budget_seconds: float, concurrency: int = 32
) -> dict[str, MailRoute]:
    """Return for each domain (A-labels) where it takes its mail, within the budget.

    What does not become known in time is `unknown`. Never raises.
    """
    deadline = time.monotonic() + budget_seconds
    routes = {}
    missing = set()
    for domain in domains:
        route = _remembered(domain)
        if route is None:
            missing.add(domain)
        else:
            routes[domain] = route
    while missing:
        known = _shared(missing)
        routes |= known
        missing -= known.keys()
        if not missing or time.monotonic() >= deadline:
            break
        # A few at a time, and not the same ones as others choose: answers are shared early.
        mine = _marked(sample(sorted(missing), min(len(missing), 2 * concurrency)))
        if mine:
            found = _look_up(mine, deadline, concurrency)
            routes |= found
            missing -= found.keys()
        else:
            time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))
    return routes | dict.fromkeys(missing, UNKNOWN_ROUTE)


def forget_mail_routes() -> None:
    """Forget what this process remembers for itself."""
    global _paused_until  # noqa: PLW0603 - of the whole process
    with _lock:
        _own.clear()
    _paused_until = 0.0


def _look_up(domains: Collection[str], deadline: float, concurrency: int) -> dict[str, MailRoute]:
    """Ask DNS about domains whose marks are ours, and take the marks away."""
    # Who held a mark before us may have answered between our look at the store and our mark.
    known = _shared(domains)
    limits = Limits(
        budget_seconds=max(0.0, deadline - time.monotonic()),
        domain_seconds=settings.DNS_TIMEOUT_SECONDS,
        concurrency=concurrency,
    )
    found = find_routes(
        [each for each in domains if each not in known],
        resolvers=settings.DNS_RESOLVERS,
        limits=limits,
    )
    is_patient = limits.budget_seconds >= limits.domain_seconds
    _share(
        {
            domain: (each.route, _seconds(each, is_patient=is_patient))
            for domain, each in found.items()
        },
        marks=domains,
    )
    return known | {domain: each.route for domain, each in found.items()}


def _seconds(found: Found, *, is_patient: bool) -> int:
    """Return how long an answer stands."""
    if found.route.kind is MailRouteKind.UNKNOWN:
        return UNKNOWN_SECONDS if is_patient else HASTY_SECONDS
    least, most = POSITIVE_SECONDS if found.route.kind in _POSITIVE else NEGATIVE_SECONDS
    return int(min(max(found.ttl_seconds, least), most))


# --- this process ---------------------------------------------------------------------------------


def _remembered(domain: str) -> MailRoute | None:
    held = _own.get(domain)
    return held[1] if held is not None and held[0] > time.monotonic() else None


def _remember(routes: Mapping[str, tuple[MailRoute, float]]) -> None:
    now = time.monotonic()
    with _lock:
        for domain, (route, seconds) in routes.items():
            _own[domain] = (now + min(seconds, OWN_SECONDS), route)
            _own.move_to_end(domain)
        while len(_own) > MAX_OWN:
            _own.popitem(last=False)


# --- all processes --------------------------------------------------------------------------------


def _shared(domains: Collection[str]) -> dict[str, MailRoute]:
    """Return what the store knows, and remember it for the rest of its time there."""
    names = list(domains)

    def read() -> list[Any]:
        pipe = redis_client().pipeline(transaction=False)
        for name in names:
            pipe.get(_ROUTE + name)
            pipe.pttl(_ROUTE + name)
        return pipe.execute()

    answers = _with_store(read, default=[])
    found = {}
    for index, name in enumerate(names if answers else ()):
        data, left_ms = answers[2 * index : 2 * index + 2]
        route = _decode(data) if data else None
        if route is not None:
            found[name] = (route, max(left_ms, 0) / 1000)
    _remember(found)
    return {name: route for name, (route, _) in found.items()}


def _marked(domains: Collection[str]) -> list[str]:
    """Return the domains that are ours to look up: nobody else is at it."""
    names = list(domains)

    def mark() -> list[Any]:
        pipe = redis_client().pipeline(transaction=False)
        for name in names:
            pipe.set(_MARK + name, b"1", nx=True, ex=MARK_SECONDS)
        return pipe.execute()

    taken = _with_store(mark, default=[True] * len(names))
    return [name for name, is_ours in zip(names, taken, strict=True) if is_ours]


def _share(found: Mapping[str, tuple[MailRoute, int]], *, marks: Collection[str]) -> None:
    """Tell everybody, and take our marks away."""
    _remember(found)

    def write() -> list[Any]:
        pipe = redis_client().pipeline(transaction=False)
        for domain, (route, seconds) in found.items():
            pipe.set(_ROUTE + domain, _encode(route), ex=seconds)
        pipe.delete(*(_MARK + domain for domain in marks))
        return pipe.execute()

    _with_store(write, default=[])


def _with_store(work: Callable[[], list[_T]], *, default: list[_T]) -> list[_T]:
    global _paused_until  # noqa: PLW0603 - holds for the whole process
    if time.monotonic() < _paused_until:
        return default
    try:
        return work()
    except (BrokerError, OSError) as error:
        _paused_until = time.monotonic() + PAUSE_SECONDS
        logger.warning("No shared memory of mail routes for now: %s", error)
        return default


def _encode(route: MailRoute) -> bytes:
    return orjson.dumps([route.kind.value, *route.hosts])


def _decode(data: bytes) -> MailRoute | None:
    try:
        kind, *hosts = cast("list[str]", orjson.loads(data))
        return MailRoute(MailRouteKind(kind), tuple(hosts))
    except ValueError:  # written by another version
        return None
