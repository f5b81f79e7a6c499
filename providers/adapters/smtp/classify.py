"""What a reply, or its absence, means: pure functions from (stage, reply) to a verdict.

Sources: reply codes RFC 5321 §4.2 and §4.3.2, enhanced codes RFC 3463 and its registry, login
RFC 4954 §6, greylisting RFC 6647. An enhanced code outweighs the basic one, and a basic one
outweighs the wording, except where servers are known to say the decisive thing in words only.
"""

from __future__ import annotations

import re
from enum import StrEnum

from providers.adapters.outcomes import Verdict
from providers.adapters.smtp.refusals import (
    is_about_account,
    is_about_account_at_mail,
    is_about_sender,
)
from providers.ports import Outcome, Reason, Reply, Scope


class Stage(StrEnum):
    """Where in the conversation a reply was given."""

    #: The greeting, EHLO, HELO and STARTTLS.
    CONNECT = "connect"
    #: Any step of the login.
    AUTH = "auth"
    #: MAIL FROM.
    MAIL = "mail"
    #: RCPT TO.
    RCPT = "rcpt"
    #: The DATA command or the data after its final dot.
    DATA = "data"


ACCEPTED = Verdict(Outcome.ACCEPTED)
MAX_RETRY_AFTER_SECONDS = 86_400.0

_SHUTTING_DOWN = 421
_LOGIN_CODES = frozenset({530, 534, 535, 538})
_LOGIN_ENHANCED = frozenset({"5.7.8", "5.7.9", "5.7.11", "5.7.57"})
#: Command unknown or out of order: the two ends disagree on where the conversation stands.
_CONFUSED_CODES = frozenset({500, 502, 503})
_MEANINGFUL_SUBJECTS = frozenset({"5.1", "5.2", "5.6", "5.7"})

_EXACT = {
    "5.2.3": Reason.CONTENT,  # longer than the mailbox allows
    "5.3.4": Reason.CONTENT,  # longer than the system allows
    "5.4.1": Reason.BAD_RECIPIENT,  # Exchange Online: "Recipient address rejected: Access denied"
    "5.4.4": Reason.BAD_RECIPIENT,  # the domain takes no mail
}
_BY_SUBJECT = {
    "5.1": Reason.BAD_RECIPIENT,
    "5.2": Reason.MAILBOX,
    "5.6": Reason.CONTENT,
    "5.7": Reason.CONTENT,
}
#: At RCPT, without a telling enhanced code.
_BY_CODE = {
    501: Reason.BAD_RECIPIENT,
    521: Reason.BAD_RECIPIENT,  # RFC 7504
    550: Reason.BAD_RECIPIENT,
    551: Reason.BAD_RECIPIENT,
    552: Reason.MAILBOX,
    553: Reason.BAD_RECIPIENT,
    554: Reason.CONTENT,
    556: Reason.BAD_RECIPIENT,  # RFC 7504: the domain takes no mail
}

