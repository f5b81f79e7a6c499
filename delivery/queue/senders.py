"""Sender threads: each keeps one warm session to one account and sends one mail after another.

Threads live as long as the process and idle ones end by themselves, so connections stay warm from
one drain task to the next. They touch no database connection but what an adapter opens itself.

A thread needs a slot of the account's connections, which all workers share. One that is refused
ends if others of this process have slots; else it waits and asks again, and what waits for it too
long goes back to the queue.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from django.db import connections

from delivery.queue.calls import Desk, Job
from providers.connections import Uncapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from providers.connections import ConnectionCap, Slot
    from providers.ports import Adapter

#: A session without work is closed after so long; servers cut idle ones off at minutes.
IDLE_SECONDS = 20.0
#: One more slot is asked for at most so often; the first one more often.
ASK_SECONDS = 1.0
FIRST_ASK_SECONDS = 0.2
#: Mail that no slot is found for goes back to the queue after so long: longer than one turn of
#: another process lasts.
PATIENCE_SECONDS = 3.0
#: After that no bulk mail is claimed for so long: those with slots shall have what came back.
REST_SECONDS = 1.0


@dataclass(order=True, slots=True)
class _Queued:
    rank: tuple[int, int, int]
    job: Job = field(compare=False)


class _Turn(Enum):
    """What a thread is to do that gets no job."""

    ASK = auto()
    CLOSE = auto()
    LEAVE = auto()


class AccountSenders:
    """The threads and sessions of one account in this process."""

    def __init__(
        self,
        adapter: Adapter,
        *,
        max_threads: int,
        name: str,
        cap: ConnectionCap | Uncapped | None = None,
    ) -> None:
        self._adapter = adapter
        self._max_threads = max_threads
        self._name = name
        self._cap = cap or Uncapped()
        self._jobs: list[_Queued] = []
        self._counter = itertools.count()
        self._condition = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._is_closed = False
        #: Threads that may connect.
        self._seated = 0
        #: True since the account was found to have no more slots for us.
        self._is_short = False
        #: The next slot is asked for then (monotonic).
        self._ask_at = 0.0
        self._starves_since: float | None = None
        self._rests_until = 0.0

    def submit(self, job: Job) -> None:
        """Queue a job: transactional mail before bulk, then by priority, then in order."""
        rank = (job.message.lane, job.message.priority, next(self._counter))
        with self._condition:
            heapq.heappush(self._jobs, _Queued(rank, job))
            if self._idle < len(self._jobs) and self._may_hire():
                self._hire()
            elif self._is_short:
                # One that waits for a slot would be of no use.
                self._condition.notify_all()
            else:
                self._condition.notify()

    def withdraw(self, is_mine: Callable[[Job], bool]) -> list[Job]:
        """Take back the jobs that no thread has begun."""
        with self._condition:
            taken = [entry.job for entry in self._jobs if is_mine(entry.job)]
            self._jobs = [entry for entry in self._jobs if not is_mine(entry.job)]
            heapq.heapify(self._jobs)
        return taken

    def close(self) -> None:
        """Let the threads end after the mails they are at."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()

    @property
    def is_deserted(self) -> bool:
        """True if it has neither threads nor jobs."""
        with self._condition:
            return self._threads == 0 and not self._jobs

    @property
    def is_resting(self) -> bool:
        """True if there was no connection to be had lately, and mail went back to the queue."""
        return self._rests_until > time.monotonic()

    # --- threads ----------------------------------------------------------------------------------

    def _may_hire(self) -> bool:
        if self._threads >= self._max_threads:
            return False
        # Without any thread there is nobody who would ask when the time comes.
        return not (self._is_short and self._threads) or time.monotonic() >= self._ask_at

    def _hire(self) -> None:
        self._threads += 1
        threading.Thread(target=self._run, name=f"send-{self._name}", daemon=True).start()

    def _run(self) -> None:
        desk = Desk(self._adapter, name=self._name)
        slot: Slot | None = None
        try:
            while (turn := self._next(slot)) is not _Turn.LEAVE:
                if isinstance(turn, Job):
                    desk.send(turn, self._others)
                elif turn is _Turn.CLOSE:
                    desk.close()
                    self._stand_up(slot)
                    slot = None
                else:
                    slot = self._sit_down()
                    if slot is None and not self._waits_on():
                        break
        finally:
            desk.close()
            self._stand_up(slot)
            connections.close_all()

    def _next(self, slot: Slot | None) -> Job | _Turn:
        """Return the next job of a thread with a slot, or what is to be done first."""
        with self._condition:
            deadline = time.monotonic() + IDLE_SECONDS
            while True:
                if slot is not None and slot.is_recalled:
                    return _Turn.CLOSE
                now = time.monotonic()
                if self._jobs and slot is not None:
                    return self._pop(now)
                if self._jobs and now >= self._ask_at:
                    return _Turn.ASK
                until = self._ask_at if self._jobs else deadline
                if not self._jobs and (self._is_closed or now >= until):
                    # Leaving is decided under the lock: submit() counts on `_threads`.
                    self._threads -= 1
                    return _Turn.LEAVE
                self._wait(slot, until - now)

    def _pop(self, now: float) -> Job:
        job = heapq.heappop(self._jobs).job
        is_behind = self._is_short and len(self._jobs) > self._idle
        if is_behind and now >= self._ask_at and self._may_hire():
            self._hire()
        return job

    def _wait(self, slot: Slot | None, seconds: float) -> None:
        if slot is None and self._jobs:
            self._condition.wait(seconds)
            return
        self._idle += 1
        if slot is None:
            self._starves_since = None
        else:
            slot.is_idle = True
        try:
            self._condition.wait(seconds)
        finally:
            self._idle -= 1
            if slot is not None:
                slot.is_idle = False

    def _others(self, most: int) -> Iterator[Job]:
        """Yield jobs that may share a call: a fair part, and only while nothing urgent waits."""
        with self._condition:
            part = -(-(len(self._jobs) + 1) // max(1, self._threads)) - 1
        for _ in range(min(most, part)):
            with self._condition:
                if not self._jobs or not self._jobs[0].job.may_go_with_others:
                    return
                job = heapq.heappop(self._jobs).job
            yield job

    # --- slots ------------------------------------------------------------------------------------

    def _sit_down(self) -> Slot | None:
        """Ask for a slot."""
        slot = self._cap.take(self._note_recall)
        with self._condition:
            if slot is not None:
                self._seated += 1
                self._is_short = self._is_short and self._seated < self._max_threads
                self._starves_since = None
                # There may be more where it came from.
                self._ask_at = self._rests_until = 0.0
        return slot

    def _stand_up(self, slot: Slot | None) -> None:
        """Give a slot back."""
        if slot is None:
            return
        self._cap.release(slot)
        with self._condition:
            self._seated -= 1
            if slot.is_recalled:
                self._is_short = True
                self._ask_at = time.monotonic() + FIRST_ASK_SECONDS

    def _note_recall(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _waits_on(self) -> bool:
        """Tell whether a thread that was refused a slot stays to ask again; else it has left."""
        now = time.monotonic()
        with self._condition:
            self._is_short = True
            is_needed = self._seated == 0 and self._threads == 1
            self._ask_at = now + (ASK_SECONDS if self._seated else FIRST_ASK_SECONDS)
            if not is_needed:
                self._threads -= 1
                # Whoever is idle may have to ask in its place.
                self._condition.notify_all()
                return False
            if self._starves_since is None:
                self._starves_since = now
            is_over = now - self._starves_since >= PATIENCE_SECONDS
        if is_over:
            self._give_up(now)
        return True

    def _give_up(self, now: float) -> None:
        """Let the drains have their mail back: there is no connection to be had."""
        self._cap.forget_want()
        with self._condition:
            jobs, self._jobs = self._jobs, []
            self._starves_since = None
            self._rests_until = now + REST_SECONDS
        for entry in jobs:
            entry.job.finish()
