"""Drain the queue once, in this process."""

from __future__ import annotations

import json
import math
from argparse import ArgumentTypeError
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from delivery.queue.drain import drain_lane
from delivery.queue.sweep import sweep
from delivery.states import Lane
from delivery.tasks import worker_name

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """`manage.py drain [--lane L] [--seconds N] [--json]`."""

    help = "Sweep, then send what is due, without a worker; ends when the lane is empty."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("--lane", choices=Lane.labels, default=Lane.BULK.label)
        parser.add_argument("--seconds", type=_seconds, default=3600, help="stop after so long")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Drain and report. The bulk lane's drain serves transactional mail first."""
        sweep()
        lane = next(lane for lane in Lane if lane.label == options["lane"])
        report = drain_lane(lane=lane, worker=worker_name(), seconds=options["seconds"])
        if options["json"]:
            self.stdout.write(json.dumps(asdict(report)))
        else:
            self.stdout.write(f"{report.claimed} claimed, {report.sent} sent.")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not (math.isfinite(seconds) and seconds > 0):
        raise ArgumentTypeError("give a number above 0")
    return seconds
