"""The life of the local servers, with real ones in a home of their own."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from mailservice.launcher import processes
from mailservice.launcher.files import PROJECT_DIR, SERVER_NAMES
from mailservice.launcher.unprivileged import remove_home

CLIENT = """
import json, sys
from mailservice.launcher import local_environment
print(json.dumps(local_environment(sys.argv[1], durable=False)), flush=True)
sys.stdin.read()
"""
LOCAL = [
    "DATABASE_URL",
    "ENCRYPTION_KEYS",
    "HTTPS",
    "PUBLIC_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "STATIC_FROM_SOURCE",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with data, shared by the tests of this module: initdb is the slow part."""
    path = tmp_path_factory.mktemp("launcher") / "home"
    yield path
    wait_for(lambda: not running(path))
    remove_home(path, SERVER_NAMES)


@contextmanager
def start_client(home: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    inherited = {name: value for name, value in os.environ.items() if name not in LOCAL}
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(home)],
        cwd=PROJECT_DIR,
        env=inherited | {"ENV_FILE": os.devnull} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with client:
        try:
            yield client
        finally:
            client.kill()


def variables(client: subprocess.Popen[str]) -> dict[str, str]:
    assert client.stdout is not None
    line = client.stdout.readline()
    assert line, "the client failed"
    return dict(json.loads(line))


def address(home: Path, server: str) -> dict[str, Any]:
    return dict(json.loads((home / "state" / f"{server}.json").read_text()))


def running(home: Path) -> list[int]:
    """Return the pids of all keepers and servers of `home`."""
    keepers = processes.find("python", f"keep\0postgres\0--home\0{home}")
    keepers += processes.find("python", f"keep\0valkey\0--home\0{home}")
    data = str((home / "postgres").resolve() / "data")
    return [
        *keepers,
        *processes.find("postgres", data),
        *processes.find("valkey-server", str(home / "valkey")),
    ]


def wait_for(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_two_clients_at_once_share_one_pair_of_servers(home: Path) -> None:
    with start_client(home) as one, start_client(home) as two:
        first, second = variables(one), variables(two)
        assert first == second
        assert len(running(home)) == 4
        assert execute(first["DATABASE_URL"], "SELECT current_database()") == [("mailservice",)]
        assert execute(first["DATABASE_URL"], "SHOW server_encoding") == [("UTF8",)]
        with redis.Redis.from_url(second["REDIS_URL"]) as broker:
            assert broker.ping() is True
    wait_for(lambda: not running(home))


def test_servers_outlive_one_client_but_not_the_last_even_if_killed(home: Path) -> None:
    with start_client(home) as one:
        first = variables(one)
        with start_client(home) as two:
            second = variables(two)
            one.kill()
            one.wait()
            time.sleep(0.3)  # a keeper that errs would stop now
            assert execute(second["DATABASE_URL"], "SELECT 1") == [(1,)]
            two.kill()
            two.wait()
            wait_for(lambda: not running(home))
    assert first["DATABASE_URL"] == second["DATABASE_URL"]
    assert not (home / "state" / "postgres.json").exists()


def test_killed_keeper_takes_its_server_along_and_the_data_survives(home: Path) -> None:
    with start_client(home) as client:
        url = variables(client)["DATABASE_URL"]
        execute(url, "CREATE TABLE kept (number int); INSERT INTO kept VALUES (7)")
        for server in SERVER_NAMES:
            os.kill(address(home, server)["pid"], signal.SIGKILL)
        wait_for(lambda: not running(home))
        with start_client(home) as late:
            assert execute(variables(late)["DATABASE_URL"], "SELECT number FROM kept") == [(7,)]


def test_leftovers_of_a_machine_crash_do_not_hinder_the_start(home: Path) -> None:
    with start_client(home) as client:
        variables(client)
        stale = {server: address(home, server) for server in SERVER_NAMES}
        for pid in running(home):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not running(home))
    for server, content in stale.items():
        (home / "state" / f"{server}.json").write_text(json.dumps(content))
    # After a reboot the recorded pid may belong to anybody: here, to this very process.
    pid_file = (home / "postgres").resolve() / "data" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{pid_file.parent}\n0\n1\n\n127.0.0.1\n0 0\nready\n")
    with start_client(home) as client:
        assert execute(variables(client)["DATABASE_URL"], "SELECT 1") == [(1,)]


def test_taken_port_is_replaced_by_another_one(home: Path) -> None:
    with start_client(home) as client:
        before = variables(client)["REDIS_URL"]
    wait_for(lambda: not running(home))
    port = int((home / "state" / "valkey.port").read_text())
    with socket.create_server((processes.LOCALHOST, port)), start_client(home) as client:
        after = variables(client)["REDIS_URL"]
        assert after != before
        with redis.Redis.from_url(after) as broker:
            assert broker.ping() is True


def test_named_servers_are_not_started(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with start_client(other, DATABASE_URL="postgres://x@127.0.0.1:1/x") as client:
        assert sorted(variables(client)) == [name for name in LOCAL if name != "DATABASE_URL"]
        assert not (other / "postgres").exists()
    wait_for(lambda: not running(other))
    dotenv = tmp_path / "dotenv"
    dotenv.write_text(
        "# local\nexport REDIS_URL='redis://127.0.0.1:1/0'\nDATABASE_URL=\nSTATIC_FROM_SOURCE=0\n"
    )
    with start_client(home, ENV_FILE=str(dotenv)) as client:
        found = variables(client)
        assert "DATABASE_URL" in found
        assert "REDIS_URL" not in found
        assert "STATIC_FROM_SOURCE" not in found


def test_secrets_are_kept_and_private(home: Path) -> None:
    with start_client(home) as client:
        first = variables(client)
    with start_client(home) as client:
        second = variables(client)
    assert (first["SECRET_KEY"], first["ENCRYPTION_KEYS"]) == (
        second["SECRET_KEY"],
        second["ENCRYPTION_KEYS"],
    )
    private = [home / "local.env", home / "valkey" / "password", home / "valkey" / "valkey.conf"]
    private.append((home / "postgres").resolve() / "password")
    assert [oct(stat.S_IMODE(path.stat().st_mode)) for path in private] == ["0o600"] * 4


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands PostgreSQL to another account")
def test_root_leaves_closed_folders_closed(home: Path) -> None:
    closed = home.parent
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    with start_client(home) as client:
        url = variables(client)["DATABASE_URL"]
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        data = (home / "postgres").resolve()
        assert not data.is_relative_to(closed)
        assert data.stat().st_uid != 0
        assert execute(url, "SHOW data_directory") == [(str(data / "data"),)]
