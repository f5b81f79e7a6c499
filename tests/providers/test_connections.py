"""Slots for connections that all workers share; each `Connections` here is a process to itself."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from mailservice.core.broker import redis_client
from mailservice.core.ids import uuid7
from providers import connections
from providers.connections import Connections, Slot, forget_connections, own_connections
from providers.neighbours import is_dead_neighbour
from tests.support.workers import ROOT, wait_until

HOLDER = """
import sys, uuid, django
django.setup()
from providers.connections import own_connections
for _ in range(2):
    assert own_connections().take(uuid.UUID(sys.argv[1]), cap=2, on_recall=print)
print("held", flush=True)
sys.stdin.readline()
"""


class Process:
    """A process of its own, as far as the broker can tell."""

    def __init__(self, name: str, *, cap: int, account: UUID) -> None:
        self.connections = Connections(name)
        self.account, self.cap = account, cap
        self.recalls = threading.Semaphore(0)

    def _note_recall(self) -> None:
        self.recalls.release()

    def take(self) -> Slot | None:
        return self.connections.take(self.account, cap=self.cap, on_recall=self._note_recall)

    def take_all(self) -> list[Slot]:
        slots = []
        while (slot := self.take()) is not None:
            slots.append(slot)
        return slots

    @property
    def key(self) -> str:
        return f"connections:{{{self.account}}}:held"

    def known(self) -> dict[str, float]:
        """All slots of the account, of whichever process, and until when they live."""
        found: Any = redis_client().zrange(self.key, 0, -1, withscores=True)
        return {member.decode(): score for member, score in found}

    def are_all_over(self) -> bool:
        seconds, microseconds = redis_client().time()
        now = seconds * 1000 + microseconds / 1000
        return all(score <= now for score in self.known().values())


Processes = Callable[..., list[Process]]


@pytest.fixture
def processes() -> Iterator[Processes]:
    account = uuid7()
    made: list[Process] = []

    def make(*names: str, cap: int) -> list[Process]:
        made.extend(Process(name, cap=cap, account=account) for name in names)
        return made

    yield make
    for process in made:
        process.connections.release_all()


def reach_broker_at(settings: Any, url: str) -> None:
    settings.REDIS_URL = url
    redis_client.cache_clear()
    connections._script.cache_clear()


def test_all_processes_together_have_as_many_as_the_cap(processes: Processes) -> None:
    one, other = processes("one", "other", cap=3)
    slots = [one.take(), other.take(), one.take()]
    assert None not in slots
    assert [one.take(), other.take()] == [None, None]
    assert len({slot.member for slot in slots if slot}) == 3


def test_accounts_have_caps_of_their_own() -> None:
    process = Connections("one")
    assert all(process.take(uuid7(), cap=1, on_recall=lambda: None) for _ in range(3))


def test_a_slot_given_back_is_free_once_the_far_end_has_noticed(processes: Processes) -> None:
    one, other = processes("one", "other", cap=1)
    slot = one.take()
    assert slot is not None
    one.connections.release(slot)
    assert other.take() is None
    wait_until(lambda: other.take() is not None, seconds=1)


def test_giving_back_twice_frees_one(processes: Processes) -> None:
    one, _ = processes("one", "other", cap=2)
    first, second = one.take(), one.take()
    assert first is not None
    assert second is not None
    one.connections.release(first)
    one.connections.release(first)
    wait_until(lambda: one.take() is not None, seconds=1)
    assert one.take() is None


def test_who_has_more_than_its_share_gives_some_back_idle_ones_first(processes: Processes) -> None:
    one, other = processes("one", "other", cap=4)
    slots = one.take_all()
    assert len(slots) == 4
    slots[2].is_idle = True
    assert other.take() is None
    wait_until(lambda: other.take() is None and slots[2].is_recalled, seconds=3)
    recalled = [slot for slot in slots if slot.is_recalled]
    assert (len(recalled), slots[2] in recalled) == (2, True)
    assert one.recalls.acquire(timeout=1)
    for slot in recalled:
        one.connections.release(slot)
    assert other.take() is None
    wait_until(lambda: other.take() is not None, seconds=1)
    assert one.take() is None
    assert other.take() is not None
    assert one.take() is None
    assert [one.take(), other.take()] == [None, None]


def test_nobody_gives_anything_back_who_has_no_more_than_its_share(processes: Processes) -> None:
    one, other = processes("one", "other", cap=4)
    mine = [one.take(), one.take()]
    theirs = [other.take(), other.take()]
    for _ in range(12):
        assert one.take() is None
        assert not one.recalls.acquire(timeout=0.1)
    assert not any(slot.is_recalled for slot in (*mine, *theirs) if slot)


def test_the_odd_one_goes_to_whoever_asks(processes: Processes) -> None:
    one, other = processes("one", "other", cap=3)
    assert len([one.take(), other.take(), other.take()]) == 3
    assert one.take() is None
    assert not other.recalls.acquire(timeout=1.3)


def test_fewer_slots_than_processes_go_round_in_order(processes: Processes) -> None:
    one, two, three = processes("one", "two", "three", cap=1)
    slot = one.take()
    assert slot is not None
    assert two.take() is None
    time.sleep(0.002)
    assert three.take() is None
    assert not slot.is_recalled

    def recalled() -> bool:
        assert (two.take(), three.take()) == (None, None)
        return slot.is_recalled

    wait_until(recalled, seconds=5)
    one.connections.release(slot)
    wait_until(one.are_all_over, seconds=1)
    # Who waited longer comes first, and who has just had its turn last.
    assert one.take() is None
    assert three.take() is None
    assert two.take() is not None


def test_who_does_not_ask_again_is_forgotten(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "WANT_SECONDS", 0.2)
    connections._script.cache_clear()
    one, other = processes("one", "other", cap=1)
    slot = one.take()
    assert slot is not None
    assert other.take() is None
    one.connections.release(slot)
    # Kept for the one that asked; then for anybody.
    wait_until(one.are_all_over, seconds=1)
    assert one.take() is None
    wait_until(lambda: one.take() is not None, seconds=1)
    monkeypatch.undo()
    connections._script.cache_clear()


def test_leaving_the_line_lets_others_pass(processes: Processes) -> None:
    one, other = processes("one", "other", cap=1)
    slot = one.take()
    assert slot is not None
    assert other.take() is None
    one.connections.release(slot)
    wait_until(one.are_all_over, seconds=1)
    other.connections.forget_want(slot.account_id)
    assert one.take() is not None


def test_a_slot_that_is_not_renewed_is_forgotten(processes: Processes) -> None:
    one, other = processes("one", "other", cap=1)
    assert one.take() is not None
    seconds, _ = redis_client().time()
    ((member, score),) = one.known().items()
    assert score / 1000 - seconds == pytest.approx(20, abs=1.5)
    assert 0 < redis_client().pttl(one.key) <= 20_000
    # As if it had not been renewed for that long.
    redis_client().zadd(one.key, {member: seconds * 1000 - 1})
    assert other.take() is not None


def test_slots_are_renewed_while_their_process_lives(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "RENEW_SECONDS", 0.0)
    (one,) = processes("one", cap=2)
    assert len(one.take_all()) == 2
    latest = max(one.known().values())
    wait_until(lambda: min(one.known().values()) > latest, seconds=3)


def test_a_broker_that_starts_afresh_is_told_again(processes: Processes) -> None:
    one, other = processes("one", "other", cap=2)
    slots = one.take_all()
    redis_client().flushdb()
    wait_until(lambda: len(one.known()) == 2, seconds=5)
    assert set(one.known()) == {slot.member for slot in slots}
    assert other.take() is None


def test_more_than_the_cap_shrink_to_it(processes: Processes) -> None:
    (one,) = processes("one", cap=4)
    slots = one.take_all()
    one.cap = 2
    assert one.take() is None
    wait_until(lambda: sum(slot.is_recalled for slot in slots) == 2, seconds=3)


def test_a_process_that_ends_gives_all_back(processes: Processes) -> None:
    one, other = processes("one", "other", cap=3)
    slots = one.take_all()
    one.connections.release_all()
    wait_until(one.are_all_over, seconds=1)
    assert len(other.take_all()) == 3
    one.connections.release(slots[0])
    assert len(one.known()) == 3


def test_slots_of_a_killed_neighbour_come_free_at_once() -> None:
    account = uuid7()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(account)],
        cwd=ROOT,
        env={**os.environ, "PROCESS_ROLE": "worker", "REDIS_URL": url()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        own = own_connections()
        assert own.take(account, cap=2, on_recall=lambda: None) is None
        child.kill()
        child.wait(10)
        slots = [own.take(account, cap=2, on_recall=lambda: None) for _ in range(3)]
    assert [slot is not None for slot in slots] == [True, True, False]
    own.release_all()


def test_threads_that_begin_together_share_their_process_s_slots() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(200):
            forget_connections()
            start = threading.Barrier(4)

            def begin(start: threading.Barrier = start) -> Connections:
                start.wait()
                return own_connections()

            with ThreadPoolExecutor(4) as threads:
                found = {id(each.result()) for each in [threads.submit(begin) for _ in range(4)]}
            assert len(found) == 1
    finally:
        sys.setswitchinterval(interval)
        forget_connections()


def url() -> str:
    from django.conf import settings  # noqa: PLC0415

    return str(settings.REDIS_URL)


def test_only_the_dead_of_this_host_are_known_to_be_dead() -> None:
    own = own_connections()._process
    host, pid, started = own.split(":")
    assert not is_dead_neighbour(own)
    # The number of a process that ended may be another's by now.
    assert is_dead_neighbour(f"{host}:{pid}:{int(started) - 1}")
    assert is_dead_neighbour(f"{host}:{2**22 + 1}:{started}")
    assert not is_dead_neighbour(f"{'0' * 16}:{2**22 + 1}:{started}")
    assert not is_dead_neighbour("nonsense")
    assert not is_dead_neighbour("")


def test_without_a_broker_each_process_keeps_to_the_cap_and_says_so_once(
    processes: Processes,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    right = settings.REDIS_URL
    one, other = processes("one", "other", cap=2)
    monkeypatch.setattr(connections, "_AWAY_SECONDS", 0.2)
    try:
        with caplog.at_level(logging.INFO, logger="providers.connections"):
            reach_broker_at(settings, "redis://127.0.0.1:1/0")
            slots = one.take_all()
            assert len(slots) == 2
            one.connections.release(slots[0])
            assert one.take() is not None
            assert [record.levelno for record in caplog.records] == [logging.WARNING]
            reach_broker_at(settings, right)
            # Its slots are told as soon as the broker is back.
            wait_until(lambda: len(one.known()) == 2, seconds=5)
            assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]
    finally:
        reach_broker_at(settings, right)
    assert other.take() is None


def test_the_keeper_ends_when_nothing_is_held(processes: Processes) -> None:
    (one,) = processes("one", cap=1)
    slot = one.take()
    assert slot is not None
    keeper = one.connections._keeper
    assert keeper is not None
    one.connections.release(slot)
    keeper.join(3)
    assert not keeper.is_alive()
    wait_until(lambda: one.take() is not None, seconds=1)
