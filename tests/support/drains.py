"""Drains in processes of their own, which begin at the same moment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.workers import ROOT, environment

#: A drain of two seconds, once it is told to go.
_DRAIN = """
import sys, django
django.setup()
from delivery.queue.drain import drain_lane
from delivery.states import Lane
print("ready", flush=True)
sys.stdin.readline()
drain_lane(lane=Lane.BULK, worker=sys.argv[1], seconds=2)
"""


@contextmanager
def drains(*names: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Let processes drain for two seconds, from the same moment on."""
    with ExitStack() as stack:
        processes = [stack.enter_context(_process_that_drains(name)) for name in names]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        yield processes


def _process_that_drains(name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _DRAIN, name],
        cwd=ROOT,
        env=environment(PROCESS_ROLE="worker"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
