"""TLS and login: never weaker than asked for, credentials never shown."""

from __future__ import annotations

import base64
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.handlers import Sink as DiscardingHandler
from aiosmtpd.smtp import AuthResult, LoginPassword

from providers.adapters import check_connection
from providers.adapters.smtp.adapter import SmtpAdapter
from providers.adapters.smtp.client import log_on
from providers.adapters.smtp.connection import Connection
from providers.adapters.smtp.settings import SmtpSettings
from providers.ports import ConnectError, Outcome, Reason, Scope, SendResult
from tests.support.smtp import (
    AnyPortController,
    Certificate,
    a_mail,
    an_account,
    an_adapter,
    make_certificate,
    trusting,
)
from tests.support.smtp_server import FaultyServer, Say, Script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "hunter2 ü"
LOGIN: dict[str, Any] = {"username": "user", "secrets": {"password": PASSWORD}}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(certificate: Certificate) -> Iterator[Certificate]:
    """The certificate, trusted by this process as long as the test runs."""
    with trusting(certificate):
        yield certificate


def authenticate(
    _server: object, _session: object, _envelope: object, mechanism: str, data: Any
) -> AuthResult:
    assert mechanism in ("PLAIN", "LOGIN")
    assert isinstance(data, LoginPassword)
    is_right = (data.login, data.password) == (b"user", PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)


def controller(certificate: Certificate, *, excluded: list[str] | None = None) -> AnyPortController:
    return AnyPortController(
        DiscardingHandler(),
        tls_context=certificate.context,
        require_starttls=True,
        authenticator=authenticate,
        auth_required=True,
        auth_exclude_mechanism=excluded,
    )


@pytest.fixture
def server(trusted: Certificate) -> Iterator[int]:
    """The port of aiosmtpd with STARTTLS and a login."""
    running = controller(trusted)
    running.start()
    yield running.port
    running.stop()


def refusal(port: int, **settings: Any) -> SendResult:
    with pytest.raises(ConnectError) as caught:
        an_adapter(port, **settings).open()
    assert caught.value.result.outcome is Outcome.NOT_ACCEPTED
    assert caught.value.result.scope is Scope.PROVIDER
    shown = repr(caught.value.result) + str(caught.value)
    for secret in (PASSWORD, PASSWORD.encode()):
        raw = secret if isinstance(secret, bytes) else secret.encode()
        assert PASSWORD not in shown
        assert base64.b64encode(raw).decode() not in shown
        assert base64.b64encode(b"\0user\0" + raw).decode() not in shown
    return caught.value.result


# A real server


def test_starttls_and_login_with_a_real_server(server: int) -> None:
    session = an_adapter(server, use_tls=True, **LOGIN).open()
    assert [session.send(a_mail()).outcome for _ in range(3)] == [Outcome.ACCEPTED] * 3
    assert session.is_usable
    session.close()


def test_login_mechanism_is_chosen_from_the_offer(trusted: Certificate) -> None:
    running = controller(trusted, excluded=["PLAIN"])
    running.start()
    report = check_connection(an_account(running.port, use_tls=True, **LOGIN))
    running.stop()
    assert "Login: LOGIN as user" in report


def test_wrong_password_is_the_accounts_fault(server: int) -> None:
    result = refusal(server, use_tls=True, username="user", secrets={"password": "wrong"})
    assert result.reason is Reason.AUTHENTICATION
    assert result.reply.code == 535
    assert "C: AUTH PLAIN ***" in result.dialogue
    assert base64.b64encode(b"\0user\0wrong").decode() not in result.dialogue


def test_report_on_a_connection_names_tls_login_and_extensions(server: int) -> None:
    report = check_connection(an_account(server, use_tls=True, **LOGIN))
    lines = dict(line.split(": ", 1) for line in report.splitlines())
    assert lines["Server"] == f"127.0.0.1:{server}"
    assert lines["TLS"] == "TLSv1.3, certificate verified"
    assert lines["Login"] == "PLAIN as user"
    assert "8BITMIME" in lines["Extensions"]
    assert lines["Largest message"] == "33554432"
    assert lines["NOOP"].startswith("250")
    assert PASSWORD not in report


def test_mail_without_login_where_one_is_required_is_the_accounts_fault(server: int) -> None:
    session = an_adapter(server, use_tls=True).open()
    result = session.send(a_mail())
    assert (result.outcome, result.scope, result.reason) == (
        Outcome.NOT_ACCEPTED,
        Scope.PROVIDER,
        Reason.AUTHENTICATION,
    )
    assert not session.is_usable
    session.close()


