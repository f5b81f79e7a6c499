"""Refusals for good that speak of us: of the account, or of a sender that it does not send for.

Another account may take such a mail, so taking too much for one costs a try elsewhere, and taking
too little costs the mail. Words go before codes: servers say these things with any code, also with
those of recipients. What they quote of somebody else's server is about the recipient.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from providers.ports import Reply

# A sender address that is bad (5.1.7, 5.1.8), not ours to use (Exchange 5.2.252, 5.7.60), or not
# authenticated (RFC 7372, RFC 8616 and Gmail: 5.7.20 to 5.7.24, 5.7.26, 5.7.27, 5.7.30).
_SENDER_CODES = re.compile(r"5\.1\.[78]\Z|5\.2\.252\Z|5\.7\.(2[0-4]|2[67]|30|60)\Z")
# Postfix and Exim, which may quote the sender's server with it.
_SENDER_REJECTED = re.compile(r"sender address rejected|sender verify failed", re.IGNORECASE)
_SENDER = re.compile(
    r"\b(sender(?!'?s? (ip|host|network|server|reputation))|from (address|domain|header|e-?mail)|"
    r"return-?path|envelope[- ]from)\b.{0,80}?"
    r"\b(rejected|refused|denied|invalid|suspended|blocked|disallowed|mismatch|unverified|"
    r"unauthori[sz]ed|unauthenticated|does ?n[o']t (match|exist)|does not (match|exist)|"
    r"(not|n't) (\w+ )?(verified|validated|allowed|permitted|accepted|authori[sz]ed|confirmed|"
    r"registered|found|owned|match|exist))|"
    r"\byour (\w+ ){0,2}?domain\b.{0,60}?"
    r"\b(blocked|listed|banned|denied|rejected|refused|suspended|not \w+)|"
    r"not owned by|send-?as-?denied|send as this sender|"
    r"(e-?mail address(es)?|identit(y|ies))\b.{0,80}?\b(is|are|n't|was|were)? ?not verified|"
    r"unconfigured (sending )?domain|relay(ing)? disallowed as|authority to send from|"
    r"not (allowed|permitted|authori[sz]ed) to (send|relay|use)\b.{0,40}?"
    r"\b(as|from|behalf|this (sender|address|domain|from))\b",
    re.IGNORECASE,
)
_AUTHENTICATION = re.compile(r"\b(spf|dkim|dmarc)\b", re.IGNORECASE)

#: Gmail: the name of our address leads nowhere.
_ACCOUNT_CODES = re.compile(r"5\.7\.25\Z")
_ACCOUNT = re.compile(
    r"client host\b|relay(ing)?( access| operation)? (is |was )?"
    r"(denied|not permitted|not allowed|prohibited|refused)|"
    r"(unable|not (permitted|allowed|authori[sz]ed)|cannot|can't|refus\w+) to relay|"
    r"\b(cannot|do(es)? not|don't|no|not an? open) relay(ing)?\b|rcpthosts|"
    r"banned send(er|ing)|traffic not accepted from|access from ip address|"
    r"\b(your|sending|source|client) (ip|ip address|host|network|mail ?server|server)\b.{0,60}?"
    r"\b(blocked|listed|banned|denied|rejected|refused|not (allowed|permitted|authori[sz]ed))|"
    r"\byour (\w+ ){0,2}?(account|user|mailbox|subscription)\b.{0,60}?"
    r"\b(suspended|disabled|blocked|locked|terminated|closed|restricted|deactivated)|"
    r"\bsending\b.{0,30}?\b(suspended|paused|disabled|blocked) for (this|your) account",
    re.IGNORECASE,
)
# Of the data it may be about a link in it.
_BLOCK_LIST = re.compile(r"block(ed|ing)? using\b", re.IGNORECASE)
# Before a recipient is named, only ours can be meant.
_ANY_ACCOUNT = re.compile(
    r"\b(account|user|service|sending|mailbox|subscription|customer)\b.{0,60}?"
    r"\b(suspended|disabled|blocked|locked|terminated|closed|restricted|deactivated|paused)|"
    r"\brelay\b|\b(ip|host|network)\b.{0,60}?\b(blocked|listed|banned)|black-?list|deny-?list",
    re.IGNORECASE,
)

_QUOTED = re.compile(
    r"\bsaid:|\bin reply to\b|\bresponse:|\bremote (host|server)\b|call-?(out|back)\b|"
    r"undeliverable address|recipient address rejected|resolver\.(rst|adr)",
    re.IGNORECASE,
)
_NO_SUCH_USER = re.compile(r"(user|mailbox|recipient|address) (is )?unknown|no such", re.IGNORECASE)


def is_about_sender(reply: Reply) -> bool:
    """Tell whether the account does not send for this sender: it is well, another may."""
    text = reply.text
    if _SENDER_CODES.match(reply.enhanced_code) or _SENDER_REJECTED.search(text):
        return True
    if _QUOTED.search(text):
        return False
    if _AUTHENTICATION.search(text) and not _NO_SUCH_USER.search(text):
        return True
    return _SENDER.search(text) is not None


def is_about_account(reply: Reply, *, is_of_data: bool = False) -> bool:
    """Tell whether the account takes no mail of ours: suspended, our address blocked, no relaying.

    To be asked after `is_about_sender`.
    """
    if _ACCOUNT_CODES.match(reply.enhanced_code):
        return True
    if _QUOTED.search(reply.text):
        return False
    is_listed = not is_of_data and _BLOCK_LIST.search(reply.text)
    return bool(is_listed or _ACCOUNT.search(reply.text))


def is_about_account_at_mail(reply: Reply) -> bool:
    """Tell the same of a reply to MAIL, where nobody else can be meant."""
    return is_about_account(reply) or _ANY_ACCOUNT.search(reply.text) is not None
