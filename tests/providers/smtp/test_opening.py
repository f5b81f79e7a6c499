"""Sessions that cannot be opened say why; those that can introduce themselves."""

from __future__ import annotations

import pytest

from providers.ports import ConnectError, Outcome, Reason, Reply, Scope, SendResult
from tests.support.smtp import a_mail, an_adapter
from tests.support.smtp_server import Action, Drop, FaultyServer, Say, Script, Stall


def refuse(script: Script) -> SendResult:
    """Fail to open a session; return the verdict."""
    with (
        FaultyServer((script,)) as server,
        pytest.raises(ConnectError) as caught,
    ):
        an_adapter(server.port, timeout_seconds=0.1).open()
    return caught.value.result


@pytest.mark.parametrize("cue", ["CONNECT", "EHLO"])
@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Drop(), "connection"),
        (Drop(reset=True), "connection"),
        (Stall(), "connection"),
        (Say(b"HTTP/1.1 400 Bad Request\r\n"), "connection"),
        (Say(b"x" * 5000), "connection"),
        ("554 5.7.1 go away", "connection"),
        ("450 4.3.2 later", "connection"),
        ("421 4.7.0 too many connections", "throttled"),
        ("421 4.3.2 shutting down", "connection"),
    ],
)
def test_session_that_cannot_be_opened_says_why(cue: str, action: Action, reason: str) -> None:
    result = refuse({cue: action})
    assert (result.outcome, result.scope, result.reason) == (
        Outcome.NOT_ACCEPTED,
        Scope.PROVIDER,
        reason,
    )
    assert result.dialogue.startswith("-- 127.0.0.1:")


def test_refused_connection_says_so() -> None:
    with FaultyServer() as server:
        port = server.port
    with pytest.raises(ConnectError) as caught:
        an_adapter(port).open()
    assert caught.value.result.reason is Reason.CONNECTION
    assert caught.value.result.reply == Reply(text="cannot connect: Connection refused")


def test_unresolvable_host_says_so() -> None:
    with pytest.raises(ConnectError) as caught:
        an_adapter(25, host="no-such-host.invalid").open()
    assert caught.value.result.reason is Reason.CONNECTION


def test_helo_is_tried_where_ehlo_is_unknown() -> None:
    with FaultyServer(({"EHLO": "502 5.5.1 What?"},)) as server:
        session = an_adapter(server.port).open()
        assert session.send(a_mail()).outcome is Outcome.ACCEPTED
        session.close()
    assert server.lines[:3] == [
        "EHLO [127.0.0.1]",
        "HELO [127.0.0.1]",
        "MAIL FROM:<a@a.example>",
    ]


def test_own_name_is_used_if_configured() -> None:
    with FaultyServer() as server:
        an_adapter(server.port, ehlo_name="mail.a.example").open().close()
    assert server.lines[0] == "EHLO mail.a.example"
