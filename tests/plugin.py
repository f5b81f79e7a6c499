"""Starts PostgreSQL and Valkey for the tests, before Django's settings are read.

Loaded by `-p tests.plugin`: conftest files come too late for that. A DATABASE_URL or REDIS_URL in
the environment wins; a developer's `.env` has no influence. Runs side by side in one checkout do
not meet: each takes a *slot*, with database names and Valkey databases of its own.
"""

from __future__ import annotations

import os
from shutil import rmtree
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import django
import pytest
from hypothesis import HealthCheck, settings

# Set before anything of ours is imported: the Celery application brings another default.
os.environ["DJANGO_SETTINGS_MODULE"] = "mailservice.settings.test"

from mailservice.launcher import LauncherError, local_environment, locks
from mailservice.launcher.files import TEST_HOME

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXED = {
    "ENV_FILE": os.devnull,
    "SECRET_KEY": "only-for-tests-" + "0" * 40,
    "ENCRYPTION_KEYS": "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=",
    "DEBUG": "0",
    "HTTPS": "0",
    "PUBLIC_URL": "http://localhost:8000",
    "PROCESS_ROLE": "test",
}
SLOTS = 16
DATABASES_PER_SLOT = 32

# `--hypothesis-profile=long` is for the long run; examples of the quick one are bounded.
settings.register_profile(
    "quick", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "long", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("quick")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Start the servers; a wrapper runs before pytest-django reads the settings."""
    os.environ.update(FIXED)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        _start_servers()
    else:
        _use_own_broker_database(worker)
    if early_config.known_args_namespace.help:  # pytest-django then leaves this to the conftests
        django.setup()
    return (yield)


def _start_servers() -> None:
    is_given = bool(os.environ.get("DATABASE_URL")), bool(os.environ.get("REDIS_URL"))
    try:
        os.environ.update(local_environment(TEST_HOME, durable=False))
    except LauncherError as error:
        raise pytest.UsageError(str(error)) from error
    slot = _take_slot()
    if slot and not is_given[0]:
        os.environ["DATABASE_URL"] += f"_{slot}"
    if not is_given[1]:
        _set_broker_database(slot * DATABASES_PER_SLOT)
    # What a killed run left in its workers' hands is no business of this one's database.
    journals = TEST_HOME / f"journals{slot}"
    rmtree(journals, ignore_errors=True)
    os.environ["WIRE_JOURNAL_DIR"] = str(journals)


def _take_slot() -> int:
    """Return the lowest number no other test run of this checkout has, held until we end."""
    for slot in range(SLOTS):
        if locks.try_exclusive(TEST_HOME / f"slot{slot}.lock") is not None:
            return slot
    raise pytest.UsageError(f"{SLOTS} test runs use this checkout already.")


def _use_own_broker_database(worker: str) -> None:
    """Give each xdist worker (gw0, gw1, ...) a Valkey database: flushing one harms no other."""
    first = int(urlsplit(os.environ["REDIS_URL"]).path.strip("/") or 0)
    _set_broker_database(first + int(worker.removeprefix("gw")) + 1)


def _set_broker_database(number: int) -> None:
    scheme, place, _, query, fragment = urlsplit(os.environ["REDIS_URL"])
    os.environ["REDIS_URL"] = urlunsplit((scheme, place, f"/{number}", query, fragment))