_GREYLISTED = re.compile(r"gr[ea]y-?\s?list", re.IGNORECASE)
_AGAIN_LATER = re.compile(
    r"try again (later|in)\b|come back (again )?(later|in)\b|retry (later|in)\b", re.IGNORECASE
)
_RATE = re.compile(
    r"too (many|much|fast|quickly)|\brate\b|throttl|slow down|limit|excessive|unexpected volume",
    re.IGNORECASE,
)
_MAILBOX_FULL = re.compile(r"mailbox.{0,40}\bfull|over ?quota|quota exceeded", re.IGNORECASE)
# Some receivers limit what one mailbox takes: nothing to do with the rest of its domain.
_ONE_MAILBOX = re.compile(
    r"(user|recipient|mailbox|account)\b.{0,40}\breceiving (mail|messages|too)", re.IGNORECASE
)
_SPEED = re.compile(r"too (many|much|fast|quickly)|\brate\b|throttl|slow down", re.IGNORECASE)
_TOO_MANY_RECIPIENTS = re.compile(r"too many recipients", re.IGNORECASE)
#: How large receivers mark that they take no more from us for now: Gmail 4.7.28, Exchange Online
#: 4.7.5xx and 4.7.6xx, Outlook.com RP-001, Yahoo [TSS04] and [TS01], Comcast RL000001.
_RECEIVER_CODE = re.compile(r"4\.7\.(28|5\d\d|6\d\d)\Z")
_RECEIVER_MARK = re.compile(r"\bRP-00\d\b|\bTSS?0\d\b|\bRL0000\d\d\b")
# Postfix, when a client of its own is too quick: the account, whoever the mail is for.
_CLIENT_TOO_FAST = re.compile(
    r"too (much mail|many (recipients|messages|connections)) from\b", re.IGNORECASE
)
_PER_CONNECTION = re.compile(r"(this|per|single) (connection|session)", re.IGNORECASE)
_LEAVING = re.compile(r"shutting down|time-?d? ?out|timeout|idle|not available", re.IGNORECASE)
_ACCOUNT_QUOTA = re.compile(
    r"(sending|send) (quota|limit|rate)|(daily|hourly|monthly)\b.{0,30}\b(quota|limit)|"
    r"(max(imum)?|allowed) (e-?mails|messages) per (hour|day|minute)",
    re.IGNORECASE,
)
_LOGIN_DEMAND = re.compile(
    r"authentication (is )?required|not authenticated|auth(enticate|entication)? first|need auth|"
    r"must (first )?(authenticate|log ?in)|requires? authentication",
    re.IGNORECASE,
)
_SENDER_POLICY = re.compile(r"spf|dkim|dmarc", re.IGNORECASE)
_POLICY = re.compile(
    r"block|black-?list|deny-?list|spam|polic|reputation|relay|dnsbl|rbl\b|access denied|"
    r"spf|dkim|dmarc|listed|banned|not (allowed|permitted|authorized)",
    re.IGNORECASE,
)
_NO_SUCH_USER = re.compile(
    r"(no such|unknown|invalid|non-?existent|unrouteable) (\w+ )?"
    r"(user|recipient|mailbox|address|account|local part)|(user|recipient|mailbox|account|address)"
    r"\b.{0,60}(unknown|not found|unavailable|does ?n[o']t exist|does not exist|not exist)",
    re.IGNORECASE,
)
_WAIT = re.compile(
    r"\b(?:in|for|after|wait|another)\s+(?:(\d{1,2}):(\d\d):(\d\d)|(\d{1,6})\s*(s|m|h)"
    r"(?:ec(?:ond)?s?|in(?:ute)?s?|ours?|r?s?)?\b)",
    re.IGNORECASE,
)
_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def classify(stage: Stage, reply: Reply) -> Verdict:
    """Return what `reply`, given at `stage`, means for the recipients it concerns."""
    if reply.code == _SHUTTING_DOWN:
        return _closing(stage, reply)
    if stage in (Stage.CONNECT, Stage.AUTH):
        return _not_ready(stage, reply)
    kind = reply.code // 100
    if kind == 2:  # noqa: PLR2004 - reply classes
        return ACCEPTED
    if kind == 4:  # noqa: PLR2004 - reply classes
        return _temporary(stage, reply)
    if kind == 5:  # noqa: PLR2004 - reply classes
        return _permanent(stage, reply)
    return _provider(Reason.CONNECTION, reply)


def without_verdict(text: str, *, is_handed_over: bool) -> Verdict:
    """Return what the end of the connection means.

    `is_handed_over` is true once the kernel took the line that ends the data: from there on the
    server may have taken the mail, before that it cannot have.
    """
    reply = Reply(text=text)
    if is_handed_over:
        return Verdict(Outcome.UNKNOWN, Reason.LOST_AFTER_DATA, reply=reply)
    return _provider(Reason.CONNECTION, reply)


def is_worn_connection(reply: Reply) -> bool:
    """Return whether a 421 ends this connection only: idle too long, enough mail, a restart.

    A 421 that complains of our speed is not one: opening the next connection would ignore it.
    """
    return reply.code == _SHUTTING_DOWN and _closing(Stage.MAIL, reply).reason is Reason.CONNECTION


