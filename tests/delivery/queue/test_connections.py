"""Connections of an account that all draining processes share."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings

from accounts.models import User
from delivery.models import Attempt, Message
from delivery.queue import warm
from delivery.queue.recovery import recover_dead
from delivery.queue.sweep import sweep
from delivery.states import Lane
from providers.connections import Connections
from tests.support.bulk import address, queue_bulk
from tests.support.mail import drain, queue, simulator, smtp_account
from tests.support.smtp_server import Action, FaultyServer, Mail
from tests.support.tcp import open_to
from tests.support.workers import ROOT, environment, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

#: Drains again and again, as a worker does, once it is told to go.
WORKER = """
import sys, time, django
django.setup()
from delivery.queue.drain import drain_lane
from delivery.states import Lane
print("ready", flush=True)
sys.stdin.readline()
end = time.monotonic() + 60
while time.monotonic() < end:
    drain_lane(lane=Lane.BULK, worker=sys.argv[1], seconds=5)
    time.sleep(0.05)
"""


class CountingServer(FaultyServer):
    """Takes its time over every mail, and knows how many connections were open at once."""

    def __init__(self, *, seconds: float) -> None:
        super().__init__()
        self.mails = _SlowList(seconds, self._look)
        self.most_open = 0

    @property
    def open_count(self) -> int:
        """Connections that no client has closed yet; this server may notice a goodbye late.

        The kernel's list is not of one moment: what stands in two of them was open between them.
        """
        return len(open_to(self.port) & open_to(self.port))

    def _serve(
        self, sock: socket.socket, script: Mapping[str, Action | list[Action]], lines: list[str]
    ) -> None:
        self._look()
        super()._serve(sock, script, lines)

    def _look(self) -> None:
        self.most_open = max(self.most_open, self.open_count)

    def recipients(self) -> Counter[str]:
        """How often each got mail."""
        return Counter(one for mail in self.mails for one in mail.recipients)


class _SlowList(list[Mail]):
    def __init__(self, seconds: float, look: Callable[[], None]) -> None:
        super().__init__()
        self._seconds = seconds
        self._look = look

    def append(self, mail: Mail) -> None:
        self._look()
        time.sleep(self._seconds)
        super().append(mail)


@contextmanager
def workers(*names: str, chunk: int = 200) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Let processes drain from the same moment on, until the end of the block."""
    running = {name: worker(name, chunk) for name in names}
    try:
        for process in running.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running.values():
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        yield running
    finally:
        for process in running.values():
            process.kill()
            process.communicate(timeout=10)


