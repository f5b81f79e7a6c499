from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import FieldError, ImproperlyConfigured, ValidationError
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from mailservice.core.secrets import DecryptionError, decrypt, encrypt
from providers.models import Provider

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
SECRETS = {"username": "shop", "password": "päss word"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=json_values)
def test_what_goes_in_comes_out(value: object) -> None:
    assert decrypt(encrypt(value)) == value


def test_the_token_tells_nothing_and_never_repeats() -> None:
    first, second = encrypt(SECRETS), encrypt(SECRETS)
    assert first != second
    assert "shop" not in first


def test_the_first_key_encrypts_and_every_key_decrypts(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    old_token = encrypt("x")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert decrypt(old_token) == "x"
    new_token = encrypt("x")
    settings.ENCRYPTION_KEYS = [NEW]
    assert decrypt(new_token) == "x"
    with pytest.raises(DecryptionError):
        decrypt(old_token)


@pytest.mark.parametrize("token", ["", "x", "gAAAAA", "ünreadable", '{"password": "plain"}'])
def test_what_is_no_token_of_ours_is_refused(token: str) -> None:
    with pytest.raises(DecryptionError):
        decrypt(token)


def test_a_token_that_was_tampered_with_is_refused() -> None:
    token = encrypt(SECRETS)
    middle = len(token) // 2
    other = "A" if token[middle] != "A" else "B"
    with pytest.raises(DecryptionError):
        decrypt(token[:middle] + other + token[middle + 1 :])


def test_the_refusal_tells_nothing_of_token_or_keys(settings: Any) -> None:
    token = encrypt(SECRETS)
    settings.ENCRYPTION_KEYS = [NEW]
    with pytest.raises(DecryptionError) as caught:
        decrypt(token)
    assert str(caught.value) == "No configured encryption key can read this secret."
    assert caught.value.__suppress_context__


def test_without_keys_nothing_is_stored_in_the_clear(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = []
    with pytest.raises(ImproperlyConfigured, match="ENCRYPTION_KEYS"):
        encrypt("x")


def provider(**fields: Any) -> Provider:
    return Provider.objects.create(name="account", kind="simulator", **fields)


def stored(made: Provider) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM providers_provider WHERE id = %s", [made.pk])
        row = cursor.fetchone()
    assert row is not None
    return None if row[0] is None else str(row[0])


@pytest.mark.django_db
def test_the_database_holds_only_the_token() -> None:
    made = provider(secrets=SECRETS)
    token = stored(made)
    assert token is not None
    assert token.startswith("gAAAA")
    assert "shop" not in token
    assert decrypt(token) == SECRETS
    assert Provider.objects.get().secrets == SECRETS


@pytest.mark.django_db
def test_a_missing_secret_stays_null_and_can_be_asked_for() -> None:
    made = provider(secrets=None)
    assert stored(made) is None
    assert Provider.objects.get().secrets is None
    assert Provider.objects.filter(secrets__isnull=True).count() == 1
    assert Provider.objects.filter(secrets__isnull=False).count() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "lookup",
    [
        {"secrets": SECRETS},
        {"secrets": None},
        {"secrets__contains": "shop"},
        {"secrets__in": [SECRETS]},
        {"secrets__startswith": "g"},
    ],
)
def test_secrets_cannot_be_searched(lookup: dict[str, Any]) -> None:
    with pytest.raises(FieldError):
        Provider.objects.filter(**lookup)


@pytest.mark.django_db
def test_saving_again_moves_a_secret_to_the_newest_key(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    provider(secrets=SECRETS)
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    Provider.objects.get().save()
    settings.ENCRYPTION_KEYS = [NEW]
    assert Provider.objects.get().secrets == SECRETS


@pytest.mark.django_db
def test_a_secret_under_a_lost_key_fails_closed(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    provider(secrets=SECRETS)
    settings.ENCRYPTION_KEYS = [NEW]
    with pytest.raises(DecryptionError):
        Provider.objects.get()
    assert Provider.objects.defer("secrets").get().name == "account"


def test_a_dump_under_a_key_that_is_gone_is_refused(settings: Any) -> None:
    field = Provider._meta.get_field("secrets")
    settings.ENCRYPTION_KEYS = [OLD]
    sealed = field.value_to_string(Provider(secrets=SECRETS))
    assert "shop" not in sealed
    assert field.to_python(sealed) == SECRETS
    settings.ENCRYPTION_KEYS = [NEW]
    with pytest.raises(ValidationError, match="No configured encryption key"):
        field.to_python(sealed)
