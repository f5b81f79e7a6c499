from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from mailservice.core.secrets import decrypt
from providers.models import Provider
from providers.services import create_provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Provider:
    return create_provider(
        owner_id=None,
        name="relay",
        kind="smtp",
        settings={"host": "127.0.0.1", "port": 2525, "username": "u"},
        secrets={"password": "hunter2"},
    )


def stored_token(account: Provider) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM providers_provider WHERE id = %s", [account.pk])
        return str(cursor.fetchone()[0])


def test_after_a_rotation_the_old_key_can_go(
    account: Provider, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored_token(account)
    assert "hunter2" not in before
    new = Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, *settings.ENCRYPTION_KEYS]
    call_command("rotate_encryption_keys", "--json")
    assert json.loads(capsys.readouterr().out) == {"accounts": 1}
    settings.ENCRYPTION_KEYS = [new]
    assert stored_token(account) != before
    assert decrypt(stored_token(account)) == {"password": "hunter2"}
    account.refresh_from_db()
    assert account.secrets == {"password": "hunter2"}


def test_a_missing_key_stops_the_rotation_and_changes_nothing(
    account: Provider, settings: Any
) -> None:
    before = stored_token(account)
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(CommandError, match="No configured encryption key"):
        call_command("rotate_encryption_keys")
    assert stored_token(account) == before