def test_implicit_tls_with_a_verified_certificate(trusted: Certificate) -> None:
    with FaultyServer(tls=trusted.context, implicit_tls=True) as running:
        session = an_adapter(running.port, use_ssl=True).open()
        outcomes = []
        for _ in range(3):
            assert session.is_usable
            outcomes.append(session.send(a_mail()).outcome)
        session.close()
    assert outcomes == [Outcome.ACCEPTED] * 3
    assert len(running.conversations) == 1


def test_large_mail_over_tls_arrives_whole(trusted: Certificate) -> None:
    data = b"\r\n" + (b"." * 76 + b"\r\n") * 20_000
    with FaultyServer(extensions=(), tls=trusted.context, implicit_tls=True) as running:
        session = an_adapter(running.port, use_ssl=True).open()
        assert session.send(a_mail(data=data)).outcome is Outcome.ACCEPTED
        session.close()
    assert running.mails[0].data == data


def test_idle_close_is_noticed_under_tls(trusted: Certificate) -> None:
    with FaultyServer(tls=trusted.context, implicit_tls=True) as running:
        session = an_adapter(running.port, use_ssl=True).open()
        session.send(a_mail())
        running.hang_up()
        result = session.send(a_mail())
        session.close()
    assert result.outcome is Outcome.ACCEPTED
    assert len(running.conversations) == 2


# Certificates


@pytest.mark.parametrize("how", ["use_tls", "use_ssl"])
def test_untrusted_certificate_is_refused_by_default(certificate: Certificate, how: str) -> None:
    with FaultyServer(tls=certificate.context, implicit_tls=how == "use_ssl") as running:
        result = refusal(running.port, **{how: True}, **LOGIN)
    assert result.reason is Reason.CONNECTION
    assert "certificate not trusted" in result.reply.text
    assert not any(line.startswith("AUTH") for line in running.lines)


@pytest.mark.parametrize("how", ["use_tls", "use_ssl"])
def test_expired_certificate_is_refused_though_it_is_trusted(how: str, tmp_path: Path) -> None:
    expired = make_certificate(tmp_path, ends_in=-timedelta(days=1))
    server = FaultyServer(tls=expired.context, implicit_tls=how == "use_ssl")
    with trusting(expired), server as running:
        result = refusal(running.port, **{how: True}, **LOGIN)
    assert result.reason is Reason.CONNECTION
    assert "certificate has expired" in result.reply.text
    assert not any(line.startswith("AUTH") for line in running.lines)


def test_certificate_for_another_name_is_refused(trusted: Certificate) -> None:
    with FaultyServer(tls=trusted.context, implicit_tls=True) as running:
        result = refusal(running.port, use_ssl=True, host="127.1")
    assert result.reason is Reason.CONNECTION
    assert "certificate not trusted" in result.reply.text
    assert "127.1" in result.reply.text


def test_untrusted_certificate_is_taken_if_told_so(certificate: Certificate) -> None:
    with FaultyServer(tls=certificate.context, implicit_tls=True) as running:
        account = an_account(running.port, use_ssl=True, verify_certificate=False)
        assert "certificate not verified" in check_connection(account)


def test_plain_text_server_where_tls_is_expected_is_refused() -> None:
    with FaultyServer() as running:
        assert refusal(running.port, use_ssl=True).reason is Reason.CONNECTION


# STARTTLS


def test_starttls_that_is_not_offered_never_falls_back_to_plain_text() -> None:
    with FaultyServer() as running:
        result = refusal(running.port, use_tls=True, **LOGIN)
    assert (result.reason, result.reply.text) == (
        Reason.CONNECTION,
        "STARTTLS is required but not offered",
    )
    assert [line.split()[0] for line in running.lines] == ["EHLO"]


@pytest.mark.parametrize(
    "reply", ["454 4.7.0 TLS not available", "500 What?", "250 Ok", "421 4.3.2 shutting down"]
)
def test_starttls_that_is_refused_never_falls_back(certificate: Certificate, reply: str) -> None:
    with FaultyServer(({"STARTTLS": reply},), tls=certificate.context) as running:
        result = refusal(running.port, use_tls=True, **LOGIN)
    assert result.reason is Reason.CONNECTION
    assert [line.split()[0] for line in running.lines] == ["EHLO", "STARTTLS"]


def test_plain_text_injected_before_the_handshake_is_refused(trusted: Certificate) -> None:
    injected = Say(b"220 Go\r\n250 AUTH PLAIN\r\n")
    with FaultyServer(({"STARTTLS": injected},), tls=trusted.context) as running:
        result = refusal(running.port, use_tls=True, **LOGIN)
    assert result.reason is Reason.CONNECTION
    assert result.reply.text == "data before the TLS handshake"


