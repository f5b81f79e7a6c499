"""Real worker processes on the test's own database and broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection

from mailservice.launcher import processes

ROOT = Path(__file__).resolve().parents[2]


def environment(**extra: str) -> dict[str, str]:
    """The variables under which a child process finds the test's database, not the developer's."""
    return {**os.environ, "DATABASE_URL": database_url(), "REDIS_URL": settings.REDIS_URL, **extra}


def database_url() -> str:
    facts = connection.settings_dict
    login = f"{facts['USER']}:{facts['PASSWORD']}"
    return f"postgres://{login}@{facts['HOST']}:{facts['PORT']}/{facts['NAME']}"


def start_worker(
    *, concurrency: int = 2, log: Path | None = None, **extra: str
) -> subprocess.Popen[bytes]:
    """A Celery worker for all lanes, in a process group of its own."""
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "mailservice",
        "worker",
        "-Q",
        "transactional,bulk,events,verification,maintenance",
        "--without-mingle",
        "--without-gossip",
        "--without-heartbeat",
        "-c",
        str(concurrency),
        "-l",
        "warning",
    ]
    with log.open("ab") if log else Path(os.devnull).open("ab") as output:
        return processes.start(
            command,
            # A killed test run leaves no worker behind, which would disturb the next one.
            death_signal=signal.SIGKILL,
            environment=environment(PROCESS_ROLE="worker", **extra),
            output=output.fileno(),
        )


def kill_group(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    """Send a signal to a worker and its children."""
    if process.poll() is None:
        os.killpg(process.pid, number)
        process.wait(30)


@contextmanager
def workers(count: int, **options: object) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run so many workers; end them whatever happens."""
    running = [start_worker(**options) for _ in range(count)]  # type: ignore[arg-type]
    try:
        yield running
    finally:
        for process in running:
            kill_group(process)


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    """Look every 50 ms until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {seconds} s: {condition}")
        time.sleep(0.05)
