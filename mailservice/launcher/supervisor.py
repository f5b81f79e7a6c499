"""Runs a few programs side by side: one ends, all end; one Ctrl-C stops all."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from mailservice.launcher import output, processes

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence

#: A child that has not finished by then is killed.
GRACE_SECONDS = 15.0
_TICK_SECONDS = 0.2


@dataclass(frozen=True)
class Program:
    """One child: `name` stands before its log lines."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


def supervise(
    programs: Sequence[Program],
    *,
    each_tick: Callable[[], str | None],
    pass_on: Sequence[int] = (),
) -> int:
    """Run `programs` until one ends or a signal comes, then stop them all.

    `each_tick` is called several times a second; a text it returns is a reason to stop. `pass_on`
    are descriptors the children inherit. Returns the exit code: 0 if a signal asked us to stop.
    """
    asked: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: asked.put(received))
    copier, writers = output.start_copying([program.name for program in programs])
    children = {}
    for program in programs:
        children[program.name] = processes.start(
            program.command,
            death_signal=signal.SIGTERM,
            environment=program.environment,
            output=writers[program.name],
            pass_on=pass_on,
        )
    for writer in writers.values():
        os.close(writer)
    failure = _wait_for_the_end(children, asked, each_tick)
    output.say(f"\n{failure}\nStopping ..." if failure else "\nStopping ...")
    _stop(children, asked)
    _await_last_lines(copier)
    return 1 if failure else 0


def _await_last_lines(copier: int) -> None:
    """Let the copying process finish, unless a stray grandchild keeps its pipe open."""
    deadline = time.monotonic() + 2
    while os.waitpid(copier, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            os.kill(copier, signal.SIGKILL)
        time.sleep(0.02)


def _wait_for_the_end(
    children: Mapping[str, subprocess.Popen[bytes]],
    asked: SimpleQueue[int],
    each_tick: Callable[[], str | None],
) -> str | None:
    """Return why we have to stop, or None if somebody asked for it."""
    while True:
        with suppress(Empty):
            asked.get(timeout=_TICK_SECONDS)
            return None
        for name, child in children.items():
            if child.poll() is not None:
                return f"{name} ended by itself with code {child.returncode}."
        if (reason := each_tick()) is not None:
            return reason


def _stop(children: Mapping[str, subprocess.Popen[bytes]], asked: SimpleQueue[int]) -> None:
    """Ask all to finish, wait a bounded time (a second Ctrl-C ends it), then kill what is left."""
    for child in children.values():
        child.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and asked.empty():
        if all(child.poll() is not None for child in children.values()):
            break
        time.sleep(0.05)
    for child in children.values():
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # with whatever it left behind
        child.wait()
