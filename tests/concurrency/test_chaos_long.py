"""The kill tests at full length (`make test-long`): each breaks one kind of thing many times."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from mailservice.launcher.files import SERVER_NAMES
from mailservice.launcher.unprivileged import remove_home
from tests.support.chaos import Cluster, House, cluster, wait_for
from tests.support.chaos_run import run

pytestmark = pytest.mark.long

MOUNT, UMOUNT = shutil.which("mount") or "mount", shutil.which("umount") or "umount"
#: Length of a storm in seconds; CHAOS_SCALE multiplies it.
SCALE = float(os.environ.get("CHAOS_SCALE", "1"))
#: A server that takes its time, so that connections are busy when their process dies.
SLOW = ("--final-delay-ms", "20")
#: Claimed by one process at most: a chunk and the half that triggers the next claim, and the aged.
CLAIMED = 20 + 10 + 8


def test_killed_worker_children_leave_in_doubt_only_what_was_on_their_connections(
    servers: Cluster, tmp_path: Path
) -> None:
    with run(
        servers, tmp_path / "house", workers=2, sink=SLOW, WORKER_CONCURRENCY=4, pace=250
    ) as chaos:

        def strike() -> None:
            chaos.pause(0, 0.25)
            if chaos.rng.random() < 0.5:
                chaos.kill_draining()
            else:
                chaos.kill_children(chaos.rng.choice(chaos.house.workers))

        chaos.storm(strike, seconds=120 * SCALE)
        chaos.check("worker children")


def test_killed_groups_lose_nothing(servers: Cluster, tmp_path: Path) -> None:
    with run(servers, tmp_path / "house", workers=2, sink=SLOW) as chaos:
        place = chaos.house
        groups = [place.web, *place.workers, place.beat]

        def strike() -> None:
            chaos.pause(0, 1)
            chaos.kill_program(chaos.rng.choice(groups))
            chaos.pause(0, 0.5)
            chaos.kill_child(place.web)

        chaos.storm(strike, seconds=45 * SCALE)
        chaos.check("groups")


def test_a_crashing_database_loses_and_repeats_nothing(servers: Cluster, tmp_path: Path) -> None:
    with run(servers, tmp_path / "house", workers=2, sink=SLOW) as chaos:

        def strike() -> None:
            chaos.pause(0, 2)
            if chaos.rng.random() < 0.5:
                chaos.crash_database()
                return
            try:
                found = chaos.house.query(
                    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
                    " AND application_name <> ''"
                )
            except psycopg.OperationalError:
                return
            if found:
                chaos.kill_pid(chaos.rng.choice(found)[0], "database backend")

        chaos.storm(strike, seconds=35 * SCALE)
        # What was claimed when the answer to the claim was lost is in nobody's hands.
        crashes = chaos.kills.total()
        chaos.check("database", doubt_limit=crashes * CLAIMED, repeat_limit=0)


def test_idle_workers_find_a_database_that_was_restarted(servers: Cluster, tmp_path: Path) -> None:
    with run(servers, tmp_path / "house") as chaos:
        chaos.settle()
        chaos.crash_database()
        chaos.house.start()
        count = len(chaos.house.arrived.read())
        others = chaos.next_customers()
        others.start()
        wait_for(lambda: len(chaos.house.arrived.read()) > count, seconds=15, what="mail flows")
        others.finish()


def test_a_broker_that_crashes_and_forgets_costs_time_only(
    servers: Cluster, tmp_path: Path
) -> None:
    with run(servers, tmp_path / "house", workers=2, sink=SLOW) as chaos:

        def strike() -> None:
            chaos.pause(0, 2)
            chaos.crash_broker()
            chaos.pause(0, 0.5)

        chaos.storm(strike, seconds=30 * SCALE)
        chaos.check("broker", doubt_limit=0)


def test_sigterm_leaves_nothing_in_doubt(servers: Cluster, tmp_path: Path) -> None:
    with run(servers, tmp_path / "house", workers=2, sink=SLOW) as chaos:
        place = chaos.house
        groups = [place.web, *place.workers, place.beat]

        def strike() -> None:
            chaos.pause(0, 1)
            # A process that has only begun to start ends by the signal itself.
            assert chaos.rng.choice(groups).terminate() in {0, -signal.SIGTERM}
            chaos.kills["SIGTERM"] += 1

        chaos.storm(strike, seconds=20 * SCALE)
        chaos.check("SIGTERM", doubt_limit=0)


def test_workers_stopped_past_their_lease_repeat_at_most_what_they_held(
    servers: Cluster, tmp_path: Path
) -> None:
    with run(servers, tmp_path / "house", workers=2, sink=SLOW) as chaos:
        frozen = 0

        def strike() -> None:
            nonlocal frozen
            chaos.pause(0.5, 1.5)
            worker = chaos.rng.choice(chaos.house.workers)
            worker.send(signal.SIGSTOP)
            frozen += len(worker.pids()) - 1
            time.sleep(8)
            worker.send(signal.SIGCONT)
            chaos.kills["SIGSTOP"] += 1

        chaos.storm(strike, times=max(1, round(4 * SCALE)))
        # Its journal is closed to others while it lives: all it had claimed is sent again.
        chaos.check("SIGSTOP", doubt_limit=frozen * CLAIMED)


def test_clocks_that_jump_by_an_hour_lose_and_repeat_nothing(
    servers: Cluster, tmp_path: Path
) -> None:
    faults = ["--fault", "end:15:451 4.3.0 Later"]
    with run(
        servers, tmp_path / "house", workers=2, sink=[*SLOW, *faults], has_clocks=True
    ) as chaos:
        place = chaos.house
        programs = [place.web, *place.workers, place.beat]

        def strike() -> None:
            place.set_clock(chaos.rng.choice(programs), chaos.rng.choice([-3600, 0, 3600]))
            chaos.kills["clock step"] += 1
            chaos.pause(0.5, 3)

        chaos.storm(strike, seconds=25 * SCALE)
        for program in programs:
            place.set_clock(program, 0)
        # A beat trusts what it wrote down when its clock was an hour ahead.
        chaos.kill_program(place.beat)
        place.query("UPDATE django_celery_beat_periodictask SET last_run_at = NULL")
        chaos.check("clock", doubt_limit=0, is_clock_true=False)


@pytest.mark.parametrize(
    ("who", "seconds"),
    [
        ("worker", 3600),
        ("worker", -3600),
        ("beat", -3600),
        ("web", 3600),
    ],
)
def test_one_wrong_clock_does_not_stop_mail(
    servers: Cluster, tmp_path: Path, who: str, seconds: int
) -> None:
    faults = ["--fault", "end:15:451 4.3.0 Later"]
    with run(servers, tmp_path / "house", sink=faults, has_clocks=True) as chaos:
        place = chaos.house
        place.set_clock({"worker": place.workers[0]}.get(who) or getattr(place, who), seconds)
        time.sleep(2)
        chaos.settle(seconds=15)


#: What the sink does, and whether that leaves one mail in so many in doubt.
BAD_SERVERS = {
    "one message per connection": (["--max-per-connection", "1"], 0),
    "recipients put off": (["--fault", "rcpt:5:450 4.2.0 Later"], 0),
    "recipients refused": (["--fault", "rcpt:9:550 5.1.1 Nobody"], 0),
    "data put off": (["--fault", "end:5:451 4.3.0 Later"], 0),
    "data refused": (["--fault", "end:9:554 5.6.0 No"], 0),
    "421 before the data": (["--fault", "mail:15:421 4.3.2 Closing"], 0),
    "421 after the data": (["--fault", "end:15:421 4.3.2 Closing"], 0),
    "gone before the data": (["--fault", "data:15:drop"], 0),
    "gone within the data": (["--fault", "body:25:drop"], 25),
    "gone after the final dot": (["--fault", "taken:25:drop"], 25),
    "silent after the final dot": (["--fault", "taken:40:hang"], 40),
    "silent before the data": (["--fault", "mail:60:hang"], 0),
    "no greeting": (["--fault", "greet:2:421 4.3.2 Not now"], 0),
}


def test_bad_servers_of_every_kind_lose_nothing(servers: Cluster, tmp_path: Path) -> None:
    with run(servers, tmp_path / "house", workers=1, sink=SLOW, WORKER_CONCURRENCY=3) as chaos:
        place = chaos.house
        place.query(
            'UPDATE providers_provider SET settings = settings || \'{"timeout_seconds": 1,'
            ' "final_timeout_seconds": 1}\''
        )
        in_doubt = 0
        for options, every in BAD_SERVERS.values():
            before = _attempts(place)
            place.use_sink(*options)
            time.sleep(4 * SCALE)
            place.use_sink(*SLOW)
            if every:
                wait_for_results(place)
                in_doubt += (_attempts(place) - before) // every + 1
            chaos.kill_program(
                place.workers[0]
            )  # it forgets that it was to leave the account alone
            place.start()
        chaos.check("bad servers", doubt_limit=in_doubt + chaos.at_risk)


def wait_for_results(place: House) -> None:
    statement = "SELECT count(*) FROM delivery_message WHERE status = 'sending'"
    wait_for(lambda: place.query(statement)[0][0] < 200, seconds=10, what="results")


def _attempts(place: House) -> int:
    return int(place.query("SELECT count(*) FROM delivery_attempt")[0][0])


def test_a_server_that_comes_and_goes_loses_nothing(servers: Cluster, tmp_path: Path) -> None:
    with run(servers, tmp_path / "house", workers=1, sink=SLOW) as chaos:
        place = chaos.house

        def strike() -> None:
            chaos.pause(0.5, 2)
            place.sink.terminate()
            chaos.pause(0, 1)

        chaos.storm(strike, times=max(2, round(5 * SCALE)))
        # It may have taken, without a word, what was on the wire when it went.
        threads = 4 * 2
        chaos.check("connection refused", doubt_limit=threads * max(2, round(5 * SCALE)))


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of its own; skips the test where none can be made."""
    path = Path(tempfile.mkdtemp(prefix="mailservice-disk-"))
    options = f"size={megabytes}m,mode=0711"
    mounted = subprocess.run(
        [MOUNT, "-t", "tmpfs", "-o", options, "mailservice-disk", path],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        path.rmdir()
        pytest.skip(f"This machine mounts no small disk: {mounted.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run([UMOUNT, "--lazy", path], check=True)
        remove_home(path, SERVER_NAMES)


def fill(path: Path) -> Path:
    """Write until nothing fits any more; return the file."""
    ballast = path / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast


def test_a_full_disk_stops_acceptance_and_loses_nothing(tmp_path: Path) -> None:
    with (
        small_disk(220) as disk,
        cluster(path=disk) as servers,
        run(servers, tmp_path / "house", workers=1, sink=SLOW) as chaos,
    ):

        def strike() -> None:
            chaos.pause(1, 3)
            ballast = fill(disk)
            chaos.pause(1, 4)
            ballast.unlink()
            chaos.kills["full disk"] += 1

        chaos.storm(strike, times=max(2, round(6 * SCALE)))
        chaos.check("full disk", doubt_limit=0)
