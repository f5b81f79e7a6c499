"""HTTP adapters below HTTP: certificates, idle connections, proxies, other people's credentials."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.adapters import adapter_for, check_connection
from providers.adapters.esp import transport
from providers.ports import ConnectError, Outcome, Reason, Scope
from tests.support.esp.accounts import APIS, account_at, adapter_at, mail_of, running, some_parts
from tests.support.esp.server import ApiServer
from tests.support.smtp import make_certificate

KINDS = ["postmark", "mailgun", "amazon_ses"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_nobody_vouches_for_is_refused(kind: str, tmp_path: Path) -> None:
    api = APIS[kind]()
    with ApiServer(api, tls=make_certificate(tmp_path).context) as server:
        url = f"https://127.0.0.1:{server.port}{api.base}"
        config = account_at(api, server.port, settings={"api_url": url})
        session = adapter_for(config).open()
        result = session.send(mail_of(some_parts()))
        session.close()
        with pytest.raises(ConnectError) as caught:
            check_connection(config)
    assert (result.outcome, result.reason, result.scope) == (
        Outcome.NOT_ACCEPTED,
        Reason.CONNECTION,
        Scope.PROVIDER,
    )
    assert "certificate" in result.reply.text.lower()
    assert "certificate" in caught.value.result.reply.text.lower()
    assert server.requests == []


@pytest.mark.parametrize("kind", KINDS)
def test_mail_goes_over_tls_to_a_server_that_is_vouched_for(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, certificate, handed = APIS[kind](), make_certificate(tmp_path), []
    for name in ("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificate.path))
    with ApiServer(api, tls=certificate.context) as server:
        url = f"https://127.0.0.1:{server.port}{api.base}"
        session = adapter_for(account_at(api, server.port, settings={"api_url": url})).open()
        mail = mail_of(some_parts(), hand_over=lambda: handed.append(len(server.requests)))
        results = [session.send(mail) for _ in range(2)]
        session.close()
    assert [one.outcome for one in results] == [Outcome.ACCEPTED] * 2
    # The signature of the stand-in for Amazon SES covers the host, not the scheme.
    assert handed == [0, 1]
    assert len({request.peer for request in server.requests}) == 1


def test_an_idle_connection_is_not_trusted_with_a_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_IDLE_SECONDS", 0.0)
    with running("resend") as (api, server):
        session = adapter_at(api, server).open()
        for _ in range(2):
            assert session.send(mail_of(some_parts())).outcome is Outcome.ACCEPTED
        session.close()
    assert len({request.peer for request in server.requests}) == 2


def test_credentials_of_the_environment_stay_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login other password other-password\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "other")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9/")
    for kind in ("sendgrid", "amazon_ses"):
        with running(kind) as (api, server):
            session = adapter_at(api, server).open()
            assert session.send(mail_of(some_parts())).outcome is Outcome.ACCEPTED
            session.close()
            assert "x-amz-security-token" not in server.requests[0].headers


def test_mail_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with running("resend") as (api, proxy):
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "")
        api.send_path = "/emails"
        config = account_at(api, 0, settings={"api_url": "http://mail.localhost:8/"})
        session = adapter_for(config).open()
        handed: list[int] = []
        mail = mail_of(some_parts(), hand_over=lambda: handed.append(1))
        result = session.send(mail)
        session.close()
        (request,) = proxy.requests
    assert request.headers["host"] == "mail.localhost:8"
    assert (result.outcome, handed) == (Outcome.ACCEPTED, [1])
