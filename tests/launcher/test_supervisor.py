"""The foreground launcher: one ends, all end; signals stop all; nothing survives a kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailservice.launcher import processes
from mailservice.launcher.files import PROJECT_DIR
from mailservice.launcher.output import prefixes
from mailservice.launcher.run import programs
from tests.launcher.test_servers import wait_for

LAUNCHER = """
import os, sys
from mailservice.launcher.supervisor import Program, supervise
scripts = dict(zip(sys.argv[1::2], sys.argv[2::2]))
sys.exit(supervise(
    [Program(name, [sys.executable, "-c", code], os.environ) for name, code in scripts.items()],
    each_tick=lambda: None,
))
"""
PATIENT = """
import signal, sys, time
def finish(*_):
    print("finished my work", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, finish)
print("started {token}", flush=True)
time.sleep(60)
"""


@contextmanager
def launcher(*scripts: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, *scripts],
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    assert any(text in line for line in process.stdout), f"{text!r} was never printed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_lets_all_finish_and_exits_with_zero(number: signal.Signals) -> None:
    with launcher(
        "web", PATIENT.format(token="one"), "beat", PATIENT.format(token="two")
    ) as process:
        read_until(process, "started")
        read_until(process, "started")
        process.send_signal(number)
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 0
    assert sorted(line for line in output.splitlines() if "|" in line) == [
        "beat | finished my work",
        "web  | finished my work",
    ]


def test_child_that_ends_by_itself_stops_all_with_a_failure() -> None:
    short = "import sys; sys.exit(0)"
    with launcher("web", PATIENT.format(token="x"), "worker", short) as process:
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 1
    assert "worker ended by itself with code 0." in output


def test_killed_launcher_leaves_no_child(tmp_path: Path) -> None:
    token = str(tmp_path)
    with launcher(
        "web", PATIENT.format(token=token), "beat", PATIENT.format(token=token)
    ) as process:
        read_until(process, "started")
        read_until(process, "started")
        process.kill()
        process.wait()
        wait_for(lambda: not processes.find("python", token))
        assert process.stdout is not None
        assert process.stdout.read().count("finished my work") == 2


def test_log_prefixes_have_one_width_and_colours_on_request() -> None:
    assert prefixes(["web", "worker"], coloured=False) == {
        "web": b"web    | ",
        "worker": b"worker | ",
    }
    assert prefixes(["web"], coloured=True) == {"web": b"\x1b[36mweb | \x1b[0m"}


def test_programs_know_their_role_and_bind_where_told() -> None:
    found = {program.name: program for program in programs("::1", 8123)}
    assert list(found) == ["web", "worker", "beat"]
    assert {name: program.environment["PROCESS_ROLE"] for name, program in found.items()} == {
        "web": "web",
        "worker": "worker",
        "beat": "beat",
    }
    assert "[::1]:8123" in found["web"].command
    assert found["worker"].environment["PATH"] == os.environ["PATH"]
