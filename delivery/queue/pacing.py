"""Mails in hand that wait for their turn at accounts that take so many per second.

Each drain holds about two seconds' worth per account, in order of lane and priority, so that what
comes later and is more urgent goes first. What is beyond goes elsewhere or is put off to about the
time when its turn comes.
"""

from __future__ import annotations

import time
from bisect import bisect_right, insort
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from providers import rates
from providers.routing import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from delivery.queue.calls import Job
    from delivery.queue.claims import Claimed
    from providers.models import Provider

#: What a drain holds of an account's mail, in seconds of its rate; at least one mail.
HELD_SECONDS = 2.0
#: The broker is asked for turns at most so often.
_LEAST_WAIT = 0.005
#: Nothing is put off for longer. A longer queue comes by again, spread over half of it.
LONGEST = timedelta(hours=1)
#: What was not crowded for so long, or for three mails' time, has no queue any more.
_FORGET = timedelta(seconds=10)
#: Queues whose ends are remembered before those that have passed are forgotten.
_MAX_TIPS = 10_000

#: Nothing is put off for less. What is due is looked for once a second, so before what is held by
#: then is used up.
_SOONEST = timedelta(seconds=HELD_SECONDS / 2)
#: What is due is claimed by a draining process within so long.
LOOK = timedelta(seconds=1.5)

_Rank = tuple[int, int]


def rank_of(message: Claimed) -> _Rank:
    """Return what decides who goes first: transactional before bulk, then by priority."""
    return (message.lane, message.priority)


@dataclass(slots=True)
class _Line:
    """The mails that wait for one account, the next one first."""

    provider: Provider
    jobs: list[Job] = field(default_factory=list)
    #: When the broker is asked again (monotonic).
    next_at: float = 0.0

    @property
    def rate(self) -> float:
        return self.provider.rate_per_second or 1.0


class Pacer:
    """See the module's docstring. Holds no more than `most` mails in all."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._lines: dict[UUID, _Line] = {}

    def __len__(self) -> int:
        return sum(len(line.jobs) for line in self._lines.values())

    @property
    def due_soon(self) -> int:
        """Return about how many mails have their turn within a second."""
        return sum(min(len(line.jobs), int(line.rate)) for line in self._lines.values())

    def admits(self, provider: Provider, messages: Sequence[Claimed]) -> int:
        """Return how many of these may wait here; they are in order of `rank_of`."""
        line = self._line(provider)
        ranks = [rank_of(job.message) for job in line.jobs]
        room = self._room(line)
        for place, message in enumerate(messages):
            if bisect_right(ranks, rank_of(message)) + place >= room:
                return place
        return len(messages)

    def hold(self, job: Job, provider: Provider) -> None:
        """Have a mail wait for its turn, behind its equals."""
        insort(self._line(provider).jobs, job, key=lambda held: rank_of(held.message))

    def trim(self, provider: Provider) -> list[Job]:
        """Return those who have no place any more since more urgent mail came."""
        line = self._line(provider)
        room = self._room(line)
        line.jobs, displaced = line.jobs[:room], line.jobs[room:]
        return displaced

    def due(self, places: Callable[[Provider], int]) -> list[tuple[Job, Provider]]:
        """Return the mails whose turn it is; no more per account than it has `places` for."""
        now = time.monotonic()
        found = []
        for line in self._lines.values():
            wanted = min(len(line.jobs), places(line.provider)) if now >= line.next_at else 0
            if wanted > 0:
                tokens = rates.take(line.provider.pk, rate=line.rate, wanted=wanted)
                line.next_at = now + max(tokens.wait_seconds, _LEAST_WAIT)
                found += [(job, line.provider) for job in line.jobs[: tokens.granted]]
                del line.jobs[: tokens.granted]
        return found

    @property
    def next_at(self) -> float | None:
        """Return when the next mail may have its turn (monotonic); None if none waits."""
        return min((line.next_at for line in self._lines.values() if line.jobs), default=None)

    def withdraw(self, is_meant: Callable[[Job], bool]) -> list[Job]:
        """Take out the mails that are meant."""
        taken = []
        for line in self._lines.values():
            taken += [job for job in line.jobs if is_meant(job)]
            line.jobs = [job for job in line.jobs if not is_meant(job)]
        return taken

    def _line(self, provider: Provider) -> _Line:
        line = self._lines.get(provider.pk)
        if line is None:
            line = self._lines[provider.pk] = _Line(provider)
        line.provider = provider
        return line

    def _room(self, line: _Line) -> int:
        elsewhere = len(self) - len(line.jobs)
        return min(max(1, int(HELD_SECONDS * line.rate)), self._most - elsewhere)


@dataclass(slots=True)
class _Tip:
    """Where a queue ends."""

    due_at: datetime
    #: When it was last prolonged.
    asked_at: datetime


def pace_of(provider: Provider) -> Pace:
    """Return how fast an account with a rate takes mail."""
    return Pace(str(provider.pk), provider.rate_per_second or 1.0)


class Horizons:
    """When mails that found no place will have their turn, as far as this process can tell.

    Each is put off by one mail's time more than the last, so a long queue does not come by again
    and again. Transactional mail has a queue of its own, since it overtakes bulk mail.
    """

    def __init__(self) -> None:
        self._tips: dict[tuple[str, int], _Tip] = {}

    def tip(self, pace: Pace, lane: int, now: datetime) -> datetime:
        """Return when the next mail put off would be due; no earlier than its domain reopens."""
        opens_at = max(now, pace.slowdown.closed_until) if pace.slowdown else now
        first = max(now + _SOONEST, opens_at)
        tip = self._tips.get((pace.key, lane))
        if tip is None or now - tip.asked_at > max(_FORGET, 3 * _step(pace, first)):
            return first + _step(pace, first)
        after = max(tip.due_at, first)
        due_at = after + _step(pace, after)
        return due_at if due_at - opens_at <= LONGEST else opens_at + LONGEST / 2

    def put_off(self, pace: Pace, lane: int, now: datetime) -> datetime:
        """Return when a mail is due that finds no place now."""
        due_at = self.tip(pace, lane, now)
        if len(self._tips) >= _MAX_TIPS:
            self._tips = {key: tip for key, tip in self._tips.items() if tip.due_at > now}
        self._tips[(pace.key, lane)] = _Tip(due_at, now)
        return due_at


def _step(pace: Pace, moment: datetime) -> timedelta:
    """Return one mail's time, as it will be then."""
    seconds = min(1 / pace.rate_at(moment), LONGEST.total_seconds())
    return min(timedelta(seconds=seconds), LONGEST / 2)