def retry_after_seconds(text: str) -> float | None:
    """Return the wait a reply asks for (`in 5 minutes`, `for 300 s`, `in 00:05:00`), at most a day.

    None if it names none.
    """
    match = _WAIT.search(text)
    if match is None:
        return None
    hours, minutes, seconds, amount, unit = match.groups()
    if amount is None:
        wait = int(hours) * 3600.0 + int(minutes) * 60.0 + int(seconds)
    else:
        wait = int(amount) * _UNIT_SECONDS[unit.lower()]
    return min(wait, MAX_RETRY_AFTER_SECONDS)


def _provider(reason: Reason, reply: Reply) -> Verdict:
    wait = retry_after_seconds(reply.text)
    return Verdict(Outcome.NOT_ACCEPTED, reason, Scope.PROVIDER, reply, wait)


def _deferred(reason: Reason, reply: Reply) -> Verdict:
    wait = retry_after_seconds(reply.text)
    return Verdict(Outcome.NOT_ACCEPTED, reason, Scope.MESSAGE, reply, wait)


def _rejected(reason: Reason, reply: Reply) -> Verdict:
    return Verdict(Outcome.REJECTED, reason, reply=reply)


def _closing(stage: Stage, reply: Reply) -> Verdict:
    """421 may answer any command (RFC 5321 §3.8); it says 'slow down' unless it says 'goodbye'.

    Whom it wants slower is the account, but for a receiver's own words about a recipient.
    """
    if stage in (Stage.RCPT, Stage.DATA) and _is_receivers_limit(reply):
        return _deferred(Reason.THROTTLED, reply)
    if reply.enhanced_code.startswith("4.7."):
        reason = Reason.THROTTLED
    elif _PER_CONNECTION.search(reply.text):
        reason = Reason.CONNECTION
    elif _RATE.search(reply.text):
        reason = Reason.CONNECTION if _LEAVING.search(reply.text) else Reason.THROTTLED
    elif reply.enhanced_code.startswith("4.4.") or _LEAVING.search(reply.text):
        reason = Reason.CONNECTION
    else:
        reason = Reason.THROTTLED
    return _provider(reason, reply)


def _is_receivers_limit(reply: Reply) -> bool:
    is_marked = _RECEIVER_MARK.search(reply.text) is not None
    return is_marked or _RECEIVER_CODE.match(reply.enhanced_code) is not None


def _not_ready(stage: Stage, reply: Reply) -> Verdict:
    """Before the first mail everything concerns the account (554 greeting: RFC 5321 §3.1)."""
    is_permanent = reply.code >= 500  # noqa: PLR2004 - reply classes
    if is_permanent and (stage is Stage.AUTH or reply.code in _LOGIN_CODES):
        return _provider(Reason.AUTHENTICATION, reply)
    if _RATE.search(reply.text):
        return _provider(Reason.THROTTLED, reply)
    return _provider(Reason.CONNECTION, reply)


def _temporary(stage: Stage, reply: Reply) -> Verdict:
    if reply.code == 454:  # noqa: PLR2004 - reply classes
        return _provider(Reason.CONNECTION, reply)
    reason = _temporary_reason(reply)
    concerns_account = reason is Reason.THROTTLED or reply.enhanced_code.startswith("4.3.")
    is_client_limit = reason is Reason.THROTTLED and _CLIENT_TOO_FAST.search(reply.text)
    if is_client_limit or (stage is Stage.MAIL and concerns_account):
        return _provider(reason, reply)
    return _deferred(reason, reply)


def _temporary_reason(reply: Reply) -> Reason:
    text, enhanced = reply.text, reply.enhanced_code
    may_be_greylisting = reply.code in (450, 451)
    is_again_later = not enhanced and _AGAIN_LATER.search(text) is not None
    if _GREYLISTED.search(text):  # Postgrey says 4.2.0 with it
        return Reason.GREYLISTED
    is_full = not enhanced and _MAILBOX_FULL.search(text)
    if is_full or enhanced.startswith("4.2.") or _ONE_MAILBOX.search(text):
        return _temporary_reason_of_mailbox(reply)
    if _is_too_many_at_once(reply):  # the rest come with the next attempt
        return Reason.OTHER
    if _RATE.search(text) or _is_receivers_limit(reply):
        return Reason.THROTTLED
    if may_be_greylisting and (enhanced == "4.7.1" or is_again_later):
        return Reason.GREYLISTED
    return Reason.OTHER


