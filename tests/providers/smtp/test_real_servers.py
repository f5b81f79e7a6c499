"""Whole conversations with servers that others wrote: aiosmtpd everywhere, Postfix if installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from providers.adapters import check_connection
from providers.ports import ConnectError, Outcome, Reason, Scope
from tests.support import postfix
from tests.support.postfix import Postfix, running_postfix
from tests.support.smtp import (
    AnyPortController,
    Certificate,
    a_mail,
    an_account,
    an_adapter,
    make_certificate,
    trusting,
)
from tests.support.smtp_server import FaultyServer
from tests.support.workers import wait_until

# aiosmtpd does not see that a connection may be under TLS from its first byte.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

USER, PASSWORD = "jürgen@example.com", "pässwörd ✓"
LOGIN: dict[str, Any] = {"username": USER, "secrets": {"password": PASSWORD}}
BODY = (
    b"Message-ID: <1@a.example>\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"gr\xc3\xbc\xc3\x9fe\r\n.\r\n..dots\r\n"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificate]:
    """A certificate that this process trusts as long as this module's tests run."""
    made = make_certificate(tmp_path_factory.mktemp("tls"))
    with trusting(made):
        yield made


# --- aiosmtpd -------------------------------------------------------------------------------------


@dataclass
class Keeping:
    """Keeps envelopes, and how each sender had logged in."""

    envelopes: list[Any] = field(default_factory=list)
    logins: list[tuple[str, bool]] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.envelopes.append(envelope)
        return "250 2.0.0 Ok: queued as 12345"

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        is_right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        self.logins.append((mechanism, is_right))
        return AuthResult(success=is_right, handled=False)


def controller(
    keeping: Keeping, certificate: Certificate, how: str, mechanism: str
) -> AnyPortController:
    tls: dict[str, Any] = {
        "use_tls": {"tls_context": certificate.context, "require_starttls": True},
        "use_ssl": {"ssl_context": certificate.context, "auth_require_tls": False},
    }[how]
    return AnyPortController(
        keeping,
        enable_SMTPUTF8=True,
        decode_data=False,
        authenticator=keeping.authenticate,
        auth_required=True,
        auth_exclude_mechanism=[one for one in ("PLAIN", "LOGIN") if one != mechanism],
        **tls,
    )


