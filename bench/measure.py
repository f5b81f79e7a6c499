"""What benchmarks share: CPU and memory from /proc, the bench's own servers, how to report."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from mailservice.launcher import local_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
#: Benches that run side by side name homes of their own.
HOME = Path(os.environ.get("BENCH_HOME") or ROOT / "var" / "bench")
_TICKS = os.sysconf("SC_CLK_TCK")

#: Names the home that this process or its parent holds.
_HELD = "BENCH_HOME_HELD"
_holds: dict[Path, int] = {}

#: Names of figures and their values.
Figures = dict[str, float]


def prepare(home: Path = HOME) -> None:
    """Point this process at the bench's own, durable servers, unless others are named."""
    _be_alone(home)
    # Ended from outside, a bench still ends the processes it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailservice.settings.base")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    for name, value in local_environment(home, durable=True).items():
        os.environ.setdefault(name, value)


def _be_alone(home: Path) -> None:
    """Hold the home until this process ends: a second bench would empty the tables of the first.

    The parts of one run share it: their parent holds it.
    """
    if os.environ.get(_HELD) == str(home) or home in _holds:
        return
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home / "bench.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit(f"Another bench is using {home}; BENCH_HOME names another one.") from None
    _holds[home] = descriptor
    os.environ[_HELD] = str(home)


def set_up_django() -> None:
    """Load Django on the prepared servers and bring the database up to date."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def report(case: str, rounds: Sequence[Mapping[str, float]]) -> None:
    """Print one JSON line per round of a case, and one with the medians."""
    for number, figures in enumerate(rounds, 1):
        _print(case, {"round": number}, figures)
    _print(case, {"rounds": len(rounds)}, medians(rounds))


def _print(case: str, head: Mapping[str, int], figures: Mapping[str, float]) -> None:
    rounded = {name: _rounded(value) for name, value in figures.items()}
    sys.stdout.write(json.dumps({"case": case, **head, "figures": rounded}) + "\n")
    sys.stdout.flush()


def _rounded(value: float) -> float:
    """Return a figure with four significant digits, whole from a thousand on."""
    return round(value) if abs(value) >= 1000 else float(f"{value:.4g}")  # noqa: PLR2004 - as said


def medians(rounds: Sequence[Mapping[str, float]]) -> Figures:
    """Return the median of each figure."""
    return {name: median(figures[name] for figures in rounds) for name in rounds[0]}


def _stat(pid: int) -> tuple[int, float, float] | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    own, reaped = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return int(fields[1]), own / _TICKS, reaped / _TICKS


def tree(root: int) -> list[int]:
    """Return a process and all below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None:
            parents[int(entry.name)] = stat[0]
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_seconds(root: int) -> float:
    """Return the CPU seconds of a process tree so far, ended children included."""
    stats = [stat for pid in tree(root) if (stat := _stat(pid)) is not None]
    return sum(own + reaped for _, own, reaped in stats)


def peak_mebibytes(root: int) -> float:
    """Return the peak resident memory of the largest process of a tree."""
    return _largest(tree(root), "VmHWM:")


def resident_mebibytes(root: int) -> float:
    """Return the resident memory of the largest process below one, now."""
    return _largest(tree(root)[1:], "VmRSS:")


def _largest(pids: Sequence[int], name: str) -> float:
    sizes = [0.0]
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        sizes += [int(line.split()[1]) / 1024 for line in lines if line.startswith(name)]
    return max(sizes)


def postmaster_pid() -> int:
    """Return the main process of the database server, asked through one of its backends."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        row = cursor.fetchone()
    stat = _stat(int(row[0])) if row else None
    if stat is None:
        raise RuntimeError("The database server does not run on this machine.")
    return stat[0]
