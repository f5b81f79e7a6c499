"""The keeper: a detached process that owns one server and ends it when nobody uses it any more.

Clients hold a shared lock; the kernel drops it however they end. The keeper waits for that lock
exclusively, so getting it means that the last client is gone. It keeps it until the server is down:
a client that comes meanwhile waits, and then starts a new keeper. A killed keeper takes its server
along (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from mailservice.launcher import locks, processes
from mailservice.launcher.errors import LauncherError
from mailservice.launcher.files import read_text, write_private
from mailservice.launcher.postgres import Postgres
from mailservice.launcher.valkey import Valkey

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from mailservice.launcher.files import Home, ServerState

_START_SECONDS = 60.0
_START_ATTEMPTS = 4
_LOG_LIMIT_BYTES = 5_000_000
_LOG_TAIL_BYTES = 2_000
_READY = b"ready"


class Server(Protocol):
    """What a keeper has to know about its server."""

    @property
    def name(self) -> str:
        """What state files and messages call it."""

    @property
    def stop_steps(self) -> Sequence[tuple[signal.Signals, float]]:
        """Signals that end it, gentlest first, each with its seconds of patience."""

    def prepare(self) -> None:
        """Make the data folder, once leftovers of an earlier server are gone."""

    def start(self, port: int) -> subprocess.Popen[bytes]:
        """Start the server process."""

    def is_ready(self, process: subprocess.Popen[bytes], port: int) -> bool:
        """Tell whether it answers."""

    def url(self, port: int) -> str:
        """Return the address for clients, password included."""

    def remake(self) -> bool:
        """Replace broken data by new, empty data, if that is allowed."""


def make_server(name: str, home: Home) -> Server:
    """Return the server called `name` with its data in `home`."""
    return Postgres(home) if name == Postgres.name else Valkey(home)


def keep(name: str, home: Home, *, keeper_lock: int) -> int:
    """Detach a keeper and return an exit code once its server answers or cannot be started.

    `keeper_lock` is the descriptor of the keeper's lock, taken by our caller; the keeper holds it
    for life. What went wrong goes to stderr.
    """
    receiver, sender = os.pipe()
    if os.fork() == 0:
        os.close(receiver)
        _detached(name, home, keeper_lock=keeper_lock, report=sender)
    os.close(sender)
    os.close(keeper_lock)
    with os.fdopen(receiver, "rb") as pipe:
        news = pipe.read()
    if news == _READY:
        return 0
    sys.stderr.write(news.decode(errors="replace") or f"The keeper of {name} ended early.\n")
    return 1


def _detached(name: str, home: Home, *, keeper_lock: int, report: int) -> None:
    """Live as the keeper in the child process; never returns."""
    code = 1
    try:
        os.setsid()
        os.set_inheritable(keeper_lock, False)  # noqa: FBT003 - positional in the library
        state = home.state(name)
        _redirect_output(state)
        keeper = _Keeper(make_server(name, home), state)
        _start_and_report(keeper, report)
        code = keeper.watch()
        # In this order: who gets the users' lock must find the keeper's lock free.
        os.close(keeper_lock)
    except BaseException:
        traceback.print_exc()  # into the log; nobody above us would
        raise
    finally:
        os._exit(code)


def _start_and_report(keeper: _Keeper, report: int) -> None:
    """Start the server and tell the waiting process how it went."""
    try:
        keeper.start()
    except (LauncherError, OSError) as error:
        os.write(report, f"{error}\n".encode())
        raise
    os.write(report, _READY)
    os.close(report)


def _redirect_output(state: ServerState) -> None:
    if state.log.exists() and state.log.stat().st_size > _LOG_LIMIT_BYTES:
        state.log.replace(state.log.with_suffix(".log.old"))
    log = os.open(state.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)


class _Keeper:
    """The life of one server: start, watch, stop."""

    def __init__(self, server: Server, state: ServerState) -> None:
        self._server = server
        self._state = state
        self._process: subprocess.Popen[bytes] | None = None
        #: Reasons to end; a queue because putting is allowed in signal handlers.
        self._ends: SimpleQueue[str] = SimpleQueue()

    def start(self) -> None:
        """Start the server and publish its address. Raises `LauncherError` if it will not run."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._ends.put("asked to stop"))
        self._server.prepare()
        start_of_log = self._state.log.stat().st_size
        port = self._start_somewhere()
        if port is None and self._server.remake():
            port = self._start_somewhere()
        if port is None:
            with self._state.log.open("rb") as log:
                log.seek(max(start_of_log, self._state.log.stat().st_size - _LOG_TAIL_BYTES))
                said = log.read().decode(errors="replace")
            raise LauncherError(f"{self._server.name} does not start. It said:\n{said}")
        self._state.port.write_text(str(port), encoding="utf-8")
        address = {"url": self._server.url(port), "pid": os.getpid()}
        write_private(self._state.address, json.dumps(address))

    def watch(self) -> int:
        """Wait until nobody uses the server (or it ends, or we are told to), then stop it."""
        process = self._process
        if process is None:
            raise LauncherError("Nothing was started.")
        # Threads only from here on: a child's death signal is tied to the thread that started it.
        threading.Thread(target=self._await_last_client, daemon=True).start()
        threading.Thread(target=self._await_server, args=(process,), daemon=True).start()
        reason = self._ends.get()
        self._state.address.unlink(missing_ok=True)
        failed = process.poll() is not None
        processes.stop(process, self._server.stop_steps)
        sys.stderr.write(f"keeper of {self._server.name}: stopped, {reason}\n")
        sys.stderr.flush()
        return int(failed)

    def _start_somewhere(self) -> int | None:
        """Return the port on which the server answers, or None if it ends on every one."""
        for port in self._ports():
            self._process = self._server.start(port)
            if self._becomes_ready(self._process, port):
                return port
            processes.stop(self._process, self._server.stop_steps)
            if not self._ends.empty():
                raise LauncherError(f"The start of {self._server.name} was interrupted.")
        return None

    def _ports(self) -> list[int]:
        """Return ports to try: the last one first, so that addresses survive a restart."""
        last = int(read_text(self._state.port) or 0)
        ports = [processes.free_port() for _ in range(_START_ATTEMPTS)]
        return (
            [last, *ports] if last and processes.is_port_free(processes.LOCALHOST, last) else ports
        )

    def _becomes_ready(self, process: subprocess.Popen[bytes], port: int) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline and self._ends.empty():
            if self._server.is_ready(process, port):
                return True
            time.sleep(0.02)
        return False

    def _await_last_client(self) -> None:
        locks.acquire_exclusive(self._state.users_lock)
        self._ends.put("nobody uses it any more")

    def _await_server(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._ends.put(f"it ended by itself with code {process.returncode}")
