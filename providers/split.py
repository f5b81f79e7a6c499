"""The cheapest way to share a month's mail among accounts: pure, and exact.

Each account's cost is a line with corners: nothing while it is left out, then its fee, free mails
and tiers, up to its limits. Tiers that get cheaper with volume make the sum neither convex nor
concave, so that taking the cheapest mail first can end at a wrong answer, and so can comparing
accounts two by two. Therefore *branch and bound*:

* Between two bounds an account's cost is never below its *hull*, the largest convex line under its
  corners. With hulls instead of costs the cheapest split is found by taking the cheapest next
  stretch first, among those that can still be taken (mails of one kind may be barred from some
  accounts; what can be shared out is a polymatroid, where that greedy is exact for convex costs).
  What comes out can be done, so its true cost is an upper bound, and its cost by hulls a lower one.
* With one kind of mail at most one account ends strictly between two corners of its hull: the
  greedy fills stretch after stretch, and only the last may be left unfinished. (The same holds for
  the best split itself: of two accounts strictly inside straight stretches, mails can be moved from
  one to the other at a constant gain or loss; one of the two directions is no loss, until one of
  them stands at a corner.) At its corners a hull touches the cost, so the whole gap between the two
  bounds is at accounts that are inside.
* The account with the widest gap is looked at twice, below and above a true corner inside that
  stretch. Between two neighbouring corners hull and cost are one, so this ends, and the best of all
  is the best there is.

Amounts are whole nanos and whole mails: nothing is rounded. Real price lists take a handful of
questions. The worst ones (many accounts that cost little but their fees are a knapsack) can take
any number, so the search is bounded, and then tells how far from the best its answer can be at
most.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from heapq import heappop, heappush
from itertools import count, pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from providers.pricing import Pricing

#: Bounds the work: questions times accounts times kinds (and two). A second or so at the very most.
_MAX_WORK = 100_000
_MIN_NODES = 200
MAX_ACCOUNTS = 30
MAX_KINDS = 20


@dataclass(frozen=True)
class Account:
    """What an account takes in the month, and for how much."""

    provider_id: UUID
    name: str
    pricing: Pricing
    #: Mails that its limits let through in the month; None without limits.
    capacity: int | None = None
    #: It gets at least and at most so many mails, whatever that costs.
    at_least: int = 0
    at_most: int | None = None

    def room(self, volume: int) -> int:
        """Return how many of `volume` mails it can take at most."""
        bounds = (self.capacity, self.at_most)
        return min([volume, *(bound for bound in bounds if bound is not None)])

    def cost(self, mails: int) -> int:
        """Return what it costs to send so many; the fee is saved only by sending none."""
        if not mails:
            return 0
        return self.pricing.fee_nanos + self.pricing.nanos_for(mails)


@dataclass(frozen=True)
class Kind:
    """Mail that only some accounts may take, such as one email type."""

    name: str
    mails: int
    #: The accounts that may; None for all.
    eligible: frozenset[UUID] | None = None


@dataclass(frozen=True)
class Split:
    """The answer: who takes how many mails."""

    #: Mails by account, in the order in which they were given; 0 for those left out.
    mails: Mapping[UUID, int]
    #: Mails by kind and account.
    kinds: Mapping[str, Mapping[UUID, int]]
    nanos: int
    #: No split is cheaper than this one by more; 0: it is the cheapest.
    gap_nanos: int = 0

    @property
    def is_exact(self) -> bool:
        """True if it is proved that no split is cheaper."""
        return self.gap_nanos == 0


class NoSplitError(Exception):
    """The mail cannot be shared out; the message says why in words."""


class _Corner(NamedTuple):
    mails: int
    nanos: int


@dataclass
class _Side:
    """An account between two bounds: the corners of its cost, and its hull."""

    corners: list[_Corner]

    @cached_property
    def hull(self) -> list[_Corner]:
        """Return the corners of the largest convex line under the cost."""
        found: list[_Corner] = []
        for corner in self.corners:
            while len(found) > 1 and _turns_down(found[-2], found[-1], corner):
                found.pop()
            found.append(corner)
        return found

    @cached_property
    def stretches(self) -> list[tuple[Fraction, int]]:
        """Return (nanos per mail, mails) of each straight part of the hull, ascending."""
        return [
            (Fraction(end.nanos - start.nanos, end.mails - start.mails), end.mails - start.mails)
            for start, end in pairwise(self.hull)
        ]

    def bound(self, mails: int) -> Fraction:
        """Return the height of the hull."""
        place = bisect_left(self.hull, mails, key=lambda corner: corner.mails)
        corner = self.hull[place]
        if corner.mails == mails:
            return Fraction(corner.nanos)
        slope, _ = self.stretches[place - 1]
        return corner.nanos - slope * (corner.mails - mails)

    def parted(self, mails: int) -> tuple[_Side, _Side] | None:
        """Return the sides below and above a true corner near `mails`, None if there is none."""
        inside = self.corners[1:-1]
        if not inside:
            return None
        middle = min(inside, key=lambda corner: abs(corner.mails - mails))
        place = self.corners.index(middle)
        first = self.corners[0]
        if not first.mails and place == 1:
            # Left out, or used: what lies between the two is no number of mails.
            return _Side([first]), _Side(self.corners[1:])
        return _Side(self.corners[: place + 1]), _Side(self.corners[place:])


def _turns_down(first: _Corner, second: _Corner, third: _Corner) -> bool:
    """Tell whether `second` lies on or above the line from first to third."""
    rise = (second.nanos - first.nanos) * (third.mails - first.mails)
    return rise >= (third.nanos - first.nanos) * (second.mails - first.mails)


@dataclass
class _Problem:
    accounts: Sequence[Account]
    kinds: Sequence[Kind]
    #: Places of the accounts that may take each kind.
    eligible: list[list[int]]

    @property
    def volume(self) -> int:
        return sum(kind.mails for kind in self.kinds)

    @property
    def max_nodes(self) -> int:
        return max(_MIN_NODES, _MAX_WORK // (len(self.accounts) * (len(self.kinds) + 2)))

    def sides(self) -> list[_Side]:
        """Return each account between its own bounds."""
        return [_Side(_corners(account, self.volume)) for account in self.accounts]

    def share_out(self, sides: Sequence[_Side]) -> _Flow | None:
        """Return the cheapest split by hulls, or None if the mail cannot be shared out so."""
        flow = _Flow(self)
        for place, side in enumerate(sides):
            least = side.corners[0].mails
            if flow.add(place, least) < least:
                return None
        stretches = sorted(
            (slope, place, number)
            for place, side in enumerate(sides)
            for number, (slope, _) in enumerate(side.stretches)
        )
        full: set[int] = set()
        for _, place, number in stretches:
            if not flow.left:
                break
            if place in full:
                continue
            length = sides[place].stretches[number][1]
            if flow.add(place, length) < length:
                full.add(place)
        return None if flow.left else flow

    def cost(self, mails: Sequence[int]) -> int:
        return sum(a.cost(taken) for a, taken in zip(self.accounts, mails, strict=True))


@dataclass
class _Flow:
    """Mails on their way from kinds to accounts."""

    problem: _Problem
    taken: list[int] = field(init=False)
    #: Of each kind: mails by account, and mails that have none yet.
    by_kind: list[dict[int, int]] = field(init=False)
    waiting: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.taken = [0] * len(self.problem.accounts)
        self.by_kind = [dict.fromkeys(places, 0) for places in self.problem.eligible]
        self.waiting = [kind.mails for kind in self.problem.kinds]

    @property
    def left(self) -> int:
        """Return how many mails have no account yet."""
        return sum(self.waiting)

    def add(self, place: int, wanted: int) -> int:
        """Give an account more mails, moving others if need be; return how many it got."""
        got = 0
        while got < wanted and (way := self._way_to(place)):
            got += self._send(way, wanted - got)
        self.taken[place] += got
        return got

    def _way_to(self, place: int) -> list[tuple[int, int]]:
        """Return a way by which a waiting mail can come to the account, or nothing.

        As (kind, account) steps from the account back: the account takes one of the kind, which,
        unless such mail waits, is taken from the next step's account, which takes another kind.
        """
        before: dict[int, tuple[int, int]] = {}
        queue, seen = [place], {place}
        for account in queue:
            for kind, shares in enumerate(self.by_kind):
                if account not in shares:
                    continue
                if self.waiting[kind]:
                    return self._unrolled((kind, account), before)
                for other, mails in shares.items():
                    if mails and other not in seen:
                        seen.add(other)
                        before[other] = (kind, account)
                        queue.append(other)
        return []

    @staticmethod
    def _unrolled(
        last: tuple[int, int], before: Mapping[int, tuple[int, int]]
    ) -> list[tuple[int, int]]:
        way = [last]
        while way[-1][1] in before:
            way.append(before[way[-1][1]])
        return way

    def _send(self, way: Sequence[tuple[int, int]], wanted: int) -> int:
        moved = [self.by_kind[kind][giver] for (_, giver), (kind, _) in pairwise(way)]
        mails = min([wanted, self.waiting[way[0][0]], *moved])
        self.waiting[way[0][0]] -= mails
        for kind, account in way:
            self.by_kind[kind][account] += mails
        for (_, giver), (kind, _) in pairwise(way):
            self.by_kind[kind][giver] -= mails
        return mails


def cheapest(accounts: Sequence[Account], kinds: Sequence[Kind]) -> Split:
    """Return the cheapest split of a month's mail. Raises `NoSplitError`."""
    problem = _checked(accounts, kinds)
    sides = problem.sides()
    flow = problem.share_out(sides)
    if flow is None:
        raise NoSplitError(_why_not(problem))
    best, best_nanos = flow, problem.cost(flow.taken)
    number = count()
    lowest = _bound(sides, flow.taken)
    heap = [(lowest, next(number), sides, flow)]
    for _ in range(problem.max_nodes):
        if not heap or heap[0][0] >= best_nanos:
            return _split(problem, best, best_nanos, 0)
        _, _, sides, flow = heappop(heap)
        for part in _parts(problem, sides, flow.taken):
            found = problem.share_out(part)
            if found is None:
                continue
            if (nanos := problem.cost(found.taken)) < best_nanos:
                best, best_nanos = found, nanos
            if (bound := _bound(part, found.taken)) < best_nanos:
                heappush(heap, (bound, next(number), part, found))
    gap = best_nanos - heap[0][0] if heap else Fraction(0)
    return _split(problem, best, best_nanos, max(0, int(gap)))


