"""Permanent refusals that are not the recipient's fault, in the words of real servers.

Another account may take such mail. `SENDER`: this account is well, it does not send for this
sender. `ACCOUNT`: it takes nothing of ours. `THEIRS`: what sounds alike and is the recipient's.
"""

from __future__ import annotations

import pytest

from providers.adapters.smtp.classify import Stage, classify
from providers.adapters.smtp.replies import WireReply, to_reply
from providers.health import is_fault
from providers.ports import Outcome, Reason, Reply, Scope

_CONNECT, _AUTH, MAIL, RCPT, DATA = Stage
ANYWHERE, ENVELOPE = (MAIL, RCPT, DATA), (MAIL, RCPT)


def said(line: str) -> Reply:
    return to_reply(WireReply(int(line[:3]), (line[4:].encode(),)))


SENDER = [
    # Postfix
    (ENVELOPE, "553 5.7.1 <ann@example.com>: Sender address rejected: not owned by user bob"),
    (ENVELOPE, "553 5.7.1 <ann@example.com>: Sender address rejected: not logged in"),
    (ENVELOPE, "550 5.1.0 <ann@example.com>: Sender address rejected: User unknown"),
    (ENVELOPE, ("550 5.1.0 <a@b.example>: Sender address rejected: undeliverable address: host "
               "mx.b.example[192.0.2.1] said: 550 User unknown (in reply to RCPT TO command)")),
    # Exim
    (ENVELOPE, "550 Sender verify failed"),
    # Exchange Online and Outlook
    ((DATA,), "554 5.2.252 SendAsDenied; bob@example.com not allowed to send as ann@example.com"),
    ((DATA,), "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
    # Amazon SES
    ((DATA,), ("554 Message rejected: Email address is not verified. The following identities "
              "failed the check in region EU-WEST-1: ann@example.com")),
    # SendGrid
    ((DATA,), "550 The from address does not match a verified Sender Identity. Mail can not"),
    # SparkPost
    (ENVELOPE, "550 5.7.1 Unconfigured sending domain <example.com>"),
    # Zoho
    (ANYWHERE, "553 Sender is not allowed to relay emails"),
    (ANYWHERE, "553 Relaying disallowed as ann@example.com"),
    # GMX, IONOS
    (ANYWHERE, "550 Sender address is not allowed."),
    # Gmail, and whoever checks the sender's domain
    ((DATA,), ("550 5.7.26 Unauthenticated email from example.com is not accepted due to domain's "
              "DMARC policy.")),
    (ANYWHERE, "550 5.7.1 Your domain example.com is blocked by policy"),
    (ANYWHERE, "550 SPF check failed for example.com"),
    (ENVELOPE, "550 5.1.1 <bob@example.net> rejected: SPF check failed"),
]  # fmt: skip
ACCOUNT = [
    # Postfix, Sendmail, Exim, qmail, Exchange: our address is not among those served
    (ENVELOPE, "554 5.7.1 <bob@example.net>: Relay access denied"),
    (ENVELOPE, "550 5.7.1 <bob@example.net>... Relaying denied"),
    (ENVELOPE, "550 relay not permitted"),
    (ENVELOPE, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
    (ENVELOPE, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain"),
    (ENVELOPE, "550 5.7.64 TenantAttribution; Relay Access Denied"),
    (ENVELOPE, "550 5.7.1 This system is not configured to relay mail: we do not relay"),
    # our host
    (ENVELOPE, ("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using "
               "zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1")),
    (ENVELOPE, "550 5.7.1 blocked using zen.spamhaus.org"),
    (ENVELOPE, "554 5.7.1 <mail.example.com[192.0.2.1]>: Client host rejected: Access denied"),
    (ANYWHERE, "550 5.7.25 The IP address sending this message does not have a PTR record"),
    (ANYWHERE, "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP"),
    (ANYWHERE, "550 5.7.606 Access denied, banned sending IP [192.0.2.1]"),
    (ANYWHERE, "554 Your IP address is blocked"),
    # the account itself
    (ANYWHERE, "554 Your account is suspended"),
    (ANYWHERE, "550 5.7.1 Your SMTP account has been disabled, contact support"),
    ((DATA,), "554 Message rejected: Sending suspended for this account. For more information"),
    ((MAIL,), "554 5.7.1 Account suspended"),
    ((MAIL,), "550 5.7.0 User locked"),
]  # fmt: skip
THEIRS = [
    (RCPT, "550 5.1.1 User unknown"),
    (RCPT, "550 5.2.1 The account bob is disabled"),
    (RCPT, "550 5.2.1 Mailbox suspended"),
    (RCPT, "550 5.7.1 You are not allowed to send to this list"),
    (RCPT, "550 5.7.1 <l@example.net>: Recipient address rejected: sender not allowed to post"),
    (RCPT, "550 5.7.1 RESOLVER.RST.SenderNotAuthenticated; sender not allowed"),
    (RCPT, "550 5.1.2 Domain not found"),
    # a smart host tells what the recipient's server told it
    (RCPT, ("554 5.7.1 <bob@example.net>: Recipient address rejected: undeliverable address: host "
           "mx.example.net[192.0.2.7] said: 554 5.7.1 <bob@example.net>: Relay access denied (in "
           "reply to RCPT TO command)")),
    (RCPT, "550 Callout verification failed: relay not permitted"),
    (DATA, "554 5.7.1 host mx.example.net said: 550 Your IP address is blocked"),
    (DATA, "554 5.7.1 Message blocked using URIBL"),
    (DATA, "554 5.7.1 Spam message rejected"),
    (DATA, "552 5.3.4 Message too big"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "line"), [(stage, line) for stages, line in SENDER for stage in stages]
)
def test_a_sender_that_is_not_the_accounts_goes_elsewhere_and_the_account_is_well(
    stage: Stage, line: str
) -> None:
    verdict = classify(stage, said(line))
    assert (verdict.outcome, verdict.scope) == (Outcome.NOT_ACCEPTED, Scope.PROVIDER)
    assert verdict.reason is Reason.CONTENT
    assert not is_fault(verdict.as_result())


@pytest.mark.parametrize(
    ("stage", "line"), [(stage, line) for stages, line in ACCOUNT for stage in stages]
)
def test_an_account_that_takes_nothing_of_ours_has_a_fault(stage: Stage, line: str) -> None:
    verdict = classify(stage, said(line))
    assert (verdict.outcome, verdict.scope) == (Outcome.NOT_ACCEPTED, Scope.PROVIDER)
    assert verdict.reason is Reason.OTHER
    assert is_fault(verdict.as_result())


@pytest.mark.parametrize(("stage", "line"), THEIRS)
def test_what_is_the_recipients_or_the_mails_fault_goes_nowhere_else(
    stage: Stage, line: str
) -> None:
    assert classify(stage, said(line)).outcome is Outcome.REJECTED
