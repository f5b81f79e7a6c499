"""An account that belongs to somebody reaches the internet, not the network we run in."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import pytest

from accounts.models import User
from delivery.models import Attempt
from mailservice.core.errors import InvalidInputError
from mailservice.core.networks import is_named_private
from providers.adapters import adapter_for, check_connection
from providers.models import Provider
from providers.ports import ConnectError, Outcome, Reason, Scope
from providers.selectors import account_config
from providers.services import create_provider, update_provider
from tests.support.esp.accounts import APIS, account_at
from tests.support.esp.server import ApiServer
from tests.support.mail import drain, queue, simulator
from tests.support.smtp import an_account
from tests.support.smtp_server import FaultyServer

SMTP: dict[str, Any] = {"name": "relay", "kind": "smtp", "secrets": {}}


def create(owner: User | None, host: str, **settings: Any) -> Provider:
    return create_provider(
        owner_id=owner.pk if owner else None, settings={"host": host} | settings, **SMTP
    )


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have every name lead to these addresses."""

    def found(_host: object, port: int, *_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("169.254.169.254", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("Smtp.LocalHost.", True),
        ("8.8.8.8", False),
        ("mail.example.com", False),
        ("", False),
    ],
)
def test_what_is_seen_to_be_private_without_looking_it_up(host: str, *, expected: bool) -> None:
    assert is_named_private(host) is expected


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.5", "localhost", "::1"])
def test_the_account_of_a_user_may_not_name_a_private_address(user: User, host: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        create(user, host)
    assert list(refused.value.details) == ["settings.host"]
    assert not Provider.objects.exists()
    provider = create(user, "mail.example.com")
    with pytest.raises(InvalidInputError):
        update_provider(provider.pk, settings_patch={"host": host})


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "secrets"),
    [("postmark", {"server_token": "s"}), ("resend", {"api_key": "s"})],
)
def test_nor_may_the_address_of_its_api(user: User, kind: str, secrets: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        create_provider(
            owner_id=user.pk, name="x", kind=kind, secrets=secrets,
            settings={"api_url": "http://127.0.0.1:6379/"},
        )  # fmt: skip
    assert list(refused.value.details) == ["settings.api_url"]


@pytest.mark.django_db
def test_the_ses_account_of_a_user_names_no_endpoint(user: User) -> None:
    settings = {
        "region": "eu-west-1",
        "api_url": "https://vpce.example.com/",
        "access_key_id": "AKIAEXAMPLE",
    }
    secrets = {"secret_access_key": "s" * 40}
    with pytest.raises(InvalidInputError) as refused:
        create_provider(
            owner_id=user.pk, name="x", kind="amazon_ses", settings=settings, secrets=secrets
        )
    assert list(refused.value.details) == ["settings.api_url"]
    made = create_provider(
        owner_id=None, name="x", kind="amazon_ses", settings=settings, secrets=secrets
    )
    with pytest.raises(ConnectError, match="Only the company's accounts may name an endpoint"):
        check_connection(replace(account_config(made), is_confined=True))


@pytest.mark.django_db
def test_accounts_of_the_company_go_anywhere_and_a_setting_lets_all(
    user: User, settings: Any
) -> None:
    with FaultyServer() as server:
        company = create(None, "127.0.0.1", port=server.port)
        assert check_connection(account_config(company)).startswith("Server")
        with pytest.raises(InvalidInputError):
            update_provider(company.pk, owner_id=user.pk)
        settings.OUTGOING_HTTP_ALLOW_PRIVATE = True
        own = create(user, "127.0.0.1", port=server.port)
        assert check_connection(account_config(own)).startswith("Server")


def test_a_name_that_leads_into_a_private_network_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FaultyServer() as server:
        config = replace(an_account(server.port, host="relay.example.com"), is_confined=True)
        resolve(monkeypatch, "127.0.0.1", "10.0.0.1")
        with pytest.raises(ConnectError) as refused:
            adapter_for(config).open()
    result = refused.value.result
    assert (result.outcome, result.reason, result.scope) == (
        Outcome.NOT_ACCEPTED,
        Reason.CONNECTION,
        Scope.PROVIDER,
    )
    assert "relay.example.com lies in a private or reserved network" in result.reply.text
    assert server.conversations == []


def test_it_connects_to_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], **_: object) -> socket.socket:
        asked.append(address)
        raise ConnectionRefusedError("refused")

    resolve(monkeypatch, "10.0.0.1", "203.0.114.5", "8.8.4.4")
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(ConnectError, match="refused"):
        adapter_for(replace(an_account(25, host="relay.example.com"), is_confined=True)).open()
    assert asked == [("203.0.114.5", 25), ("8.8.4.4", 25)]


@pytest.mark.parametrize("kind", ["postmark", "resend", "brevo"])
def test_an_api_in_a_private_network_is_not_asked(kind: str) -> None:
    api = APIS[kind]()
    with ApiServer(api) as server:
        config = replace(account_at(api, server.port), is_confined=True)
        with pytest.raises(ConnectError, match="lies in a private or reserved network"):
            check_connection(config)
    assert server.requests == []


@pytest.mark.django_db
def test_mail_finds_another_way(user: User, settings: Any) -> None:
    settings.OUTGOING_HTTP_ALLOW_PRIVATE = True
    with FaultyServer() as server:
        own = create(user, "127.0.0.1", port=server.port)
        settings.OUTGOING_HTTP_ALLOW_PRIVATE = False
        simulator(position=9)
        message = queue(user)
        drain()
    message.refresh_from_db()
    assert (message.status, server.conversations) == ("sent", [])
    assert Attempt.objects.get(provider=own).reason == "connection"
