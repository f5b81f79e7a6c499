"""The table of what replies mean, RFC 5321, RFC 3463 and how servers really put it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.adapters.smtp.classify import (
    Stage,
    classify,
    is_worn_connection,
    retry_after_seconds,
    without_verdict,
)
from providers.adapters.smtp.replies import WireReply, to_reply
from providers.ports import Outcome, Reason, Reply, Scope

ACCEPTED, NOT_ACCEPTED, REJECTED = Outcome.ACCEPTED, Outcome.NOT_ACCEPTED, Outcome.REJECTED
MESSAGE, PROVIDER = Scope.MESSAGE, Scope.PROVIDER
CONNECT, AUTH, MAIL, RCPT, DATA = Stage


def said(line: str) -> Reply:
    return to_reply(WireReply(int(line[:3]), (line[4:].encode(),)))


TABLE = [
    # the account cannot be used
    (CONNECT, "554 No SMTP service here", NOT_ACCEPTED, PROVIDER, Reason.CONNECTION),
    (CONNECT, "450 4.3.2 not now", NOT_ACCEPTED, PROVIDER, Reason.CONNECTION),
    (CONNECT, "554 5.7.1 Too many connections", NOT_ACCEPTED, PROVIDER, Reason.THROTTLED),
    (CONNECT, "421 4.7.0 Too many connections", NOT_ACCEPTED, PROVIDER, Reason.THROTTLED),
    (CONNECT, "454 4.7.0 TLS not available", NOT_ACCEPTED, PROVIDER, Reason.CONNECTION),
    (CONNECT, "530 5.7.0 login first", NOT_ACCEPTED, PROVIDER, Reason.AUTHENTICATION),
    (AUTH, "535 5.7.8 bad credentials", NOT_ACCEPTED, PROVIDER, Reason.AUTHENTICATION),
    (AUTH, "534 5.7.9 too weak", NOT_ACCEPTED, PROVIDER, Reason.AUTHENTICATION),
    (AUTH, "504 5.5.4 mechanism", NOT_ACCEPTED, PROVIDER, Reason.AUTHENTICATION),
    (AUTH, "454 4.7.0 try later", NOT_ACCEPTED, PROVIDER, Reason.CONNECTION),
    (AUTH, "451 4.7.0 too many login attempts", NOT_ACCEPTED, PROVIDER, Reason.THROTTLED),
    # 421 at any stage
    (MAIL, "421 4.7.0 Try later, closing connection.", NOT_ACCEPTED, PROVIDER, Reason.THROTTLED),
    (DATA, "421 whatever", NOT_ACCEPTED, PROVIDER, Reason.THROTTLED),
    (MAIL, "421 4.3.2 Service shutting down", NOT_ACCEPTED, PROVIDER, Reason.CONNECTION),
    (MAIL, "421 4.4.2 h Error: timeout exceeded", NOT_ACCEPTED, PROVIDER, Reason.CONNECTION),
    (MAIL, "421 Too many messages in this connection", NOT_ACCEPTED, PROVIDER, Reason.CONNECTION),
    # 4yz
    (MAIL, "450 4.7.1 Error: too much mail from 1.2.3.4", NOT_ACCEPTED, PROVIDER, Reason.THROTTLED),
    (MAIL, "452 4.3.1 Insufficient system storage", NOT_ACCEPTED, PROVIDER, Reason.OTHER),
    (MAIL, "454 4.7.0 Temporary authentication failure", NOT_ACCEPTED, PROVIDER, Reason.CONNECTION),
    (MAIL, "451 4.1.8 sender domain not found", NOT_ACCEPTED, MESSAGE, Reason.OTHER),
    (RCPT, "450 4.2.0 Recipient rejected: Greylisted", NOT_ACCEPTED, MESSAGE, Reason.GREYLISTED),
    (RCPT, "451 4.7.1 Please try again", NOT_ACCEPTED, MESSAGE, Reason.GREYLISTED),
    (RCPT, "450 graylisted", NOT_ACCEPTED, MESSAGE, Reason.GREYLISTED),
    (RCPT, "451 Try again later", NOT_ACCEPTED, MESSAGE, Reason.GREYLISTED),
    (RCPT, "452 Try again later", NOT_ACCEPTED, MESSAGE, Reason.OTHER),
    (RCPT, "451 4.3.0 Try again later", NOT_ACCEPTED, MESSAGE, Reason.OTHER),
    (RCPT, "451 Temporary local problem - please try later", NOT_ACCEPTED, MESSAGE, Reason.OTHER),
    (DATA, "451 4.7.1 Greylisting in action", NOT_ACCEPTED, MESSAGE, Reason.GREYLISTED),
    (RCPT, "452 4.2.2 full", NOT_ACCEPTED, MESSAGE, Reason.MAILBOX),
    (RCPT, "452 Mailbox is full", NOT_ACCEPTED, MESSAGE, Reason.MAILBOX),
    (RCPT, "450 4.7.1 too many messages", NOT_ACCEPTED, MESSAGE, Reason.THROTTLED),
    (RCPT, "452 4.5.3 Too many recipients", NOT_ACCEPTED, MESSAGE, Reason.OTHER),
    (DATA, "451 4.3.0 queue file write error", NOT_ACCEPTED, MESSAGE, Reason.OTHER),
    # the account's own quota, whatever the code
    (DATA, "550 5.4.5 Daily sending quota exceeded", NOT_ACCEPTED, PROVIDER, Reason.THROTTLED),
    (MAIL, "554 5.7.1 Hourly message limit reached", NOT_ACCEPTED, PROVIDER, Reason.THROTTLED),
    (RCPT, "550 x exceeded the max emails per hour", NOT_ACCEPTED, PROVIDER, Reason.THROTTLED),
    # login asked for in mid-conversation
    (MAIL, "530 5.7.0 Authentication required", NOT_ACCEPTED, PROVIDER, Reason.AUTHENTICATION),
    (MAIL, "550 5.7.1 Authentication required", NOT_ACCEPTED, PROVIDER, Reason.AUTHENTICATION),
    (MAIL, "503 AUTH first", NOT_ACCEPTED, PROVIDER, Reason.AUTHENTICATION),
    (RCPT, "530 5.7.57 Client not authenticated", NOT_ACCEPTED, PROVIDER, Reason.AUTHENTICATION),
    (DATA, "535 5.7.8 no", NOT_ACCEPTED, PROVIDER, Reason.AUTHENTICATION),
    # the two ends disagree on the conversation
    (MAIL, "503 5.5.1 nested MAIL", NOT_ACCEPTED, PROVIDER, Reason.CONNECTION),
    (RCPT, "500 5.3.3 Unrecognized command", NOT_ACCEPTED, PROVIDER, Reason.CONNECTION),
    (DATA, "502 not implemented", NOT_ACCEPTED, PROVIDER, Reason.CONNECTION),
    (RCPT, "354 what", NOT_ACCEPTED, PROVIDER, Reason.CONNECTION),
    # the sender is not the account's: it is well, another may take the mail
    (MAIL, "553 5.1.8 sender rejected", NOT_ACCEPTED, PROVIDER, Reason.CONTENT),
    (MAIL, "550 5.1.1 no such user", NOT_ACCEPTED, PROVIDER, Reason.CONTENT),
    (MAIL, "501 5.1.7 syntax", NOT_ACCEPTED, PROVIDER, Reason.CONTENT),
    (MAIL, "550 5.7.1 sender not allowed", NOT_ACCEPTED, PROVIDER, Reason.CONTENT),
    (MAIL, "550 5.7.26 must authenticate by SPF", NOT_ACCEPTED, PROVIDER, Reason.CONTENT),
    (MAIL, "550 5.6.7 no such addresses here", NOT_ACCEPTED, PROVIDER, Reason.CONTENT),
    (MAIL, "550 no", NOT_ACCEPTED, PROVIDER, Reason.CONTENT),
    (MAIL, "552 5.3.4 too big", REJECTED, MESSAGE, Reason.CONTENT),
    # the recipient
    (RCPT, "550 5.1.1 no such user", REJECTED, MESSAGE, Reason.BAD_RECIPIENT),
    (RCPT, "550 5.1.10 RESOLVER.ADR.RecipientNotFound", REJECTED, MESSAGE, Reason.BAD_RECIPIENT),
    (RCPT, "550 unknown", REJECTED, MESSAGE, Reason.BAD_RECIPIENT),
    (RCPT, "553 unknown", REJECTED, MESSAGE, Reason.BAD_RECIPIENT),
    (RCPT, "556 5.1.10 null MX", REJECTED, MESSAGE, Reason.BAD_RECIPIENT),
    (RCPT, "550 5.4.1 rejected: Access denied", REJECTED, MESSAGE, Reason.BAD_RECIPIENT),
    (RCPT, "550 5.5.0 mailbox unavailable", REJECTED, MESSAGE, Reason.BAD_RECIPIENT),
    (RCPT, "553 5.3.0 No such user here", REJECTED, MESSAGE, Reason.BAD_RECIPIENT),
    (RCPT, "550 5.1.8 bad sender", NOT_ACCEPTED, PROVIDER, Reason.CONTENT),
    (RCPT, "550 5.2.1 disabled", REJECTED, MESSAGE, Reason.MAILBOX),
    (RCPT, "552 5.2.2 over quota", REJECTED, MESSAGE, Reason.MAILBOX),
    (RCPT, "552 full", REJECTED, MESSAGE, Reason.MAILBOX),
    (RCPT, "552 5.2.3 too long", REJECTED, MESSAGE, Reason.CONTENT),
    (RCPT, "550 5.7.1 policy", REJECTED, MESSAGE, Reason.CONTENT),
    (RCPT, "550 blocked by policy", REJECTED, MESSAGE, Reason.CONTENT),
    (RCPT, "554 no", REJECTED, MESSAGE, Reason.CONTENT),
    (RCPT, "550 5.3.0 odd", REJECTED, MESSAGE, Reason.OTHER),
    (RCPT, "559 odd", REJECTED, MESSAGE, Reason.OTHER),
    (RCPT, "552 too many recipients", NOT_ACCEPTED, MESSAGE, Reason.OTHER),
    (RCPT, "550 5.5.3 Too many", NOT_ACCEPTED, MESSAGE, Reason.OTHER),
    # the data
    (DATA, "554 5.7.1 spam", REJECTED, MESSAGE, Reason.CONTENT),
    (DATA, "550 no", REJECTED, MESSAGE, Reason.CONTENT),
    (DATA, "552 5.3.4 too big", REJECTED, MESSAGE, Reason.CONTENT),
    (DATA, "550 5.1.1 no such user", REJECTED, MESSAGE, Reason.BAD_RECIPIENT),
    (DATA, "552 5.2.2 over quota", REJECTED, MESSAGE, Reason.MAILBOX),
    # taken
    (RCPT, "251 will forward", ACCEPTED, MESSAGE, Reason.NONE),
    (DATA, "250 2.0.0 Ok", ACCEPTED, MESSAGE, Reason.NONE),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "line", "outcome", "scope", "reason"), TABLE)
def test_meaning_of_a_reply(
    stage: Stage, line: str, outcome: Outcome, scope: Scope, reason: Reason
) -> None:
    verdict = classify(stage, said(line))
    assert (verdict.outcome, verdict.scope, verdict.reason) == (outcome, scope, reason)


@given(
    st.sampled_from(list(Stage)),
    st.integers(200, 599),
    st.sampled_from(["", "1.1", "2.2", "3.4", "4.1", "5.3", "6.7", "7.1"]),
    st.text(max_size=60),
)
def test_only_2yz_accepts_and_only_5yz_rejects(
    stage: Stage, code: int, detail: str, text: str
) -> None:
    enhanced = f"{code // 100}.{detail}" if detail else ""
    verdict = classify(stage, Reply(code, enhanced, text))
    if verdict.outcome is ACCEPTED:
        assert 200 <= code < 300
    if verdict.outcome is REJECTED:
        assert 500 <= code < 600
        assert stage in (MAIL, RCPT, DATA)
    if stage is MAIL:
        assert verdict.reason is not Reason.BAD_RECIPIENT
    assert verdict.outcome is not Outcome.UNKNOWN


def test_silence_is_in_doubt_only_once_the_data_was_handed_over() -> None:
    before = without_verdict("lost", is_handed_over=False)
    after = without_verdict("lost", is_handed_over=True)
    assert (before.outcome, before.scope, before.reason) == (
        NOT_ACCEPTED,
        PROVIDER,
        Reason.CONNECTION,
    )
    assert (after.outcome, after.reason) == (Outcome.UNKNOWN, Reason.LOST_AFTER_DATA)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("421 4.4.2 timeout exceeded", True),
        ("421 4.3.2 Too many messages in this connection", True),
        ("421 4.7.0 slow down", False),
        ("421 Too many messages", False),
        ("450 4.4.2 timeout", False),
    ],
)
def test_worn_connection_is_told_from_throttling(line: str, *, expected: bool) -> None:
    assert is_worn_connection(said(line)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Greylisted, try again in 300 seconds", 300.0),
        ("Greylisted for 5 minutes", 300.0),
        ("please come back in 00:05:30", 330.0),
        ("retry after 2 hours", 7200.0),
        ("wait 90s", 90.0),
        ("in 999999 hours", 86400.0),
        ("try again later", None),
        ("limit for 550 messages", None),
        ("", None),
    ],
)
def test_wait_named_in_a_reply(text: str, expected: float | None) -> None:
    assert retry_after_seconds(text) == expected


def test_wait_reaches_the_verdict() -> None:
    verdict = classify(RCPT, said("450 4.7.1 Greylisted, try again in 300 seconds"))
    assert verdict.retry_after_seconds == 300.0
