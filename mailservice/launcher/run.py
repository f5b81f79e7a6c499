"""`make run`: the whole service on one machine, in the foreground."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mailservice.launcher import environment, locks, processes
from mailservice.launcher.errors import LauncherError
from mailservice.launcher.files import DEVELOPMENT_HOME, PROJECT_DIR, read_text, write_private
from mailservice.launcher.output import say
from mailservice.launcher.supervisor import Program, supervise

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = DEVELOPMENT_HOME
QUEUES = "transactional,bulk,events,verification,maintenance"

#: Children of a launcher killed a moment ago may need this long to free the port.
_PORT_SECONDS = 3.0
_READY_SECONDS = 60.0
_MAX_PORT = 65535


def run() -> int:
    """Run web, worker and beat until Ctrl-C; return the exit code."""
    # Until the children run, both signals simply end us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if "MAKELEVEL" in os.environ:  # a killed `make` takes us along
        processes.die_with_parent(signal.SIGTERM)
    try:
        with _only_one(), _servers_stopped_at_the_end():
            return _run()
    except KeyboardInterrupt:
        return 0


def _run() -> int:
    host, port = _address()
    say("Starting PostgreSQL and Valkey (unless the environment names others) ...")
    (HOME / "web.port").write_text(str(port), encoding="utf-8")
    os.environ.update(environment.local_environment(HOME))
    os.environ |= {"PORT": str(port), "HOST": host, "PYTHONUNBUFFERED": "1"}
    say("Bringing the database up to date ...")
    _manage("migrate", "--verbosity=0")
    setup = json.loads(_manage("setup_local", "--json"))
    if setup["api_key"]:
        write_private(HOME / "demo_key", setup["api_key"])
    if setup["admin_password"]:
        say(f"Admin user {setup['admin_email']} with password {setup['admin_password']}")
    guide = _guide(f"http://localhost:{port}", setup)
    leases = environment.leases(HOME)
    return supervise(
        programs(host, port),
        each_tick=_Watch(port, guide),
        pass_on=[lease.lock for lease in leases],
    )


@contextmanager
def _only_one() -> Iterator[None]:
    """Keep a second `make run` out of the same checkout: two beats would tick twice."""
    HOME.mkdir(parents=True, exist_ok=True)
    lock = locks.try_exclusive(HOME / "run.lock")
    if lock is None:
        pid = read_text(HOME / "run.pid")
        raise LauncherError(f"This checkout runs already (process {pid}); `make stop` ends it.")
    (HOME / "run.pid").write_text(str(os.getpid()), encoding="utf-8")
    try:
        yield
    finally:
        (HOME / "run.pid").unlink(missing_ok=True)
        os.close(lock)


def stop_run() -> bool:
    """End a `make run` of this checkout and tell whether there was one."""
    pid = read_text(HOME / "run.pid")
    if not pid:
        return False
    free = locks.try_exclusive(HOME / "run.lock")
    if free is None:
        os.kill(int(pid), signal.SIGTERM)
        free = locks.acquire_exclusive(HOME / "run.lock")
        os.close(free)
        return True
    os.close(free)
    return False


@contextmanager
def _servers_stopped_at_the_end() -> Iterator[None]:
    """Wait for the local servers to stop, however impatient the user is by then."""
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        environment.release_all()


def _address() -> tuple[str, int]:
    """Return host and port for the web server. Raises `LauncherError` if they cannot be used."""
    known = environment.given()
    host = known.get("HOST", processes.LOCALHOST)
    text = known.get("PORT", environment.DEFAULT_PORT)
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _MAX_PORT):
        raise LauncherError(f"PORT: {text!r} is not a port number from 1 to {_MAX_PORT}.")
    port = int(text)
    deadline = time.monotonic() + _PORT_SECONDS
    while not processes.is_port_free(host, port):
        if time.monotonic() > deadline:
            raise LauncherError(
                f"Port {port} of {host} is in use or not ours to use. "
                f"Choose another one: PORT={port + 1 if port < _MAX_PORT else 8000} make run"
            )
        time.sleep(0.1)
    return host, port


def _manage(*arguments: str) -> str:
    """Run a management command and return its stdout. Raises `LauncherError` if it fails."""
    return processes.run(
        [sys.executable, "manage.py", *arguments],
        folder=PROJECT_DIR,
        environment=os.environ | {"PROCESS_ROLE": "command"},
    )


def programs(host: str, port: int) -> list[Program]:
    """Return the processes of the service, ready for `supervise`."""
    python = [sys.executable, "-m"]
    # Celery's banner and its warning about root say nothing here that the guide does not.
    celery = [sys.executable, "-W", "ignore:You're running the worker", "-m"]
    celery += ["celery", "--quiet", "-A", "mailservice"]
    alone = ["--without-mingle", "--without-gossip", "--without-heartbeat"]
    commands = {
        "web": [
            *python,
            *("gunicorn", "--config", "mailservice/gunicorn.py"),
            *("--bind", f"[{host}]:{port}" if ":" in host else f"{host}:{port}"),
            "mailservice.wsgi",
        ],
        "worker": [*celery, "worker", "--queues", QUEUES, "--loglevel", "INFO", *alone],
        "beat": [*celery, "beat", "--pidfile", "", "--loglevel", "INFO"],
    }
    return [
        Program(name=name, command=command, environment=os.environ | {"PROCESS_ROLE": name})
        for name, command in commands.items()
    ]


def _guide(url: str, setup: dict[str, Any]) -> str:
    """Return what to print once everything answers."""
    key = read_text(HOME / "demo_key")
    body = {
        "to": ["ada@example.org"],
        "subject": "Hello from mailservice",
        "text": "It works.",
        "html": "<p>It <b>works</b>.</p>",
    }
    curl = (
        f"curl -sS {url}/api/v1/emails -H 'Authorization: Bearer {key or 'YOUR_KEY'}' "
        f"-H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"
    )
    password = setup["admin_password"]
    sign_in = f"{setup['admin_email']}" + (
        f"  password {password} (shown once)" if password else ""
    )
    inbox = setup["inbox_url"]
    lines = [
        "",
        "mailservice is running.",
        "",
        f"  Admin   {url}/admin/  {sign_in}",
        f"  Inbox   {inbox if '://' in inbox else url + inbox}",
        f"  API     {url}/api/v1/",
        "",
        "Send a mail and look into the inbox:",
        "",
        f"  {curl}",
        "",
        "Ctrl-C stops everything.",
        "",
    ]
    return "\n".join(lines)


class _Watch:
    """Prints the guide once the service answers and notices when a local server is lost."""

    def __init__(self, port: int, guide: str) -> None:
        self._port = port
        self._guide: str | None = guide
        self._patience_until = time.monotonic() + _READY_SECONDS
        self._next_look = 0.0

    def __call__(self) -> str | None:
        """Look around; a text is a reason to stop."""
        if self._guide is not None:
            late = time.monotonic() > self._patience_until
            if late:
                say(f"Not ready after {_READY_SECONDS:.0f} seconds: the lines above may say why.")
            if late or self._answers():
                say(self._guide)
                self._guide = None
        if time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + 1
        for lease in environment.leases(HOME):
            if not lease.is_alive():
                return f"The local {lease.server} server is gone: see {HOME / 'state'}."
        return None

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(processes.LOCALHOST, self._port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
