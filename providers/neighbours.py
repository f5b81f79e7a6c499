"""Names of processes, by which those on the same host can tell that one of them is gone."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from uuid import uuid4


def name_of(pid: int) -> str:
    """Return the name of a process of this host, which no other process ever has."""
    return f"{_neighbourhood() or uuid4().hex}:{pid}:{_started(pid)}"


def is_dead_neighbour(process: str) -> bool:
    """Tell whether it is a process of this host, as far as we can see it, that is gone."""
    neighbourhood, _, rest = process.partition(":")
    pid, _, started = rest.partition(":")
    if not pid.isdigit() or neighbourhood != _neighbourhood():
        return False
    return _started(int(pid)) != started


@lru_cache(maxsize=1)
def _neighbourhood() -> str:
    """Return what the processes have in common that see each other; empty where nothing tells."""
    with suppress(OSError):
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        view = f"{boot_id.strip()} {Path('/proc/self/ns/pid').readlink()}"
        return hashlib.sha256(view.encode()).hexdigest()[:16]
    return ""


def _started(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; empty if it is gone."""
    with suppress(OSError, IndexError):
        # The name, in parentheses, may hold anything. A zombie holds no connection any more.
        state, *facts = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return "" if state in {b"Z", b"X"} else facts[18].decode()
    return ""