def worker(name: str, chunk: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, name],
        cwd=ROOT,
        env=environment(PROCESS_ROLE="worker", DRAIN_CHUNK=str(chunk)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def in_state(status: str) -> int:
    return Message.objects.filter(status=status).count()


def by_worker() -> Counter[str]:
    return Counter(Attempt.objects.values_list("worker", flat=True))


def test_processes_share_the_connections_of_an_account(user: User) -> None:
    with CountingServer(seconds=0.03) as server:
        smtp_account(server.port, max_connections=3)
        queue_bulk(user, 600)
        with workers("one", "two", "three", chunk=40):
            wait_until(lambda: in_state("sent") == 600, seconds=60)
        most = server.most_open
        arrived = server.recipients()
    assert most == 3
    assert arrived == Counter({address(n): 1 for n in range(600)})
    assert set(by_worker()) == {"one", "two", "three"}
    assert min(by_worker().values()) >= 20


def test_where_there_are_fewer_connections_than_processes_they_go_round(user: User) -> None:
    with CountingServer(seconds=0.01) as server:
        smtp_account(server.port, max_connections=1)
        queue_bulk(user, 600)
        with workers("one", "two"):
            wait_until(lambda: in_state("sent") == 600, seconds=60)
        most = server.most_open
        arrived = server.recipients()
    assert most == 1
    assert arrived == Counter({address(n): 1 for n in range(600)})
    assert set(by_worker()) == {"one", "two"}


def test_a_killed_process_leaves_its_connections_to_the_others(user: User) -> None:
    with CountingServer(seconds=0.01) as server:
        smtp_account(server.port, max_connections=2)
        queue_bulk(user, 200)
        with workers("one") as running:
            wait_until(lambda: len(server.mails) >= 20)
            running["one"].kill()
            running["one"].wait(10)
        recover_dead()
        sweep()
        in_doubt = in_state("unknown")
        begun = time.monotonic()
        drain(Lane.BULK)
        seconds = time.monotonic() - begun
        most = server.most_open
    assert in_doubt <= 2
    assert in_state("sent") == 200 - in_doubt
    assert most == 2
    # Not a minute, which a slot of another host would have taken.
    assert seconds < 10


@pytest.fixture(autouse=True)
def _well_rested() -> None:
    warm._idle.clear()


@pytest.fixture
def elsewhere() -> Iterator[Connections]:
    """A process on another host."""
    held = Connections(f"{'f' * 16}:1:1")
    yield held
    held.release_all()


def take(elsewhere: Connections, provider_id: Any, *, cap: int) -> None:
    assert elsewhere.take(provider_id, cap=cap, on_recall=lambda: None) is not None


def test_mail_that_finds_no_connection_goes_back_to_the_queue_untried(
    user: User, elsewhere: Connections
) -> None:
    with FaultyServer() as server:
        account = smtp_account(server.port, max_connections=1, hourly_limit=100)
        take(elsewhere, account.pk, cap=1)
        message = queue(user, email_type="marketing")
        begun = time.monotonic()
        report = drain(Lane.BULK)
        seconds = time.monotonic() - begun
        assert server.mails == []
        assert (report.claimed, report.sent) == (1, 0)
        assert 2.8 <= seconds <= 6
        message.refresh_from_db()
        assert (message.status, message.attempt_count) == ("queued", 0)
        # A short rest, so that those who have connections find the mail; not for urgent mail.
        elsewhere.release_all()
        assert drain(Lane.BULK).claimed == 0
        queue(user)
        assert drain(Lane.BULK).sent == 1
        wait_until(lambda: drain(Lane.BULK).sent == 1, seconds=3)


def test_no_more_is_claimed_than_waits_for_a_connection(user: User, elsewhere: Connections) -> None:
    with FaultyServer() as server:
        account = smtp_account(server.port, max_connections=1)
        take(elsewhere, account.pk, cap=1)
        queue_bulk(user, 3 * settings.DRAIN_CHUNK)
        report = drain(Lane.BULK, seconds=10)
        assert report.claimed == settings.DRAIN_CHUNK
        assert in_state("queued") == 3 * settings.DRAIN_CHUNK
        assert server.mails == []


def test_a_connection_that_comes_free_in_time_is_used(user: User, elsewhere: Connections) -> None:
    with FaultyServer() as server:
        account = smtp_account(server.port, max_connections=1)
        take(elsewhere, account.pk, cap=1)
        queue_bulk(user, 20)
        freeing = threading.Timer(0.5, elsewhere.release_all)
        freeing.start()
        assert drain(Lane.BULK).sent == 20
        freeing.join()


def test_an_idle_connection_is_closed_when_another_process_needs_it(
    user: User, elsewhere: Connections
) -> None:
    with CountingServer(seconds=0) as server:
        account = smtp_account(server.port, max_connections=1)
        queue(user)
        drain()
        assert server.open_count == 1
        # Its turn lasts two seconds.
        wait_until(
            lambda: elsewhere.take(account.pk, cap=1, on_recall=lambda: None) is not None, seconds=8
        )
        assert server.open_count == 0


def test_an_account_with_fewer_connections_than_threads_works(user: User) -> None:
    account = simulator(max_connections=5)
    held = Connections(f"{'f' * 16}:1:1")
    for _ in range(3):
        take(held, account.pk, cap=5)
    queue_bulk(user, 100)
    assert drain(Lane.BULK).sent == 100
    held.release_all()
