"""Real processes on PostgreSQL, Valkey and a counting sink in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.sink import statistics
from tests.support.chaos import Cluster, cluster
from tests.support.workers import ROOT, wait_until


@dataclass
class SinkProcess:
    port: int
    log: Path

    def message_ids(self) -> Counter[str]:
        """How often each Message-ID arrived."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return Counter(line.split("\t")[0] for line in lines)

    def settle(self) -> Counter[str]:
        """The same, after the sink has taken what was on its way and written what it holds."""
        time.sleep(0.3)
        received, _ = statistics(self.port)
        wait_until(lambda: self.message_ids().total() >= received)
        return self.message_ids()


@pytest.fixture
def sink(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SinkProcess]:
    options = getattr(request, "param", [])
    log = tmp_path / "sink.tsv"
    command = [sys.executable, "bench/sink.py", "--port", "0", "--log", str(log), *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        yield SinkProcess(port, log)
        process.terminate()


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with cluster() as made:
        yield made
