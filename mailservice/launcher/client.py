"""The client's side: use a local server, starting it if it does not run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from mailservice.launcher import locks
from mailservice.launcher.errors import LauncherError
from mailservice.launcher.files import PROJECT_DIR, SERVER_NAMES, read_text

if TYPE_CHECKING:
    from mailservice.launcher.files import Home, ServerState

_PATIENCE_SECONDS = 120.0
_STOP_SECONDS = 90.0
#: After so long without the keeper shutting down, somebody else must be using its server.
_OTHERS_SECONDS = 0.5


class Lease:
    """The right to use a running server; it lasts until released or until this process ends."""

    def __init__(self, state: ServerState, *, url: str, lock: int) -> None:
        self.url = url
        #: Descriptor of the shared lock; a child that inherits it prolongs the lease.
        self.lock = lock
        self._state = state

    @property
    def server(self) -> str:
        """The server's name."""
        return self._state.server

    def is_alive(self) -> bool:
        """Tell whether the server's keeper still lives."""
        return _has_keeper(self._state)

    def release(self) -> None:
        """Stop using the server; returns once it is down, unless others use it."""
        os.close(self.lock)
        others_since = deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline and _has_keeper(self._state):
            probe = locks.try_shared(self._state.users_lock)
            if probe is None:  # the keeper has it: it is shutting down
                others_since = deadline
            else:
                os.close(probe)
                others_since = min(others_since, time.monotonic())
                if time.monotonic() - others_since > _OTHERS_SECONDS:
                    return
            time.sleep(0.02)


def lease(home: Home, server: str) -> Lease:
    """Return the right to use `server` of `home`, starting it if needed.

    Raises `LauncherError` if it cannot be started.
    """
    try:
        state = home.state(server)
        users = locks.acquire_shared(state.users_lock)
    except OSError as error:
        raise LauncherError(f"Cannot write to {home.path}: {error.strerror}.") from error
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with locks.exclusively(state.start_lock):
            keeper = locks.try_exclusive(state.keeper_lock)
            if keeper is not None:
                _start_keeper(home, state, keeper)
            address = read_text(state.address)
        if address is not None:
            return Lease(state, url=json.loads(address)["url"], lock=users)
        time.sleep(0.05)  # a keeper that is starting or stopping
    raise LauncherError(f"{server} neither starts nor stops: see {state.log}.")


def _start_keeper(home: Home, state: ServerState, keeper_lock: int) -> None:
    """Hand the keeper's lock to a new keeper and wait until its server answers."""
    try:
        state.address.unlink(missing_ok=True)  # left by a killed keeper
        command = [sys.executable, "-m", "mailservice.launcher", "keep", state.server]
        command += ["--home", str(home.path), "--keeper-lock", str(keeper_lock)]
        if not home.durable:
            command.append("--fast")
        done = subprocess.run(  # noqa: S603 - ourselves
            command,
            cwd=PROJECT_DIR,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(keeper_lock,),
            start_new_session=True,
            check=False,
        )
    finally:
        os.close(keeper_lock)
    if done.returncode:
        raise LauncherError(done.stderr.decode(errors="replace").strip())


def stop_servers(home: Home) -> list[str]:
    """Stop the servers of `home` whoever uses them and return the names of those that ran."""
    if not home.path.exists():
        return []
    stopped = []
    for server in SERVER_NAMES:
        state = home.state(server)
        address = read_text(state.address)
        if address is None or not _has_keeper(state):
            continue
        with suppress(ProcessLookupError):  # it may end just now
            os.kill(json.loads(address)["pid"], signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while _has_keeper(state) and time.monotonic() < deadline:
            time.sleep(0.05)
        stopped.append(server)
    return stopped


def _has_keeper(state: ServerState) -> bool:
    with locks.exclusively(state.start_lock):
        probe = locks.try_exclusive(state.keeper_lock)
        if probe is None:
            return True
        os.close(probe)
        return False
