"""`manage.py validate_addresses`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.support.dns import NameServer
from tests.support.validation import local_dns

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def dns(settings: Any) -> Iterator[NameServer]:
    with local_dns(settings) as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "list.csv"
    path.write_text("name,email\nAnn,ann@acme.io\nBob,bob@nowhere.io\n", encoding="utf-8")
    return path


def run(*arguments: object) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("validate_addresses", *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_a_file_is_answered_with_a_table(file: Path, tmp_path: Path) -> None:
    run(file, "--output", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as written:
        rows = list(csv.DictReader(written))
    assert [(row["email"], row["verdict"]) for row in rows] == [
        ("ann@acme.io", "valid"),
        ("bob@nowhere.io", "invalid"),
    ]


def test_or_with_json_lines_and_a_sum(file: Path) -> None:
    out, err = run(file, "--json")
    assert [json.loads(line)["verdict"] for line in out.splitlines()] == ["valid", "invalid"]
    assert err.strip() == "2 addresses: 1 valid, 0 risky, 1 invalid, 0 unknown."


def test_strict_fails_if_one_is_invalid(file: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        run(file, "--strict")
    assert caught.value.code == 3


def test_a_dry_run_asks_nobody(file: Path, dns: NameServer) -> None:
    assert run(file, "--dry-run")[1].startswith("2 addresses; none was looked at.")
    assert dns.asked == []


def test_faults_are_told(file: Path, tmp_path: Path) -> None:
    for arguments, words in (
        ([tmp_path / "none.csv"], "No such file"),
        ([file, "--column", "work"], 'no column "work"'),
        ([file, "--probe"], "VALIDATION_PROBE is off"),
    ):
        with pytest.raises(CommandError, match=words):
            run(*arguments)