def _temporary_reason_of_mailbox(reply: Reply) -> Reason:
    """4.2.1 also stands for "too fast", and then mostly speaks of the whole domain."""
    is_speed = reply.enhanced_code in ("4.2.0", "4.2.1") and _SPEED.search(reply.text)
    is_one = _ONE_MAILBOX.search(reply.text) is not None
    return Reason.THROTTLED if is_speed and not is_one else Reason.MAILBOX


def _is_too_many_at_once(reply: Reply) -> bool:
    if reply.enhanced_code == "4.5.3":
        return True
    is_worded = _TOO_MANY_RECIPIENTS.search(reply.text) is not None
    return is_worded and not _CLIENT_TOO_FAST.search(reply.text)


def _permanent(stage: Stage, reply: Reply) -> Verdict:
    fault = _fault(stage, reply)
    if fault is not None:
        return _provider(fault, reply)
    if stage is Stage.MAIL:
        return _refused_at_mail(reply)
    if stage is Stage.RCPT and _is_too_many_for_good(reply):
        return _deferred(Reason.OTHER, reply)
    if is_about_sender(reply):
        return _provider(Reason.CONTENT, reply)
    if is_about_account(reply, is_of_data=stage is Stage.DATA):
        return _provider(Reason.OTHER, reply)
    reason = _reason_at_rcpt(reply) if stage is Stage.RCPT else _reason_at_data(reply)
    return _rejected(reason, reply)


def _fault(stage: Stage, reply: Reply) -> Reason | None:
    """Return what the account lacks or wants, if it says so plainly."""
    if _is_login_demand(stage, reply):
        return Reason.AUTHENTICATION
    if reply.enhanced_code == "5.4.5" or _ACCOUNT_QUOTA.search(reply.text):
        return Reason.THROTTLED
    if reply.code in _CONFUSED_CODES and reply.enhanced_code[:3] not in _MEANINGFUL_SUBJECTS:
        return Reason.CONNECTION
    return None


def _is_too_many_for_good(reply: Reply) -> bool:
    """RFC 5321 §4.5.3.1.10: treat 552 as 452."""
    return reply.enhanced_code == "5.5.3" or "too many recipients" in reply.text.lower()


def _is_login_demand(stage: Stage, reply: Reply) -> bool:
    if reply.code in _LOGIN_CODES or reply.enhanced_code in _LOGIN_ENHANCED:
        return True
    if stage is not Stage.MAIL or _SENDER_POLICY.search(reply.text):
        return False
    return _LOGIN_DEMAND.search(reply.text) is not None


def _refused_at_mail(reply: Reply) -> Verdict:
    """Never the recipient's fault: none has been named yet, so another account may take the mail.

    In doubt it speaks of the sender: an account whose breaker opened for one bad sender would be
    lost to all others.
    """
    if reply.code == 552 or reply.enhanced_code == "5.3.4":  # noqa: PLR2004 - reply codes
        return _rejected(Reason.CONTENT, reply)
    is_sender = is_about_sender(reply) or not is_about_account_at_mail(reply)
    return _provider(Reason.CONTENT if is_sender else Reason.OTHER, reply)


def _reason_at_rcpt(reply: Reply) -> Reason:
    enhanced, subject = reply.enhanced_code, reply.enhanced_code[:3]
    if enhanced in _EXACT:
        return _EXACT[enhanced]
    if subject in _BY_SUBJECT:
        return _BY_SUBJECT[subject]
    if subject in ("5.3", "5.4", "5.5"):
        return Reason.BAD_RECIPIENT if _NO_SUCH_USER.search(reply.text) else Reason.OTHER
    by_code = _BY_CODE.get(reply.code, Reason.OTHER)
    if by_code is Reason.BAD_RECIPIENT and _POLICY.search(reply.text):
        return Reason.CONTENT  # "550 blocked using zen.example": the mailbox may well exist
    return by_code


def _reason_at_data(reply: Reply) -> Reason:
    enhanced, subject = reply.enhanced_code, reply.enhanced_code[:3]
    if subject in ("5.1", "5.2"):
        return _EXACT.get(enhanced, _BY_SUBJECT[subject])
    return Reason.CONTENT
