"""Command line of the launcher: `python -m mailservice.launcher run|stop|exec|clean|keep`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from mailservice.launcher import environment
from mailservice.launcher.client import stop_servers
from mailservice.launcher.errors import LauncherError
from mailservice.launcher.files import DEVELOPMENT_HOME, SERVER_NAMES, TEST_HOME, Home
from mailservice.launcher.keeper import keep
from mailservice.launcher.output import say
from mailservice.launcher.run import run, stop_run
from mailservice.launcher.unprivileged import remove_home


def main() -> int:
    """Carry out the command line and return the exit code."""
    arguments = _parser().parse_args()
    try:
        return int(arguments.action(arguments))
    except LauncherError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mailservice.launcher", description=__doc__)
    actions = parser.add_subparsers(required=True)

    action = actions.add_parser("run", help="run the whole service in the foreground")
    action.set_defaults(action=lambda _: run())

    action = actions.add_parser("stop", help="stop the service and all local servers")
    action.set_defaults(action=_stop)

    action = actions.add_parser("exec", help="run a command with the servers of a home")
    _add_home(action, default=DEVELOPMENT_HOME)
    action.add_argument("command", nargs=argparse.REMAINDER)
    action.set_defaults(action=_exec)

    action = actions.add_parser("clean", help="stop and delete the servers of homes with data")
    action.add_argument("homes", nargs="+", type=Path)
    action.set_defaults(action=_clean)

    action = actions.add_parser("keep", help="own one server (started by its first user)")
    action.add_argument("server", choices=SERVER_NAMES)
    _add_home(action, default=None)
    action.add_argument("--keeper-lock", type=int, required=True)
    action.set_defaults(action=_keep)
    return parser


def _add_home(parser: argparse.ArgumentParser, *, default: Path | None) -> None:
    parser.add_argument("--home", type=Path, default=default, required=default is None)
    parser.add_argument("--fast", action="store_true", help="data may be lost in a power cut")


def _stop(_: argparse.Namespace) -> int:
    stopped = ["the service"] if stop_run() else []
    for home in (DEVELOPMENT_HOME, TEST_HOME):
        stopped += [f"{server} of {home.name}" for server in stop_servers(Home(home))]
    say(f"Stopped {', '.join(stopped)}." if stopped else "Nothing runs.")
    return 0


def _exec(arguments: argparse.Namespace) -> int:
    os.environ.update(environment.local_environment(arguments.home, durable=not arguments.fast))
    try:
        return subprocess.run(arguments.command, check=False).returncode  # noqa: S603 - theirs
    finally:
        environment.release_all()


def _clean(arguments: argparse.Namespace) -> int:
    for path in arguments.homes:
        stop_servers(Home(path.resolve()))
        remove_home(path.resolve(), SERVER_NAMES)
    return 0


def _keep(arguments: argparse.Namespace) -> int:
    home = Home(arguments.home, durable=not arguments.fast)
    return keep(arguments.server, home, keeper_lock=arguments.keeper_lock)


if __name__ == "__main__":
    sys.exit(main())
