"""Amazon SES as moto plays it: somebody else's reading of the same API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from providers.adapters import adapter_for
from providers.ports import AccountConfig, Outcome, Reason, Scope
from tests.support.esp.accounts import account_at, mail_of, some_parts
from tests.support.esp.amazon import amazon_ses

moto = pytest.importorskip("moto.server", reason="moto[server] is a large optional extra")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


def account(port: int) -> AccountConfig:
    return account_at(amazon_ses(), port)


def test_a_verified_sender_is_accepted(port: int) -> None:
    session = adapter_for(account(port)).open()
    refused = session.send(mail_of(some_parts()))
    session._backend.client.create_email_identity(EmailIdentity="a@a.example")  # type: ignore[attr-defined]
    accepted = session.send(mail_of(some_parts()))
    session.close()
    # The sender is not set up at this account; another one may have it.
    assert (refused.outcome, refused.reason, refused.scope) == (
        Outcome.NOT_ACCEPTED,
        Reason.CONTENT,
        Scope.PROVIDER,
    )
    assert accepted.outcome is Outcome.ACCEPTED
    assert accepted.remote_id
