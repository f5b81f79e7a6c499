"""Amazon SES as moto plays it: somebody else's reading of the same API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email import message_from_string, policy
from typing import Any

import boto3  # type: ignore[import-untyped]  # ships no types
import pytest
from moto.backends import get_backend
from moto.core.authorization import enable_iam_authentication
from moto.server import ThreadedMotoServer

from mailservice.core.addresses import Address
from providers.adapters import adapter_for
from providers.adapters.esp.ses_session import SesSession
from providers.ports import AccountConfig, Outcome, Reason, Scope, SendResult
from tests.support.esp.accounts import a_file, account_at, mail_of, some_parts
from tests.support.esp.amazon import KEY_ID, REGION, amazon_ses

ACCOUNT_ID = "123456789012"


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of moto's server."""
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    yield running.get_host_and_port()[1]
    running.stop()


@pytest.fixture
def port(server: int) -> int:
    """The port of moto's server, which remembers nothing of the last test."""
    ses().reset()
    get_backend("sesv2")[ACCOUNT_ID][REGION].reset()
    return server


def ses() -> Any:
    return get_backend("ses")[ACCOUNT_ID][REGION]


def account(port: int, **changes: Any) -> AccountConfig:
    return account_at(amazon_ses(), port, **changes)


def aws(port: int, service: str) -> Any:
    """Return Amazon's own client of a service."""
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=REGION,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key="-",
    )


def verify(port: int, identity: str) -> None:
    aws(port, "sesv2").create_email_identity(EmailIdentity=identity)


def send(port: int, *recipients: str, account_changes: Any = None, **parts: Any) -> SendResult:
    session = adapter_for(account(port, **(account_changes or {}))).open()
    assert isinstance(session, SesSession)
    try:
        return session.send(mail_of(some_parts(**parts), *recipients))
    finally:
        session.close()


@pytest.mark.parametrize("identity", ["a@a.example", "a.example"])
def test_a_verified_sender_is_accepted(port: int, identity: str) -> None:
    verify(port, identity)
    result = send(port)
    assert result.outcome is Outcome.ACCEPTED
    (sent,) = ses().sent_messages
    assert result.remote_id == sent.id


def test_a_sender_that_is_not_verified_is_left_to_another_account(port: int) -> None:
    result = send(port)
    assert (result.outcome, result.reason, result.scope) == (
        Outcome.NOT_ACCEPTED,
        Reason.CONTENT,
        Scope.PROVIDER,
    )
    assert "a@a.example" in result.reply.text
    assert ses().sent_messages == []


def test_the_mail_arrives_as_written_with_its_files(port: int) -> None:
    verify(port, "a@a.example")
    files = (
        a_file("Übersicht.pdf", bytes(range(256)) * 40),
        a_file("logo.png", b"\x89PNG", "image/png", content_id="logo@a.example"),
    )
    result = send(port, files=files, html='<p>✓ <img src="cid:logo@a.example"></p>')
    assert result.outcome is Outcome.ACCEPTED
    (sent,) = ses().sent_messages
    mail = message_from_string(sent.raw_data, policy=policy.default)
    assert mail["Subject"] == "Grüße, hello"
    assert str(mail["From"]) == '"Anna, née Å" <a@a.example>'
    held = {part.get_filename(): part.get_payload(decode=True) for part in mail.walk()}
    assert held["Übersicht.pdf"] == bytes(range(256)) * 40
    shown = {part["Content-ID"]: part.get_payload(decode=True) for part in mail.walk()}
    assert shown["<logo@a.example>"] == b"\x89PNG"


def test_blind_recipients_are_sent_to_and_not_shown(port: int) -> None:
    verify(port, "a@a.example")
    to = (Address("bob@b.example", "Bob"),)
    result = send(port, "bob@b.example", "eve@e.example", to=to)
    assert result.outcome is Outcome.ACCEPTED
    (sent,) = ses().sent_messages
    assert {"bob@b.example", "eve@e.example"} <= set(sent.destinations)
    assert "eve@e.example" not in sent.raw_data


def test_a_configuration_set_is_no_obstacle(port: int) -> None:
    verify(port, "a@a.example")
    aws(port, "sesv2").create_configuration_set(ConfigurationSetName="events")
    settings = {"settings": {"configuration_set_name": "events"}}
    assert send(port, account_changes=settings).outcome is Outcome.ACCEPTED


# --- keys and permissions, as moto's IAM checks them ----------------------------------------------


@pytest.fixture
def key(port: int) -> Iterator[dict[str, str]]:
    """A key that may do nothing yet, while moto checks signatures and permissions."""
    iam = aws(port, "iam")
    get_backend("iam")[ACCOUNT_ID]["aws"].reset()
    verify(port, "a@a.example")
    iam.create_user(UserName="mailer")
    made = iam.create_access_key(UserName="mailer")["AccessKey"]
    with enable_iam_authentication():
        yield {"id": made["AccessKeyId"], "secret": made["SecretAccessKey"]}


def signed(key: dict[str, str]) -> dict[str, Any]:
    return {
        "settings": {"access_key_id": key["id"]},
        "secrets": {"secret_access_key": key["secret"]},
    }


def allow_sending() -> None:
    statement = {"Effect": "Allow", "Action": "ses:SendEmail", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    get_backend("iam")[ACCOUNT_ID]["aws"].put_user_policy("mailer", "sending", document)


def refusal(result: SendResult) -> str:
    """Return why the account is at fault."""
    assert (result.outcome, result.reason, result.scope) == (
        Outcome.NOT_ACCEPTED,
        Reason.AUTHENTICATION,
        Scope.PROVIDER,
    )
    assert ses().sent_messages == []
    return result.reply.text


def test_a_key_that_may_send_sends(port: int, key: dict[str, str]) -> None:
    allow_sending()
    assert send(port, account_changes=signed(key)).outcome is Outcome.ACCEPTED


def test_a_key_that_may_not_send_is_the_accounts_fault(port: int, key: dict[str, str]) -> None:
    assert "AccessDenied" in refusal(send(port, account_changes=signed(key)))


def test_an_unknown_key_is_the_accounts_fault(port: int, key: dict[str, str]) -> None:
    allow_sending()
    unknown = key | {"id": "AKIAUNKNOWNUNKNOWN00"}
    assert "security token" in refusal(send(port, account_changes=signed(unknown)))


def test_a_wrong_secret_is_the_accounts_fault(port: int, key: dict[str, str]) -> None:
    allow_sending()
    wrong = key | {"secret": "wrong-wrong-wrong-wrong"}
    assert "signature" in refusal(send(port, account_changes=signed(wrong)))
