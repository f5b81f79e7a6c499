"""`manage.py create_user` and `manage.py create_api_key`."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import ApiKey, User
from accounts.services import authenticate_key


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_a_user_is_created_and_described_in_one_json_object(db):
    answer = json.loads(run("create_user", "Ann@Example.com", "--staff", "--json"))
    user = User.objects.get()
    assert answer == {
        "id": str(user.pk),
        "email": "ann@example.com",
        "is_staff": True,
        "is_superuser": False,
    }


def test_without_json_a_sentence_is_printed(db):
    assert run("create_user", "ann@example.com", "--superuser") == "Created ann@example.com.\n"
    assert User.objects.get().is_superuser


def test_a_password_is_set_and_not_printed(db):
    password = "correct horse battery"
    assert password not in run("create_user", "a@example.com", "--password", password, "--json")
    assert User.objects.get().check_password(password)


@pytest.mark.parametrize("email", ["nope", "ann@example.com", f"a@{'b' * 60}{'.b' * 100}.example"])
def test_a_user_that_cannot_be_created_ends_in_an_error(user, email):
    with pytest.raises(CommandError):
        run("create_user", email, "--json")
    assert User.objects.count() == 1


def test_a_key_is_printed_once_in_one_json_object(user):
    answer = json.loads(
        run(
            *[
                "create_api_key",
                "--user",
                "ANN@example.com",
                "--name",
                "shop",
                "--test",
                "--days",
                "30",
                "--json",
            ],
            "--scopes",
            "emails:send, emails:read",
        )
    )
    stored = ApiKey.objects.get()
    assert answer == {
        "id": str(stored.pk),
        "key": answer["key"],
        "prefix": stored.prefix,
        "name": "shop",
        "user": "ann@example.com",
        "scopes": ["emails:read", "emails:send"],
        "test": True,
    }
    assert authenticate_key(answer["key"]) == stored
    assert stored.is_test
    assert stored.expires_at is not None
    assert abs(stored.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)


def test_without_json_the_key_alone_is_printed(user):
    assert authenticate_key(run("create_api_key", "--user", user.email, "--name", "x").strip())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--user", "nobody@example.com", "--name", "x"),
        ("--user", "ann@example.com", "--name", ""),
        ("--user", "ann@example.com", "--name", "x", "--scopes", "root"),
        ("--user", "ann@example.com", "--name", "x", "--scopes", " , "),
        ("--user", "ann@example.com", "--name", "x", "--days", "9999999999"),
        ("--user", "ann@example.com", "--name", "x", "--days", "0"),
        ("--user", "ann@example.com", "--name", "x", "--days", "-3"),
    ],
)
def test_a_key_that_cannot_be_created_ends_in_an_error(user, arguments):
    with pytest.raises(CommandError):
        run("create_api_key", *arguments)
    assert not ApiKey.objects.exists()
