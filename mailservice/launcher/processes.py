"""Starting, finding and stopping processes so that none outlives its owner."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mailservice.launcher.errors import LauncherError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

LOCALHOST = "127.0.0.1"


class Account(NamedTuple):
    """The user a server runs as; only root can choose one."""

    uid: int
    gid: int


def die_with_parent(death_signal: signal.Signals) -> None:
    """Have the kernel send `death_signal` to this process when its parent ends; Linux only.

    A change of user clears it, so this comes after that. It counts the thread that started us as
    the parent: start children from the main thread.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)


def _before_exec(death_signal: signal.Signals) -> Callable[[], None]:
    parent = os.getpid()

    def prepare() -> None:
        die_with_parent(death_signal)
        if os.getppid() != parent:  # it died before the kernel knew of our wish
            os._exit(1)

    return prepare


def start(
    command: Sequence[str | Path],
    *,
    death_signal: signal.Signals,
    environment: Mapping[str, str] | None = None,
    account: Account | None = None,
    output: int | None = None,
    pass_on: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own that gets `death_signal` when we die.

    `output` receives its stdout and stderr (ours if None); `pass_on` are descriptors it inherits.
    """
    return subprocess.Popen(  # noqa: S603 - our own commands, no shell
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=None if environment is None else dict(environment),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        cwd="/" if account else None,
        pass_fds=pass_on,
        start_new_session=True,
        preexec_fn=_before_exec(death_signal),  # noqa: PLW1509 - called before any thread exists
    )


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    folder: Path = Path("/"),
    account: Account | None = None,
    stdin: str = "",
) -> str:
    """Run a command to its end and return its stdout; it ends with us.

    Raises `LauncherError` with what it printed if it fails.
    """
    with subprocess.Popen(  # noqa: S603 - our own commands, no shell
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        cwd=folder,
        preexec_fn=_before_exec(signal.SIGTERM),  # noqa: PLW1509 - called before any thread exists
    ) as process:
        output, errors = process.communicate(stdin.encode())
    if process.returncode:
        printed = b"\n".join(part.strip() for part in (output, errors) if part.strip())
        raise LauncherError(
            f"{shlex.join(str(part) for part in command)} failed "
            f"with code {process.returncode}:\n{printed.decode(errors='replace')}"
        )
    return output.decode(errors="replace")


def stop(process: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send one signal after the other, each with its seconds of patience, until `process` ends."""
    for step, seconds in steps:
        if process.poll() is not None:
            return
        process.send_signal(step)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue


def find(program: str, token: str) -> list[int]:
    """Return the pids of living processes called `program` with `token` in their command line.

    Looks into /proc, so elsewhere than on Linux nothing is found. Zombies have no command line.
    """
    found = []
    # No glob for the whole path: it looks at each file, and stumbles over those that end meanwhile.
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
        if token in words and program in words.split("\0", 1)[0]:
            found.append(int(entry.name))
    return found


def wait_until_gone(program: str, token: str, *, seconds: float = 20.0) -> None:
    """Wait for leftovers of a killed keeper to end, and kill those that do not."""
    deadline = time.monotonic() + seconds
    while left := find(program, token):
        if time.monotonic() > deadline:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            deadline += seconds
        time.sleep(0.05)


def is_port_free(host: str, port: int) -> bool:
    """Tell whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on; somebody else may take it meanwhile."""
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return int(probe.getsockname()[1])
