"""API keys: what is stored, and which open the door."""

from __future__ import annotations

import hashlib
import time
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import ApiKey, User
from accounts.scopes import DEFAULT_SCOPES
from accounts.services import (
    KEY_CACHE_SECONDS,
    authenticate_key,
    create_api_key,
    create_user,
    forget_checked_keys,
    revoke_api_key,
)
from mailservice.core.errors import ConflictError, InvalidInputError


def test_only_the_hash_of_the_secret_is_stored(user):
    new = create_api_key(user=user, name=" web shop ")
    prefix, _, secret = new.secret.rpartition("_")
    stored = ApiKey.objects.get()
    assert prefix == stored.prefix
    assert stored.prefix.startswith("msk_")
    assert bytes(stored.secret_hash) == hashlib.sha256(secret.encode()).digest()
    assert len(secret) == 43
    assert stored.name == "web shop"
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts_apikey::text FROM accounts_apikey")
        assert secret not in cursor.fetchone()[0]
    assert secret not in repr(new)


def test_keys_differ(user):
    assert len({create_api_key(user=user, name="x").secret for _ in range(5)}) == 5


def test_a_key_gets_scopes_for_ones_own_things_unless_told_otherwise(user):
    assert create_api_key(user=user, name="x").api_key.scopes == sorted(DEFAULT_SCOPES)
    assert "emails:all" not in DEFAULT_SCOPES
    assert create_api_key(user=user, name="x", scopes=[]).api_key.scopes == []
    few = create_api_key(user=user, name="x", scopes=["emails:send", "emails:send"])
    assert few.api_key.scopes == ["emails:send"]
    assert few.api_key.has_scope("emails:send")
    assert not few.api_key.has_scope("emails:read")


def test_an_unknown_scope_or_no_name_is_refused(user):
    with pytest.raises(InvalidInputError) as caught:
        create_api_key(user=user, name="x", scopes=["emails:send", "root"])
    assert list(caught.value.details) == ["scopes"]
    with pytest.raises(InvalidInputError) as caught:
        create_api_key(user=user, name=" ")
    assert list(caught.value.details) == ["name"]
    assert not ApiKey.objects.exists()


def test_a_test_key_is_told_by_its_prefix(user):
    new = create_api_key(user=user, name="x", is_test=True)
    assert new.secret.startswith("mst_")
    assert new.api_key.is_test


def test_a_key_opens_the_door_until_it_expires(user):
    now = timezone.now()
    new = create_api_key(user=user, name="x", expires_at=now + timedelta(hours=1))
    assert authenticate_key(new.secret) == new.api_key
    forget_checked_keys()
    with time_machine.travel(now + timedelta(hours=1), tick=False):
        assert authenticate_key(new.secret) is None


def test_a_revoked_key_opens_nothing(user):
    new = create_api_key(user=user, name="x")
    assert revoke_api_key(key_id=new.api_key.pk) is True
    assert revoke_api_key(key_id=new.api_key.pk) is False
    assert authenticate_key(new.secret) is None


def test_a_revocation_is_seen_when_the_memory_of_the_key_ends(user, monkeypatch):
    new = create_api_key(user=user, name="x")
    assert authenticate_key(new.secret) is not None
    revoke_api_key(key_id=new.api_key.pk)
    later = time.monotonic() + KEY_CACHE_SECONDS + 0.1
    monkeypatch.setattr("accounts.services.time.monotonic", lambda: later)
    assert authenticate_key(new.secret) is None


def test_a_key_of_a_user_switched_off_opens_nothing(user):
    new = create_api_key(user=user, name="x")
    User.objects.update(is_active=False)
    assert authenticate_key(new.secret) is None


@pytest.mark.parametrize("change", ["", "x", "_", "\x00", "ü", " "])
def test_a_key_that_is_not_exactly_right_opens_nothing(user, change):
    new = create_api_key(user=user, name="x")
    assert authenticate_key(new.secret + change) == (None if change else new.api_key)
    assert authenticate_key(new.api_key.prefix) is None
    assert authenticate_key(new.api_key.prefix + "_") is None


def test_a_busy_key_costs_no_statement(user):
    new = create_api_key(user=user, name="x")
    authenticate_key(new.secret)
    with CaptureQueriesContext(connection) as captured:
        assert authenticate_key(new.secret) == new.api_key
    assert len(captured) == 0


def test_the_time_of_last_use_is_written_once_a_minute(user):
    new = create_api_key(user=user, name="x")

    def used_at():
        forget_checked_keys()
        authenticate_key(new.secret)
        return ApiKey.objects.get().last_used_at

    start = timezone.now()
    with time_machine.travel(start, tick=False):
        assert used_at() == start
    with time_machine.travel(start + timedelta(seconds=59), tick=False):
        assert used_at() == start
    with time_machine.travel(start + timedelta(seconds=61), tick=False):
        assert used_at() == start + timedelta(seconds=61)


def test_a_user_is_known_by_one_address_in_any_case(db):
    user = create_user(email=" Ann@Example.COM ", password="correct horse battery")
    assert user.email == "ann@example.com"
    assert user.check_password("correct horse battery")
    assert User.objects.get_by_natural_key("ANN@example.com") == user
    with pytest.raises(ConflictError):
        create_user(email="aNN@example.com")


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"email": "nope"}, "email"), ({"email": "a@example.com", "password": "12345"}, "password")],
)
def test_a_wrong_address_or_weak_password_is_refused(db, fields, field):
    with pytest.raises(InvalidInputError) as caught:
        create_user(**fields)
    assert list(caught.value.details) == [field]
    assert not User.objects.exists()


def test_a_user_without_a_password_cannot_log_in(db):
    user = create_user(email="a@example.com", is_superuser=True)
    assert not user.has_usable_password()
    assert (user.is_staff, user.is_superuser) == (True, True)
