"""What benchmarks share: CPU and memory of processes from /proc, and the bench's own servers."""

from __future__ import annotations

import os
from pathlib import Path

from mailservice.launcher import local_environment

ROOT = Path(__file__).resolve().parents[1]
#: Benches that run side by side name homes of their own.
HOME = Path(os.environ.get("BENCH_HOME") or ROOT / "var" / "bench")
_TICKS = os.sysconf("SC_CLK_TCK")


def prepare() -> None:
    """Point this process at the bench's own, durable servers, unless others are named."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailservice.settings.base")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    for name, value in local_environment(HOME, durable=True).items():
        os.environ.setdefault(name, value)


def set_up_django() -> None:
    """Load Django on the prepared servers and bring the database up to date."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


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


def peak_mebibytes(root: int) -> dict[int, float]:
    """Return the peak resident memory of each process of a tree."""
    peaks = {}
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in lines:
            if line.startswith("VmHWM:"):
                peaks[pid] = int(line.split()[1]) / 1024
    return peaks


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