def _checked(accounts: Sequence[Account], kinds: Sequence[Kind]) -> _Problem:
    if not accounts:
        raise NoSplitError("There is no account that could take the mail.")
    if len(accounts) > MAX_ACCOUNTS or len(kinds) > MAX_KINDS:
        raise NoSplitError(f"At most {MAX_ACCOUNTS} accounts and {MAX_KINDS} kinds of mail.")
    problem = _Problem(
        accounts,
        kinds,
        [
            [
                place
                for place, account in enumerate(accounts)
                if kind.eligible is None or account.provider_id in kind.eligible
            ]
            for kind in kinds
        ],
    )
    for account in accounts:
        if account.at_least > account.room(problem.volume):
            raise NoSplitError(
                f"{account.name} is to take at least {account.at_least:,} mails, but can take "
                f"only {account.room(problem.volume):,}."
            )
    return problem


def _corners(account: Account, volume: int) -> list[_Corner]:
    """Return the corners of the cost from the fewest to the most mails the account may take."""
    most = account.room(volume)
    first = max(1, account.at_least)
    places = {0} if account.at_least == 0 else set()
    if most >= first:
        places |= {first, most}
        places |= {start for start, _ in account.pricing.steps if first < start < most}
    return [_Corner(place, account.cost(place)) for place in sorted(places)]


