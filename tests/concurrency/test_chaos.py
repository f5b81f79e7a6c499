"""Every part of the installation is killed, and nothing is lost: the share of `make test`."""

from __future__ import annotations

from pathlib import Path

from tests.support.chaos import Cluster
from tests.support.chaos_run import run


def test_whatever_is_killed_nothing_is_lost(servers: Cluster, tmp_path: Path) -> None:
    with run(servers, tmp_path / "house", sink=["--final-delay-ms", "20"]) as chaos:
        place = chaos.house
        blows = [
            *[chaos.kill_draining] * 12,
            chaos.crash_database,
            chaos.crash_broker,
            lambda: chaos.kill_child(place.web),
            lambda: chaos.kill_program(place.workers[0]),
        ]
        chaos.rng.shuffle(blows)

        def strike() -> None:
            chaos.pause(0, 0.3)
            blows.pop()()

        chaos.storm(strike, times=len(blows))
        chaos.check("short")
