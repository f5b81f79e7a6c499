"""The variables a process needs to use the local servers.

What the environment or `.env` names always wins; an empty value counts as not named.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from mailservice.launcher import locks, postgres, valkey
from mailservice.launcher.client import Lease, lease
from mailservice.launcher.errors import LauncherError
from mailservice.launcher.files import (
    DEVELOPMENT_HOME,
    PROJECT_DIR,
    Home,
    read_text,
    write_private,
)

DEFAULT_PORT = "8000"

_SERVER_OF = {"DATABASE_URL": "postgres", "REDIS_URL": "valkey"}
#: Kept for the life of the process: (home, server) -> lease.
_LEASES: dict[tuple[Path, str], Lease] = {}


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the variables a `.env` file names, well enough to know which ones it names."""
    variables = {}
    for line in (read_text(path) or "").splitlines():
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        if separator and not name.startswith("#"):
            variables[name.strip()] = value.strip().strip("\"'")
    return variables


def given() -> dict[str, str]:
    """Return what the environment and `.env` (or the file named by ENV_FILE) say."""
    dotenv = Path(os.environ.get("ENV_FILE") or PROJECT_DIR / ".env")
    named = (read_dotenv(dotenv) if dotenv.is_file() else {}) | {
        name: value for name, value in os.environ.items() if value
    }
    return {name: value for name, value in named.items() if value}


def local_environment(
    home: Path | str = DEVELOPMENT_HOME, *, durable: bool = True
) -> dict[str, str]:
    """Start what is missing and return the variables to add to `os.environ`.

    A server named by DATABASE_URL or REDIS_URL in the environment or `.env` is not started, and no
    variable named there is returned. The servers run at least as long as this process. `durable`
    counts when a server is started: False is faster and may lose data in a power cut.

    Raises `LauncherError` if a server cannot be started.
    """
    place = Home(Path(home).resolve(), durable=durable)
    known = given()
    variables = {
        name: _url(place, server) for name, server in _SERVER_OF.items() if name not in known
    }
    port = known.get("PORT") or read_text(place.path / "web.port") or DEFAULT_PORT
    variables |= local_secrets(place)
    variables |= {
        "HTTPS": "0",
        "STATIC_FROM_SOURCE": "1",
        "PUBLIC_URL": f"http://localhost:{port}",
        "WIRE_JOURNAL_DIR": str(place.path / "wire"),
    }
    return {name: value for name, value in variables.items() if name not in known}


def _url(home: Home, server: str) -> str:
    key = (home.path, server)
    if key not in _LEASES:
        _LEASES[key] = lease(home, server)
    return _LEASES[key].url


def leases(home: Path) -> list[Lease]:
    """Return what this process holds of `home`."""
    return [held for (path, _), held in _LEASES.items() if path == home.resolve()]


def release_all() -> None:
    """Stop using every local server; returns when those that nobody else uses are down."""
    while _LEASES:
        _LEASES.popitem()[1].release()


def local_secrets(home: Home) -> dict[str, str]:
    """Return SECRET_KEY and ENCRYPTION_KEYS of `home`, made on first use."""
    try:
        home.path.mkdir(parents=True, exist_ok=True)
        with locks.exclusively(home.path / "local.env.lock"):
            known = read_dotenv(home.path / "local.env")
            if not {"SECRET_KEY", "ENCRYPTION_KEYS"} <= known.keys():
                known = {
                    "SECRET_KEY": secrets.token_urlsafe(48),
                    "ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                } | known
                lines = "".join(f"{name}={value}\n" for name, value in known.items())
                write_private(home.path / "local.env", lines)
    except OSError as error:
        raise LauncherError(f"Cannot write to {home.path}: {error.strerror}.") from error
    return known


def prepare_command() -> None:
    """Complete `os.environ` for a management command.

    With both servers named, only missing secrets are taken from the development home, if it has
    them. With the wheels absent (production) nothing happens: settings name what is missing.
    """
    known = given()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailservice.settings.base")
    if _SERVER_OF.keys() <= known.keys():
        add = read_dotenv(DEVELOPMENT_HOME / "local.env")
    elif postgres.is_installed() and valkey.is_installed():
        add = local_environment()
    else:
        add = {}
    os.environ.update({name: value for name, value in add.items() if name not in known})