def _bound(sides: Sequence[_Side], mails: Sequence[int]) -> Fraction:
    bounds = (side.bound(taken) for side, taken in zip(sides, mails, strict=True))
    return sum(bounds, Fraction(0))


def _parts(problem: _Problem, sides: Sequence[_Side], mails: Sequence[int]) -> list[list[_Side]]:
    """Return the two halves of a question: below and above a corner of the worst account."""
    gaps = [
        account.cost(taken) - side.bound(taken)
        for account, side, taken in zip(problem.accounts, sides, mails, strict=True)
    ]
    worst = max(range(len(gaps)), key=gaps.__getitem__)
    halves = sides[worst].parted(mails[worst]) if gaps[worst] else None
    return [[*sides[:worst], half, *sides[worst + 1 :]] for half in halves or ()]


def _split(problem: _Problem, flow: _Flow, nanos: int, gap: int) -> Split:
    ids = [account.provider_id for account in problem.accounts]
    return Split(
        mails=dict(zip(ids, flow.taken, strict=True)),
        kinds={
            kind.name: {ids[place]: mails for place, mails in sorted(shares.items()) if mails}
            for kind, shares in zip(problem.kinds, flow.by_kind, strict=True)
        },
        nanos=nanos,
        gap_nanos=gap,
    )


def _why_not(problem: _Problem) -> str:
    """Return in words why the mail cannot be shared out."""
    room = sum(account.room(problem.volume) for account in problem.accounts)
    if room < problem.volume:
        return (
            f"The accounts can take {room:,} mails in the month, but there are "
            f"{problem.volume:,}: {problem.volume - room:,} too many."
        )
    for kind, places in zip(problem.kinds, problem.eligible, strict=True):
        own = sum(problem.accounts[place].room(problem.volume) for place in places)
        if own < kind.mails:
            return (
                f"The accounts that may take {kind.name} can take {own:,} mails in the month, "
                f"but there are {kind.mails:,}."
            )
    if sum(account.at_least for account in problem.accounts) > problem.volume:
        return "The least numbers of mails of the accounts come to more than there are."
    return (
        "The kinds of mail, the accounts that may take them, and their limits do not go together."
    )
