"""A whole installation whose every part is a process that a test may kill, stop or starve.

A `Cluster` is PostgreSQL, Valkey and a template database, made once; a `House` is a database of its
own with web, workers, beat and the counting sink, run by the commands of the Procfile.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from mailservice.launcher import processes
from mailservice.launcher.files import SERVER_NAMES, Home
from mailservice.launcher.keeper import Server, make_server
from mailservice.launcher.unprivileged import remove_home
from tests.support.ledger import SinkLog
from tests.support.tcp import open_to
from tests.support.workers import ROOT

LOCALHOST = processes.LOCALHOST
TEMPLATE = "mailservice"
CLOCK = ROOT / "tests" / "support" / "chaos_clock"


def wait_for(condition: Callable[[], object], *, seconds: float, what: str) -> None:
    """Look every 20 ms until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {seconds} s: {what}")
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    """The pids of a process's children."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def connections_to(port: int, pids: Sequence[int]) -> int:
    """How many connections these processes have open to a local port."""
    sockets = {f"socket:[{inode}]" for inode in open_to(port)}
    found = set()
    for pid in pids:
        with suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    found.add(str(link.readlink()))
    return len(found & sockets)


def signal_quietly(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False if there is no such process any more."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@dataclass
class LocalServer:
    """PostgreSQL or Valkey by the launcher's own means, on a port it keeps through restarts."""

    server: Server
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, *, seconds: float = 60) -> None:
        """Start it and wait until it answers. Raises `AssertionError` if it ends instead."""
        self.server.prepare()
        process = self.process = self.server.start(self.port)
        wait_for(
            lambda: process.poll() is not None or self.server.is_ready(process, self.port),
            seconds=seconds,
            what=f"{self.server.name} answers",
        )
        assert process.poll() is None, f"{self.server.name} does not start"

    def kill(self) -> None:
        """End it without a word; its own children notice."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None:
            processes.stop(self.process, self.server.stop_steps)


@dataclass
class Cluster:
    """The servers that several houses use one after another."""

    path: Path
    postgres: LocalServer
    valkey: LocalServer
    web_port: int
    sink_port: int
    secret: str = ""
    houses: int = 0

    def url(self, server: LocalServer, database: str) -> str:
        parts = urlsplit(server.server.url(server.port))
        return urlunsplit(parts._replace(path=f"/{database}"))

    def environment(self, database: str) -> dict[str, str]:
        return os.environ | {
            "DATABASE_URL": self.url(self.postgres, database),
            "REDIS_URL": self.url(self.valkey, "0"),
            "WIRE_JOURNAL_DIR": str(self.path / "journals"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PORT": str(self.web_port),
        }

    def forget_broker(self) -> None:
        """Delete what the broker, which must be down, has on disk."""
        shutil.rmtree(self.path / "valkey" / "appendonlydir", ignore_errors=True)

    def new_database(self) -> str:
        """Return the name of a copy of the template."""
        self.houses += 1
        name = f"house_{self.houses}"
        with psycopg.connect(self.url(self.postgres, "postgres"), autocommit=True) as database:
            database.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return name


@contextmanager
def cluster(*, path: Path | None = None) -> Iterator[Cluster]:
    """Make the servers in a new folder (or an empty one given); remove all in the end."""
    home = path or Path(tempfile.mkdtemp(prefix="mailservice-chaos-"))
    home.chmod(0o711)  # PostgreSQL may run as somebody else and has its folder below
    place = Home(home, durable=True)
    ports = [processes.free_port() for _ in range(4)]
    servers = [
        LocalServer(make_server(name, place), port)
        for name, port in zip(SERVER_NAMES, ports, strict=False)
    ]
    try:
        for server in servers:
            server.start()
        made = Cluster(home, servers[0], servers[1], ports[2], ports[3])
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.chaos_setup", json.dumps({"port": ports[3]})],
            cwd=ROOT,
            env=made.environment(TEMPLATE),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        made.secret = json.loads(done.stdout)["secret"]
        yield made
    finally:
        for server in servers:
            server.stop()
        if path is None:
            remove_home(home, SERVER_NAMES)


@dataclass
class Program:
    """One process group: what systemd or a container runtime would keep alive."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it unless it runs."""
        if self.is_running:
            return
        self.starts += 1
        with self.log.open("ab") as log:
            self.process = processes.start(
                self.command,
                death_signal=signal.SIGKILL,
                environment=self.environment,
                output=log.fileno(),
            )

    def pids(self) -> list[int]:
        return [self.pid, *children_of(self.pid)] if self.is_running else []

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        if self.is_running:
            os.killpg(self.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def terminate(self, *, seconds: float = 30) -> int:
        """Ask the main process to end, as a service manager does; return its exit code."""
        assert self.process is not None
        signal_quietly(self.pid, signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


def procfile() -> dict[str, str]:
    """The commands of the Procfile, bound to this machine only."""
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    commands = dict(line.split(": ", 1) for line in lines)
    return {name: text.replace("0.0.0.0", LOCALHOST) for name, text in commands.items()}  # noqa: S104 - avoided


class House:
    """Web, workers, beat and sink on a database of their own."""

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        *,
        workers: int = 1,
        sink: Sequence[str] = (),
        has_clocks: bool = False,
        **settings: Any,
    ) -> None:
        self.cluster = cluster
        self.database = cluster.new_database()
        self.dsn = cluster.url(cluster.postgres, self.database)
        self.environment = cluster.environment(self.database) | {
            "LEASE_SECONDS": "5",
            "DRAIN_CHUNK": "20",
            "DRAIN_THREADS": "4",
            "WORKER_CONCURRENCY": "2",
            "WEB_CONCURRENCY": "2",
            "LOG_LEVEL": "WARNING",
            **{name: str(value) for name, value in settings.items()},
        }
        self.folder = folder
        self._has_clocks = has_clocks
        self.arrived = SinkLog(folder / "sink.tsv")
        commands = procfile()
        self.web = self._program("web", commands["web"])
        self.workers = [
            self._program(f"worker{n}", commands["worker"].replace("INFO", "WARNING"))
            for n in range(workers)
        ]
        self.beat = self._program("beat", commands["beat"])
        self.sink = self._sink(sink)
        self._session: psycopg.Connection[Any] | None = None

    def _program(self, name: str, command: str) -> Program:
        shell = ["sh", "-c", f"exec env {command}"]
        environment = self.environment
        if self._has_clocks:
            environment = environment | {
                "PYTHONPATH": str(CLOCK),
                "CLOCK_OFFSET_FILE": str(self._clock(name)),
            }
        return Program(name, shell, environment, self.folder / f"{name}.log")

    def _clock(self, name: str) -> Path:
        return self.folder / f"{name}.clock"

    def set_clock(self, program: Program, seconds: float) -> None:
        """Let a program's clock be wrong by so much from now on."""
        fresh = self._clock(f"{program.name}.new")
        fresh.write_text(str(seconds), encoding="ascii")
        fresh.replace(self._clock(program.name))

    def _sink(self, options: Sequence[str]) -> Program:
        command = [sys.executable, str(ROOT / "bench" / "sink.py"), "--log-recipients"]
        command += ["--port", str(self.cluster.sink_port), "--log", str(self.arrived.path)]
        return Program("sink", [*command, *options], self.environment, self.folder / "sink.log")

    def use_sink(self, *options: str) -> None:
        """Exchange the sink for one with other options, on the same port."""
        self.sink.terminate()
        self.sink = self._sink(options)
        self.sink.start()

    @property
    def programs(self) -> list[Program]:
        return [self.sink, self.web, *self.workers, self.beat]

    def start(self) -> None:
        """Start what does not run, servers first."""
        for server in (self.cluster.postgres, self.cluster.valkey):
            if not server.is_running:
                server.start()
        for program in self.programs:
            program.start()

    def stop(self) -> list[int]:
        """End everything gently but the servers; return the exit codes of workers and beat."""
        codes = [program.terminate() for program in [*self.workers, self.beat]]
        self.web.terminate()
        self.sink.terminate()
        return codes

    def destroy(self) -> None:
        if self._session is not None:
            self._session.close()
        for program in self.programs:
            if program.process is not None:
                program.kill()

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement in the house's database, on a kept session while it lasts."""
        if self._session is None or self._session.closed:
            self._session = psycopg.connect(self.dsn, autocommit=True, connect_timeout=5)
        try:
            cursor = self._session.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError:
            self._session.close()
            raise

    def logs(self) -> str:
        """The last words of every process, for a failing test."""
        parts = []
        for program in self.programs:
            if program.log.exists():
                tail = program.log.read_text(errors="replace").splitlines()[-30:]
                parts.append("\n".join([f"--- {program.name}", *tail]))
        return "\n".join(parts)


@contextmanager
def house(cluster: Cluster, folder: Path, **options: Any) -> Iterator[House]:
    """Run a house; destroy it whatever happens. A failing test shows what its processes said."""
    folder.mkdir(parents=True, exist_ok=True)
    made = House(cluster, folder, **options)
    try:
        made.start()
        yield made
    except BaseException:
        sys.stdout.write(made.logs())
        raise
    finally:
        made.destroy()
        shutil.rmtree(folder, ignore_errors=True)