def test_what_was_offered_in_plain_text_is_forgotten_after_starttls(trusted: Certificate) -> None:
    script: Script = {
        "EHLO": [Say(b"250-test\r\n250-PIPELINING\r\n250-SIZE 5\r\n250 STARTTLS\r\n"), "250 test"]
    }
    with FaultyServer((script,), tls=trusted.context) as running:
        session = an_adapter(running.port, use_tls=True).open()
        assert session.send(a_mail()).outcome is Outcome.ACCEPTED
        session.close()
    assert running.mails[0].sender == "FROM:<a@a.example>"
    assert [line.split()[0] for line in running.lines[:3]] == ["EHLO", "STARTTLS", "EHLO"]


# Login


def test_plain_login_sends_user_and_password() -> None:
    with FaultyServer(extensions=("AUTH LOGIN PLAIN",)) as running:
        an_adapter(running.port, **LOGIN).open().close()
    encoded = base64.b64encode(b"\0user\0" + PASSWORD.encode()).decode()
    assert running.lines[1] == f"AUTH PLAIN {encoded}"


@pytest.mark.parametrize("offer", ["AUTH LOGIN", "AUTH=LOGIN", "auth login CRAM-MD5"])
def test_login_mechanism_login(offer: str) -> None:
    with FaultyServer(extensions=(offer,)) as running:
        an_adapter(running.port, **LOGIN).open().close()
    answers = [base64.b64decode(line) for line in running.lines[2:4]]
    assert running.lines[1] == "AUTH LOGIN"
    assert answers == [b"user", PASSWORD.encode()]


@pytest.mark.parametrize("extensions", [(), ("AUTH CRAM-MD5 XOAUTH2",)])
def test_login_that_is_not_offered_is_the_accounts_fault(extensions: tuple[str, ...]) -> None:
    with FaultyServer(extensions=extensions) as running:
        result = refusal(running.port, **LOGIN)
    assert result.reason is Reason.AUTHENTICATION
    assert not any(line.startswith("AUTH") for line in running.lines)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("535 5.7.8 no", Reason.AUTHENTICATION),
        ("534 5.7.9 no", Reason.AUTHENTICATION),
        ("454 4.7.0 later", Reason.CONNECTION),
        ("421 4.7.0 too many", Reason.THROTTLED),
        ("250 fine", Reason.CONNECTION),
    ],
)
def test_refused_login(reply: str, reason: Reason) -> None:
    with FaultyServer(({"AUTH": reply},), extensions=("AUTH PLAIN",)) as running:
        assert refusal(running.port, **LOGIN).reason is reason


def test_credentials_echoed_by_the_server_are_masked() -> None:
    encoded = base64.b64encode(b"\0user\0" + PASSWORD.encode()).decode()
    script: Script = {"AUTH": f"535-5.7.8 bad {encoded}\r\n535 5.7.8 password {PASSWORD}"}
    with FaultyServer((script,), extensions=("AUTH PLAIN",)) as running:
        result = refusal(running.port, **LOGIN)
    assert result.reply.text == "bad *** password ***"


class SocketToAnotherHost(socket.socket):
    """A real connection whose peer claims to be elsewhere."""

    def getpeername(self) -> tuple[str, int]:
        return ("192.0.2.1", 25)


def log_on_elsewhere(port: int, **settings: Any) -> None:
    sock = SocketToAnotherHost()
    sock.connect(("127.0.0.1", port))
    account = SmtpSettings.from_config(an_account(port, **LOGIN, **settings))
    log_on(account, Connection(sock, timeout_seconds=2)).close()


def test_credentials_stay_off_plain_text_connections_to_other_hosts() -> None:
    with (
        FaultyServer(extensions=("AUTH PLAIN",)) as running,
        pytest.raises(ConnectError) as caught,
    ):
        log_on_elsewhere(running.port)
    assert caught.value.result.reason is Reason.AUTHENTICATION
    assert caught.value.result.reply.text == "refusing to send credentials without TLS"
    assert not any(line.startswith("AUTH") for line in running.lines)


def test_credentials_go_in_plain_text_if_told_so() -> None:
    with FaultyServer(extensions=("AUTH PLAIN",)) as running:
        log_on_elsewhere(running.port, allow_plaintext_auth=True)
    assert [line.split()[0] for line in running.lines] == ["EHLO", "AUTH", "QUIT"]


def test_account_never_shows_its_password() -> None:
    account = an_account(25, **LOGIN)
    assert PASSWORD not in repr(account) + repr(SmtpAdapter(account)) + repr(
        vars(SmtpAdapter(account))
    )


def test_refused_sign_of_life_fails_the_check() -> None:
    with (
        FaultyServer(({"NOOP": "421 4.3.2 shutting down"},)) as running,
        pytest.raises(ConnectError) as caught,
    ):
        check_connection(an_account(running.port))
    assert caught.value.result.reason is Reason.CONNECTION
