"""All benchmarks, one after another: `make bench`, or `python -m bench.run [--quick] [--only …]`.

Each part is a process of its own that prints JSON lines. They are gathered, with facts of the
machine, in var/bench/results.json (every round, and medians) and var/bench/results.md (the medians
as tables). A full run takes about twenty minutes, `--quick` about three. A part that fails is named
in both files and in the exit code; the others run on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path
from typing import Any

from bench import measure

RESULTS = measure.ROOT / "var" / "bench"

#: Part -> the command lines after `python -m`, for a full and for a quick run.
FULL = {
    "raw": ["bench.raw"],
    "drain": [
        "bench.drain --count 1000 5000 20000",
        "bench.drain --count 5000 20000 --processes 1",
        "bench.drain --count 100000 --rounds 1",
        "bench.drain --count --growth --rounds 2",
        "bench.drain --count --routing --rounds 5",
        "bench.drain --count --suppressions --listening --tracked --rounds 5",
        "bench.drain --count 10000 --slow",
        "bench.drain --count 5000 --slow --processes 1",
    ],
    "accept": ["bench.accept"],
    "peers": ["bench.peers"],
    "latency": ["bench.latency"],
    "profile": ["bench.profile"],
}
QUICK = {
    "raw": ["bench.raw --rounds 1 --mails 2000 --rows 20000"],
    "drain": ["bench.drain --count 10000 --rounds 1", "bench.drain --count 5000 --rounds 1 --slow"],
    "accept": ["bench.accept --rounds 1 --connections 1 16 --seconds 2"],
    "peers": ["bench.peers --rounds 1 --count 2000 --only post_office celery-hundred"],
    "latency": ["bench.latency --bulk 60000 --seconds 8"],
    "profile": ["bench.profile --count 5000"],
}


def main() -> int:
    """Run the parts and write the results."""
    arguments = _arguments()
    plan = QUICK if arguments.quick else FULL
    only = set(arguments.only.split(",")) if arguments.only else set(plan)
    if unknown := only - set(plan):
        raise SystemExit(f"No such part: {', '.join(sorted(unknown))}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    # This process's hold on the servers keeps them up from one part to the next.
    measure.prepare()
    results: dict[str, Any] = {"machine": _machine(), "parts": {}}
    failed = []
    for part in plan:
        for command in plan[part] if part in only else []:
            started = time.monotonic()
            lines, is_done = _run(command)
            results["parts"].setdefault(part, []).append(
                {
                    "command": f"python -m {command}",
                    "seconds": round(time.monotonic() - started),
                    "is_done": is_done,
                    "lines": lines,
                }
            )
            failed += [] if is_done else [command]
            _write(results)
    sys.stdout.write((RESULTS / "results.md").read_text(encoding="utf-8"))
    return len(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="about three minutes")
    parser.add_argument("--only", default="", metavar="PART,PART", help=", ".join(FULL))
    return parser.parse_args()


def _run(command: str) -> tuple[list[dict[str, Any]], bool]:
    sys.stderr.write(f"# {command}\n")
    # The parts find the servers by the variables that this process has set.
    process = subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        cwd=measure.ROOT,
        env=_environment(command),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            if line.startswith("{"):
                lines.append(json.loads(line))
                sys.stderr.write(f"  {line}")
        return lines, process.wait() == 0
    finally:
        process.terminate()
        process.wait()


def _environment(command: str) -> dict[str, str]:
    """Return the variables for a part; the profile makes servers of its own."""
    is_alone = command.startswith("bench.profile") and "DATABASE_URL" not in _GIVEN
    left_out = {"DATABASE_URL", "REDIS_URL"} - _GIVEN if is_alone else set()
    return {name: value for name, value in os.environ.items() if name not in left_out}


#: What the caller named before this run added its own.
_GIVEN = frozenset(os.environ)


def _machine() -> dict[str, str | int]:
    import psycopg

    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    processors = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in processors if "model name" in line]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _commit(),
        "cores": os.cpu_count() or 0,
        "processor": models[0] if models else platform.machine(),
        "memory_gibibytes": round(memory),
        "kernel": platform.release(),
        "postgresql": row[0] if row else "",
        "python": platform.python_version(),
        "load_before": f"{os.getloadavg()[0]:.1f}",
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=measure.ROOT, check=False, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def _write(results: dict[str, Any]) -> None:
    text = json.dumps(results, indent=1, ensure_ascii=False)
    (RESULTS / "results.json").write_text(text + "\n", encoding="utf-8")
    (RESULTS / "results.md").write_text(_markdown(results), encoding="utf-8")


def _markdown(results: dict[str, Any]) -> str:
    machine = results["machine"]
    lines = ["# Results", "", ", ".join(f"{key} {value}" for key, value in machine.items()), ""]
    for part, runs in results["parts"].items():
        lines += [f"## {part}", ""]
        for run in runs:
            lines += [f"`{run['command']}`{'' if run['is_done'] else ' FAILED'}", ""]
            lines += _tables([line for line in run["lines"] if "rounds" in line])
    return "\n".join(lines)


def _tables(cases: list[dict[str, Any]]) -> list[str]:
    """Return a table for each run of cases that have the same figures."""
    lines: list[str] = []
    for names, group in groupby(cases, key=lambda case: tuple(case["figures"])):
        members = list(group)
        if len(members) == 1:
            lines += _tall(members[0])
            continue
        lines += [f"| median of rounds | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
        for case in members:
            figures = " | ".join(_figure(case["figures"][name]) for name in names)
            lines.append(f"| {_title(case)} | {figures} |")
        lines.append("")
    return lines


def _tall(case: dict[str, Any]) -> list[str]:
    rows = [f"| {name} | {_figure(value)} |" for name, value in case["figures"].items()]
    return [f"| {_title(case)} | |", "|---|---:|", *rows, ""]


def _title(case: dict[str, Any]) -> str:
    return f"{case['case']} ({case['rounds']})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - as report()


if __name__ == "__main__":
    sys.exit(main())