@pytest.mark.parametrize("how", ["use_tls", "use_ssl"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_mail_in_any_script_goes_through_tls_and_login(
    certificate: Certificate, how: str, mechanism: str
) -> None:
    keeping = Keeping()
    running = controller(keeping, certificate, how, mechanism)
    running.start()
    try:
        session = an_adapter(running.port, **LOGIN, **{how: True}).open()
        mail = a_mail("用户@例子.example", "b@b.example", data=BODY, needs_smtputf8=True)
        results = [session.send(mail), session.send(a_mail(data=BODY))]
        session.close()
    finally:
        running.stop()
    assert [one.outcome for one in results] == [Outcome.ACCEPTED] * 2
    assert results[0].remote_id == "12345"
    # One login for both: the connection stayed warm.
    assert keeping.logins == [(mechanism, True)]
    first, second = keeping.envelopes
    assert first.rcpt_tos == ["用户@例子.example", "b@b.example"]
    assert first.smtp_utf8
    assert second.rcpt_tos == ["b@b.example"]
    assert first.content == second.content == BODY


@pytest.mark.parametrize("how", ["use_tls", "use_ssl"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_wrong_password_is_refused_and_stays_secret(
    certificate: Certificate, how: str, mechanism: str
) -> None:
    keeping = Keeping()
    running = controller(keeping, certificate, how, mechanism)
    running.start()
    try:
        wrong = LOGIN | {"secrets": {"password": "wrong-password"}}
        with pytest.raises(ConnectError) as caught:
            check_connection(an_account(running.port, **wrong | {how: True}))
    finally:
        running.stop()
    assert (caught.value.result.reason, caught.value.result.scope) == (
        Reason.AUTHENTICATION,
        Scope.PROVIDER,
    )
    assert keeping.logins == [(mechanism, False)]
    assert "wrong-password" not in repr(caught.value.result)


@pytest.mark.parametrize("how", ["use_tls", "use_ssl"])
def test_a_certificate_that_nobody_vouches_for_is_refused_before_the_login(
    certificate: Certificate, how: str, tmp_path: Path
) -> None:
    keeping = Keeping()
    running = controller(keeping, make_certificate(tmp_path), how, "PLAIN")
    running.start()
    try:
        with pytest.raises(ConnectError) as caught:
            an_adapter(running.port, **LOGIN, **{how: True}).open()
    finally:
        running.stop()
    assert "certificate not trusted" in caught.value.result.reply.text
    assert (keeping.logins, keeping.envelopes) == ([], [])


# --- Postfix --------------------------------------------------------------------------------------

needs_postfix = pytest.mark.skipif(bool(postfix.missing()), reason=postfix.missing() or "-")


@pytest.fixture(scope="module")
def behind() -> Iterator[FaultyServer]:
    """The server to which Postfix hands its mail."""
    with FaultyServer() as server:
        yield server


@pytest.fixture(scope="module")
def real(certificate: Certificate, behind: FaultyServer) -> Iterator[Postfix]:
    with running_postfix(certificate, relay_port=behind.port) as running:
        yield running


def way(real: Postfix, how: str) -> dict[str, Any]:
    return {
        "plain": {"port": real.port},
        "STARTTLS": {"port": real.port, "use_tls": True},
        "TLS": {"port": real.tls_port, "use_ssl": True},
    }[how]


@needs_postfix
@pytest.mark.parametrize("how", ["plain", "STARTTLS", "TLS"])
def test_postfix_takes_mail_and_it_comes_out_as_it_went_in(
    real: Postfix, behind: FaultyServer, how: str
) -> None:
    recipient = f"{how.lower()}@example.net"
    session = an_adapter(**way(real, how)).open()
    results = [session.send(a_mail(recipient, data=BODY)) for _ in range(3)]
    session.close()
    assert [one.outcome for one in results] == [Outcome.ACCEPTED] * 3
    assert len({one.remote_id for one in results}) == 3
    wait_until(lambda: sum(mail.recipients == [recipient] for mail in behind.mails) == 3)
    mail = next(mail for mail in behind.mails if mail.recipients == [recipient])
    parsed = message_from_bytes(mail.data, policy=policy.default)
    assert parsed["Subject"] == "Grüße"
    assert parsed.get_content() == "grüße\n.\n..dots\n"


@needs_postfix
def test_postfix_offers_what_we_use(real: Postfix) -> None:
    report = check_connection(an_account(**way(real, "TLS")))
    lines = dict(line.split(": ", 1) for line in report.splitlines())
    assert lines["TLS"] == "TLSv1.3, certificate verified"
    assert {"PIPELINING", "8BITMIME", "SMTPUTF8"} <= set(lines["Extensions"].split(", "))
    assert lines["Largest message"] == "100000"


@needs_postfix
def test_postfix_takes_addresses_beyond_ascii(real: Postfix, behind: FaultyServer) -> None:
    recipient = "用户@例子.example"
    session = an_adapter(**way(real, "STARTTLS")).open()
    result = session.send(a_mail(recipient, data=BODY, needs_smtputf8=True))
    session.close()
    assert result.outcome is Outcome.ACCEPTED
    wait_until(lambda: any(mail.recipients == [recipient] for mail in behind.mails))


@needs_postfix
def test_postfix_refuses_recipients_one_by_one(real: Postfix) -> None:
    session = an_adapter(**way(real, "STARTTLS")).open()
    mixed = session.send(a_mail("good@example.net", "nobody@example.net", "busy@example.net"))
    refused = session.send(a_mail("nobody@example.net"))
    # The refusals before cost the connection nothing.
    after = session.send(a_mail("good@example.net"))
    session.close()
    assert mixed.outcome is Outcome.ACCEPTED
    fates = {one.address: (one.outcome, one.reason) for one in mixed.recipients}
    assert fates == {
        "nobody@example.net": (Outcome.REJECTED, Reason.BAD_RECIPIENT),
        "busy@example.net": (Outcome.NOT_ACCEPTED, Reason.MAILBOX),
    }
    assert (refused.outcome, refused.reason) == (Outcome.REJECTED, Reason.BAD_RECIPIENT)
    assert after.outcome is Outcome.ACCEPTED


@needs_postfix
def test_mail_too_large_for_postfix_is_not_offered(real: Postfix) -> None:
    session = an_adapter(**way(real, "plain")).open()
    result = session.send(a_mail("good@example.net", data=b"\r\n" + b"x" * 100_001))
    session.close()
    assert (result.outcome, result.reason) == (Outcome.REJECTED, Reason.CONTENT)


@needs_postfix
@pytest.mark.parametrize("how", ["STARTTLS", "TLS"])
def test_postfix_under_another_name_than_its_certificates_is_refused(
    real: Postfix, how: str
) -> None:
    with pytest.raises(ConnectError) as caught:
        an_adapter(**way(real, how), host="127.1").open()
    assert "certificate not trusted" in caught.value.result.reply.text
