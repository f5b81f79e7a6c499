"""Runs a management command; on a bare machine it uses, and if needed starts, the local servers."""

from __future__ import annotations

import sys

from django.core.management import execute_from_command_line

from mailservice.launcher import LauncherError, prepare_command


def main() -> int:
    """Run the command named on the command line."""
    try:
        prepare_command()
    except LauncherError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    execute_from_command_line(sys.argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
