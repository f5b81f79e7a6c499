"""How receivers really say that they want less mail, and what only looks like it."""

from __future__ import annotations

import pytest

from providers.adapters.smtp.classify import Stage, classify, is_worn_connection
from providers.adapters.smtp.replies import WireReply, to_reply
from providers.ports import Outcome, OutgoingMail, Reason, Reply, Scope, SendResult
from tests.support.smtp import a_mail, an_adapter
from tests.support.smtp_server import FaultyServer

MESSAGE, PROVIDER = Scope.MESSAGE, Scope.PROVIDER
CONNECT, _AUTH, MAIL, RCPT, DATA = Stage


def said(line: str) -> Reply:
    return to_reply(WireReply(int(line[:3]), (line[4:].encode(),)))


GMAIL = (
    "421 4.7.28 [192.0.2.1] Our system has detected an unusual rate of unsolicited mail "
    "originating from your IP address. To protect our users from spam, mail sent from your IP "
    "address has been temporarily rate limited."
)
GMAIL_450 = GMAIL.replace("421", "450")
GMAIL_ONE_USER = (
    "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents "
    "additional messages from being delivered. Please resend your message at a later time."
)
GMAIL_TOO_QUICK = (
    "450 4.2.1 The user you are trying to contact is receiving mail too quickly. Please resend "
    "your message at a later time."
)
EXCHANGE = "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)"
EXCHANGE_IP = (
    "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation"
)
OUTLOOK = (
    "421 RP-001 (SNT004-MC1F7) Unfortunately, some messages from 192.0.2.1 weren't sent. Please "
    "try again. We have limits for how many messages can be sent per hour and per day."
)
YAHOO = (
    "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or "
    "user complaints - 4.16.55.1"
)
YAHOO_TS01 = (
    "421 4.7.0 [TS01] Messages from 192.0.2.1 temporarily deferred due to user complaints - "
    "4.16.55.1"
)
COMCAST = "421 4.1.0 192.0.2.1 Throttled - try again later. RL000001"

TABLE = [
    (RCPT, GMAIL, MESSAGE, Reason.THROTTLED),
    (DATA, GMAIL, MESSAGE, Reason.THROTTLED),
    (RCPT, GMAIL_450, MESSAGE, Reason.THROTTLED),
    (RCPT, EXCHANGE, MESSAGE, Reason.THROTTLED),
    (DATA, EXCHANGE_IP, MESSAGE, Reason.THROTTLED),
    (RCPT, OUTLOOK, MESSAGE, Reason.THROTTLED),
    (RCPT, YAHOO, MESSAGE, Reason.THROTTLED),
    (DATA, YAHOO_TS01, MESSAGE, Reason.THROTTLED),
    (RCPT, COMCAST, MESSAGE, Reason.THROTTLED),
    (RCPT, "450 4.2.1 Rate limit for this domain, slow down", MESSAGE, Reason.THROTTLED),
    (RCPT, "450 4.7.1 Too many messages to example.net", MESSAGE, Reason.THROTTLED),
    (RCPT, "451 4.7.1 Message rate exceeded, slow down", MESSAGE, Reason.THROTTLED),
    # Before a recipient is named, whoever says it means the account.
    (CONNECT, OUTLOOK, PROVIDER, Reason.THROTTLED),
    (MAIL, GMAIL, PROVIDER, Reason.THROTTLED),
    (MAIL, YAHOO, PROVIDER, Reason.THROTTLED),
    (RCPT, "421 4.7.0 Slow down", PROVIDER, Reason.THROTTLED),
    (RCPT, "450 4.7.1 Error: too much mail from 192.0.2.1", PROVIDER, Reason.THROTTLED),
    (RCPT, "450 4.7.1 Error: too many recipients from 192.0.2.1", PROVIDER, Reason.THROTTLED),
    # One mailbox's limit, or one mail's.
    (RCPT, GMAIL_ONE_USER, MESSAGE, Reason.MAILBOX),
    (RCPT, GMAIL_TOO_QUICK, MESSAGE, Reason.MAILBOX),
    (RCPT, "450 4.2.1 Mailbox busy", MESSAGE, Reason.MAILBOX),
    (RCPT, "452 4.2.2 Over the size limit of the mailbox", MESSAGE, Reason.MAILBOX),
    (RCPT, "452 4.5.3 Too many recipients", MESSAGE, Reason.OTHER),
    (RCPT, "452 Too many recipients", MESSAGE, Reason.OTHER),
    (RCPT, "450 4.7.1 Greylisted, slow down", MESSAGE, Reason.GREYLISTED),
    (RCPT, "451 4.7.1 Please try again", MESSAGE, Reason.GREYLISTED),
]


@pytest.mark.parametrize(("stage", "line", "scope", "reason"), TABLE)
def test_meaning(stage: Stage, line: str, scope: Scope, reason: Reason) -> None:
    verdict = classify(stage, said(line))
    assert (verdict.outcome, verdict.scope, verdict.reason) == (
        Outcome.NOT_ACCEPTED,
        scope,
        reason,
    )


@pytest.mark.parametrize("line", [GMAIL, OUTLOOK, YAHOO, COMCAST])
def test_a_limit_is_no_worn_connection(line: str) -> None:
    assert not is_worn_connection(said(line))


def sent(server: FaultyServer, mail: OutgoingMail) -> SendResult:
    session = an_adapter(server.port).open()
    try:
        return session.send(mail)
    finally:
        session.close()


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
def test_a_domain_that_hangs_up_does_not_speak_for_the_other_recipients(
    extensions: tuple[str, ...],
) -> None:
    mail = a_mail("a@slow.example", "b@quick.example")
    with FaultyServer(({"RCPT a@slow.example": GMAIL},), extensions=extensions) as server:
        result = sent(server, mail)
    assert (result.outcome, result.scope) == (Outcome.NOT_ACCEPTED, MESSAGE)
    assert [(each.address, each.reason) for each in result.recipients] == [
        ("a@slow.example", Reason.THROTTLED),
        ("b@quick.example", Reason.CONNECTION),
    ]


def test_a_domain_that_hangs_up_late_leaves_those_before_it_for_later() -> None:
    mail = a_mail("b@quick.example", "a@slow.example")
    with FaultyServer(({"RCPT a@slow.example": GMAIL},)) as server:
        result = sent(server, mail)
    assert (result.outcome, result.scope) == (Outcome.NOT_ACCEPTED, MESSAGE)
    assert [each.reason for each in result.recipients] == [Reason.CONNECTION, Reason.THROTTLED]


def test_the_next_mail_gets_a_new_connection() -> None:
    scripts = ({"RCPT a@slow.example": GMAIL},)
    with FaultyServer(scripts) as server:
        session = an_adapter(server.port).open()
        session.send(a_mail("a@slow.example"))
        assert not session.is_usable
        session.close()
