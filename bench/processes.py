"""The processes a benchmark runs beside itself: the sink, our workers, our web server."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from bench import measure
from bench.sink import statistics

if TYPE_CHECKING:
    from collections.abc import Mapping

START_SECONDS = 60
#: Benchmarks run as root where nobody else is.
_NO_ROOT_WARNING = {"PYTHONWARNINGS": "ignore:You're running the worker"}


class Arrival(NamedTuple):
    """One mail at the sink."""

    message_id: str
    #: Wall time, seconds since 1970.
    at: float
    recipients: str


class SinkProcess:
    """The counting sink in a process of its own, with the delays of a slow relay if wanted."""

    def __init__(self, *, is_slow: bool = False, logs_recipients: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name) / "sink.tsv"
        self._options = ["--reply-delay-ms", "5", "--final-delay-ms", "25"] if is_slow else []
        if logs_recipients:
            self._options.append("--log-recipients")

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.sink", "--log", str(self._log), *self._options]
        self._process = subprocess.Popen(
            command, cwd=measure.ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port: int = json.loads(self._process.stdout.readline())["port"]
        return self

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def count(self) -> int:
        """Return how many mails have arrived."""
        return statistics(self.port)[0]

    def wait_for(self, count: int, *, seconds: float) -> None:
        """Return when so many mails have arrived. Ends the run when they do not in time."""
        deadline = time.monotonic() + seconds
        while (arrived := self.count()) < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"Only {arrived} of {count} mails arrived in {seconds:.0f} s.")
            time.sleep(0.05)

    def arrivals(self) -> list[Arrival]:
        """Return what arrived, in order."""
        time.sleep(0.3)
        rows = [line.split("\t") for line in self._log.read_text().splitlines()]
        return [Arrival(row[0], float(row[2]), row[3] if len(row) > 3 else "") for row in rows]  # noqa: PLR2004 - see sink

    def __exit__(self, *_exception: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._folder.cleanup()


class WorkerProcess:
    """One Celery worker of ours with so many processes, ready and idle on entry."""

    def __init__(self, processes: int, threads: int, more: Mapping[str, str] | None = None) -> None:
        self._name = f"bench-{os.getpid()}@localhost"
        self._environment = {
            **os.environ,
            **_NO_ROOT_WARNING,
            "PROCESS_ROLE": "worker",
            "DRAIN_THREADS": str(threads),
            "WORKER_CONCURRENCY": str(processes),
            **(more or {}),
        }

    def __enter__(self) -> subprocess.Popen[Any]:
        command = [
            sys.executable, "-m", "celery", "-A", "mailservice", "worker", "-Q",
            "transactional,bulk", "--without-mingle", "--without-gossip", "--without-heartbeat",
            "-l", "warning", "-n", self._name,
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command,
            cwd=measure.ROOT,
            env=self._environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
        )
        _wait_for_worker(self._process, self._name)
        return self._process

    def __exit__(self, *_exception: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


def _wait_for_worker(process: subprocess.Popen[Any], name: str) -> None:
    from mailservice.celery import app

    deadline = time.monotonic() + START_SECONDS
    while not app.control.ping([name], timeout=0.5):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("The worker does not start.")


class WebServer:
    """Gunicorn as production runs it, answering on entry."""

    def __enter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        environment = {**os.environ, "PROCESS_ROLE": "web", "PORT": str(self.port), "DEBUG": "0"}
        command = [
            sys.executable, "-m", "gunicorn", "--config", "mailservice/gunicorn.py",
            "--log-level", "warning", "mailservice.wsgi",
        ]  # fmt: skip
        self._process = subprocess.Popen(command, cwd=measure.ROOT, env=environment)
        try:
            self._wait()
        except BaseException:
            self._process.terminate()
            raise
        return self

    @property
    def pid(self) -> int:
        """Return the id of the main process."""
        return self._process.pid

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("The web server does not start.")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def __exit__(self, *_exception: object) -> None:
        self._process.terminate()
        self._process.wait(30)
