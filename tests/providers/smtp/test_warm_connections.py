"""Warm connections: used again, capped, and replaced when the server left meanwhile."""

from __future__ import annotations

import time

import pytest

from providers.adapters.smtp.adapter import SmtpAdapter, SmtpSession
from providers.ports import Outcome, Reason, Scope
from tests.support.smtp import a_mail, an_account, an_adapter
from tests.support.smtp_server import Drop, FaultyServer, Say, Script, Stall


def await_unusable(session: SmtpSession) -> bool:
    """Wait for what the server did to arrive; true once the session notices."""
    deadline = time.monotonic() + 5
    while session.is_usable and time.monotonic() < deadline:
        time.sleep(0.001)
    return not session.is_usable


def test_one_connection_carries_many_mails() -> None:
    with FaultyServer() as server:
        session = an_adapter(server.port).open()
        assert [session.send(a_mail()).outcome for _ in range(20)] == [Outcome.ACCEPTED] * 20
        session.close()
    assert (len(server.conversations), len(server.mails)) == (1, 20)
    assert server.lines.count("QUIT") == 1


def test_session_is_worn_out_at_its_cap() -> None:
    with FaultyServer() as server:
        session = SmtpAdapter(an_account(server.port, cap=2)).open()
        usable = [session.is_usable]
        for _ in range(2):
            session.send(a_mail())
            usable.append(session.is_usable)
        session.close()
    assert usable == [True, True, False]


def test_connection_closed_while_idle_is_noticed_before_use() -> None:
    with FaultyServer() as server:
        session = an_adapter(server.port).open()
        session.send(a_mail())
        server.hang_up()
        assert await_unusable(session)
        session.close()


def test_goodbye_while_idle_is_noticed_before_use() -> None:
    goodbye = Say(b"250 2.0.0 Ok\r\n421 4.4.2 timeout exceeded\r\n")
    with FaultyServer(({"END": goodbye},)) as server:
        session = an_adapter(server.port).open()
        assert session.send(a_mail()).outcome is Outcome.ACCEPTED
        assert await_unusable(session)
        session.close()


@pytest.mark.parametrize(
    "script",
    [
        {"END": Say(b"250 2.0.0 Ok\r\n", hang_up=True)},
        {"END": Say(b"250 2.0.0 Ok\r\n421 4.4.2 timeout exceeded\r\n", hang_up=True)},
        {"MAIL": ["250 Ok", Drop()]},
        {"MAIL": ["250 Ok", Drop(reset=True)]},
        {"MAIL": ["250 Ok", "421 4.3.2 Too many messages in this connection"]},
        {"RCPT": ["250 Ok", "421 4.3.2 Service shutting down"]},
    ],
)
def test_connection_lost_since_the_last_mail_costs_no_attempt(script: Script) -> None:
    with FaultyServer((script, {})) as server:
        session = an_adapter(server.port).open()
        outcomes = [session.send(a_mail()).outcome for _ in range(3)]
        session.close()
    assert outcomes == [Outcome.ACCEPTED] * 3
    assert len(server.conversations) == 2
    assert len(server.mails) == 3


def test_replacement_is_tried_once_per_mail() -> None:
    with FaultyServer(({"MAIL": ["250 Ok", Drop()]}, {"MAIL": Drop()})) as server:
        session = an_adapter(server.port).open()
        session.send(a_mail())
        result = session.send(a_mail())
        session.close()
    assert (result.outcome, result.scope, result.reason) == (
        Outcome.NOT_ACCEPTED,
        Scope.PROVIDER,
        Reason.CONNECTION,
    )
    assert len(server.conversations) == 2


def test_replacement_that_cannot_be_opened_is_the_verdict() -> None:
    scripts: tuple[Script, ...] = (
        {"MAIL": ["250 Ok", Drop()]},
        {"CONNECT": "421 4.7.0 too many connections"},
    )
    with FaultyServer(scripts) as server:
        session = an_adapter(server.port).open()
        session.send(a_mail())
        result = session.send(a_mail())
        assert not session.is_usable
        again = session.send(a_mail())
        session.close()
    assert (result.outcome, result.scope, result.reason) == (
        Outcome.NOT_ACCEPTED,
        Scope.PROVIDER,
        Reason.THROTTLED,
    )
    assert (again.outcome, again.reason) == (Outcome.NOT_ACCEPTED, Reason.CONNECTION)


@pytest.mark.parametrize(
    "second",
    ["421 4.7.0 slow down", Stall(), "550 5.7.1 no"],
)
def test_throttling_silence_and_refusals_do_not_open_another_connection(
    second: str | Stall,
) -> None:
    with FaultyServer(({"MAIL": ["250 Ok", second]}, {})) as server:
        session = an_adapter(server.port, timeout_seconds=0.6).open()
        session.send(a_mail())
        assert session.send(a_mail()).outcome is not Outcome.ACCEPTED
        session.close()
    assert len(server.conversations) == 1


@pytest.mark.parametrize("end", [Drop(), Drop(reset=True), "421 4.3.2 Service shutting down"])
def test_mail_whose_data_was_sent_is_never_sent_again(end: Drop | str) -> None:
    with FaultyServer(({"END": ["250 Ok", end]}, {})) as server:
        session = an_adapter(server.port).open()
        session.send(a_mail())
        assert session.send(a_mail()).outcome is not Outcome.ACCEPTED
        session.close()
    assert len(server.conversations) == 1
    assert len(server.mails) == 2


def test_closed_session_refuses_without_raising() -> None:
    with FaultyServer() as server:
        session = an_adapter(server.port).open()
        session.close()
        session.close()
        result = session.send(a_mail())
    assert (result.outcome, result.reason) == (Outcome.NOT_ACCEPTED, Reason.CONNECTION)
    assert server.mails == []
