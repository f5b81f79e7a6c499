"""Lets a test set the wall clock of a process: put this folder on its PYTHONPATH.

The file named by CLOCK_OFFSET_FILE holds seconds to add to the time of day. As when somebody sets a
host's clock, the monotonic clock and the time in the database stay as they are.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import time_machine

_FILE = Path(os.environ["CLOCK_OFFSET_FILE"])
_LOOK_SECONDS = 0.05
_sleep, _now = time.sleep, time.time

_travel = time_machine.travel(_now(), tick=True)
_clock = _travel.start()
#: What the clock shows beyond the time; a list, so that a fork goes on from it.
_shown = [0.0]


def _follow() -> None:
    while True:
        try:
            wanted = float(_FILE.read_text("ascii"))
        except (OSError, ValueError):  # not there yet, or half written
            wanted = _shown[0]
        if wanted != _shown[0]:
            _clock.shift(wanted - _shown[0])
            _shown[0] = wanted
        _sleep(_LOOK_SECONDS)


def _start() -> None:
    threading.Thread(target=_follow, name="clock", daemon=True).start()


os.register_at_fork(after_in_child=_start)
_start()
