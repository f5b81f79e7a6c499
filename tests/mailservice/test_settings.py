from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.workers import ROOT

VALID = {
    "DATABASE_URL": "postgres://u:p@127.0.0.1:1/x",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "SECRET_KEY": "s" * 50,
    "ENCRYPTION_KEYS": "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=",
}


def start(**variables: str) -> subprocess.CompletedProcess[str]:
    """Load the settings in a process that has these variables and no others of ours."""
    system = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", "import mailservice.settings.base"],
        cwd=ROOT,
        env={**system, "ENV_FILE": os.devnull, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_required_variables_are_enough() -> None:
    assert start(**VALID).returncode == 0


@pytest.mark.parametrize("name", sorted(VALID))
def test_a_missing_variable_stops_the_start_with_its_name(name: str) -> None:
    result = start(**{key: value for key, value in VALID.items() if key != name})
    assert result.returncode != 0
    assert name in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("ENCRYPTION_KEYS", "abc"),
        ("DATABASE_URL", "mysql://u:p@127.0.0.1/x"),
        ("REDIS_URL", "localhost"),
        ("MAX_BATCH", "many"),
        ("DRAIN_CHUNK", "0"),
        ("HTTPS", "maybe"),
        ("TIME_ZONE", "Mars/Olympus"),
        ("PUBLIC_URL", "mail.example.com"),
        ("LOG_LEVEL", "LOUD"),
        ("BOUNCE_RATE_ALERT", "10,5"),
        ("COMPLAINT_RATE_ALERT", "0.1"),
    ],
)
def test_a_wrong_value_stops_the_start_with_its_name(name: str, value: str) -> None:
    result = start(**{**VALID, name: value})
    assert result.returncode != 0
    assert result.stderr.splitlines()[-1].startswith(
        f"django.core.exceptions.ImproperlyConfigured: {name}: "
    )
