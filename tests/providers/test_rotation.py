"""Keys can be changed while everything runs, whoever edits, whenever it is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from alerts.models import Channel
from mailservice.core.rotation import Place, Rotation, rotate
from mailservice.core.secrets import decrypt, is_newest
from providers.models import Provider
from providers.services import create_provider, update_provider
from tests.support.workers import ROOT, environment, wait_until

pytestmark = pytest.mark.django_db

NEW = Fernet.generate_key().decode()
COMMAND = "rotate_encryption_keys"


def an_account(name: str = "relay", word: str = "hunter2") -> Provider:
    return create_provider(
        owner_id=None,
        name=name,
        kind="smtp",
        settings={"host": "127.0.0.1", "port": 2525, "username": "u"},
        secrets={"password": word},
    )


@pytest.fixture
def account() -> Provider:
    return an_account()


@pytest.fixture
def new_key(account: Provider, settings: Any) -> str:
    """Put a new key in front of that under which the account is."""
    settings.ENCRYPTION_KEYS = [NEW, *settings.ENCRYPTION_KEYS]
    return NEW


def stored_token(account: Provider) -> str:
    return stored_tokens()[str(account.pk)]


def stored_tokens() -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id::text, secrets FROM providers_provider")
        return dict(cursor.fetchall())


def test_after_a_rotation_the_old_key_can_go(
    account: Provider, new_key: str, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored_token(account)
    assert "hunter2" not in before
    call_command(COMMAND, "--json")
    assert json.loads(capsys.readouterr().out) == {
        "dry_run": False,
        "rotated": 1,
        "current": 0,
        "unreadable": [],
    }
    settings.ENCRYPTION_KEYS = [new_key]
    assert stored_token(account) != before
    assert decrypt(stored_token(account)) == {"password": "hunter2"}
    account.refresh_from_db()
    assert account.secrets == {"password": "hunter2"}


def test_every_encrypted_column_is_rotated(new_key: str, settings: Any) -> None:
    channel = Channel.objects.create(name="chat", kind="webhook", secrets={"url": "https://x/"})
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.ENCRYPTION_KEYS]
    assert rotate() == Rotation(rotated=2)
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    channel.refresh_from_db()
    assert channel.secrets == {"url": "https://x/"}


def test_what_is_under_the_newest_key_is_left_alone(account: Provider, new_key: str) -> None:
    rotate()
    after = stored_token(account)
    assert rotate() == Rotation(current=1)
    assert stored_token(account) == after


def test_an_account_without_credentials_has_nothing_to_rotate(new_key: str) -> None:
    Provider.objects.update(secrets=None)
    assert rotate() == Rotation()


def test_a_dry_run_changes_nothing_and_says_that_there_is_work(
    account: Provider, new_key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored_token(account)
    with pytest.raises(SystemExit) as left:
        call_command(COMMAND, "--dry-run", "--json")
    assert left.value.code == 3
    assert json.loads(capsys.readouterr().out)["rotated"] == 1
    assert stored_token(account) == before
    call_command(COMMAND)
    call_command(COMMAND, "--dry-run")
    done, checked = capsys.readouterr().out.splitlines()
    assert done.startswith("Credentials of 1 records: 1 were put under the newest key, 0 are")
    assert checked.startswith("Credentials of 1 records: 0 would be put under the newest key, 1")


def test_an_edit_by_a_process_that_was_not_restarted_is_found_by_a_dry_run(
    account: Provider, new_key: str, settings: Any
) -> None:
    rotate()
    both = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = both[::-1]
    update_provider(account.pk, secrets={"password": "another"})
    settings.ENCRYPTION_KEYS = both
    assert rotate(is_dry_run=True) == Rotation(rotated=1)
    rotate()
    settings.ENCRYPTION_KEYS = [new_key]
    account.refresh_from_db()
    assert account.secrets == {"password": "another"}


def test_what_no_key_can_read_is_named_and_stops_nobody_else(
    account: Provider, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before, old = stored_token(account), settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    other = an_account("other", "hunter3")
    settings.ENCRYPTION_KEYS = [NEW, *settings.ENCRYPTION_KEYS]
    place = Place("providers.provider.secrets", str(account.pk))
    with pytest.raises(CommandError, match=f"can read {place.column} of {place.pk}") as caught:
        call_command(COMMAND, "--json")
    assert caught.value.returncode == 1
    assert json.loads(capsys.readouterr().out) == {
        "dry_run": False,
        "rotated": 1,
        "current": 0,
        "unreadable": [{"column": place.column, "pk": place.pk}],
    }
    assert (stored_token(account), is_newest(stored_token(other))) == (before, True)
    settings.ENCRYPTION_KEYS = [NEW, *old]
    assert rotate() == Rotation(rotated=1, current=1)


# --- beside others, and killed --------------------------------------------------------------------


def in_thread(work: Callable[[], Any]) -> Any:
    """Do some work on a connection of its own, as another process would."""
    try:
        return work()
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_no_edit_beside_a_rotation_is_lost(settings: Any) -> None:
    accounts = [an_account(f"relay {number}") for number in range(6)]
    settings.ENCRYPTION_KEYS = [NEW, *settings.ENCRYPTION_KEYS]

    def edit(account: Provider) -> str:
        for turn in range(8):
            update_provider(account.pk, secrets={"password": f"turn {turn}"})
        return f"turn {turn}"

    with ThreadPoolExecutor(4) as pool:
        edits = [pool.submit(in_thread, partial(edit, one)) for one in accounts]
        rotations = [pool.submit(in_thread, rotate) for _ in range(6)]
        last = [one.result() for one in edits]
        assert [one.result().unreadable for one in rotations] == [()] * 6
    rotate()
    settings.ENCRYPTION_KEYS = [NEW]
    found = [Provider.objects.get(pk=one.pk).secrets for one in accounts]
    assert found == [{"password": password} for password in last]


@pytest.mark.django_db(transaction=True)
def test_a_rotation_that_is_killed_is_finished_by_the_next(settings: Any) -> None:
    accounts = [Provider(name=f"relay {n}", secrets={"password": f"p{n}"}) for n in range(1_000)]
    Provider.objects.bulk_create(accounts, batch_size=500)
    both = [NEW, *settings.ENCRYPTION_KEYS]
    settings.ENCRYPTION_KEYS = both
    first = stored_token(min(accounts, key=lambda one: one.pk))
    command = [sys.executable, "manage.py", COMMAND]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(ENCRYPTION_KEYS=",".join(both))
    ) as process:
        wait_until(lambda: first not in stored_tokens().values())
        process.send_signal(signal.SIGKILL)
    half = rotate(is_dry_run=True)
    assert (half.count, half.unreadable) == (1_000, ())
    assert half.rotated > 0
    assert half.current > 0
    assert rotate() == Rotation(rotated=half.rotated, current=half.current)
    settings.ENCRYPTION_KEYS = [NEW]
    found = {one.name: one.secrets for one in Provider.objects.all()}
    assert found == {one.name: one.secrets for one in accounts}
