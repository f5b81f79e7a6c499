"""What an answer, or the lack of one, means for the mail: the table of all HTTP providers."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING

from providers.adapters.esp.answers import named_in
from providers.adapters.esp.kinds import Meaning, Repeat
from providers.adapters.outcomes import Verdict
from providers.ports import Outcome, Reason, Reply, Scope

if TYPE_CHECKING:
    from collections.abc import Collection

    from providers.adapters.esp.answers import Answer
    from providers.adapters.esp.kinds import EspKind


class Stage(IntEnum):
    """How far a request came."""

    #: Nothing of its body has left us.
    UNSENT = 0
    #: Part of its body is with the kernel: a server cannot act on a request cut short.
    SENDING = 1
    #: The kernel took all of it: the provider may have the mail.
    SENT = 2


#: Statuses of a gateway that does not know what became of the request behind it.
_IN_DOUBT = frozenset({502, 504})
_CREDENTIALS, _ALLOWANCE, _TOO_LARGE = frozenset({401, 403}), frozenset({402, 420, 429}), 413
_CONFLICT = 409
_CONTENT = frozenset({400, 406, 415, 422})

#: With it, and status 200, Mailgun answers at any address that is no call of its API.
_GREETING = "Mailgun Magnificent API"

# Read only where the status leaves the meaning open; each phrase is one that a provider uses.
_ALLOWANCE_WORDS = re.compile(
    r"too many requests|rate.?limit|throttl|quota|credits? (?:exceeded|exhausted)|not.enough.credit"
    r"|insufficient credit|payment required|(?:sending|daily|hourly|monthly) limit",
    re.IGNORECASE,
)
_SENDER_WORDS = re.compile(
    r"(?:sender|from|domain|identit(?:y|ies))\b.{0,80}?"
    r"(?:not (?:\w+ )?(?:verified|validated|allowed|authori[sz]ed|confirmed|found|match)"
    r"|unverified|does not match|must be verified|isn't verified|unconfigured|unauthenticated)"
    r"|unconfigured sending domain|email address is not verified"
    r"|did not have authority to send from",
    re.IGNORECASE | re.DOTALL,
)
_RECIPIENT_WORDS = re.compile(
    r"(?:^|[\s'\"(.])(?:to|cc|bcc)(?:['\"\[]|\.\d|\s+(?:address|parameter|field|email)\b)"
    r"|recipients?\b.{0,60}?(?:invalid|not valid|inactive|suppressed|unsubscribed|malformed)"
    r"|invalid.{0,20}?recipient",
    re.IGNORECASE | re.DOTALL,
)
# Whose address is meant, these leave open.
_ADDRESS_WORDS = re.compile(
    r"invalid (?:e-?mail|address)|is an invalid e-?mail"
    r"|(?:e-?mail|address).{0,40}?(?:is invalid|not (?:a )?valid|not exist)",
    re.IGNORECASE | re.DOTALL,
)
_OUR_ADDRESS_WORDS = re.compile(r"\bfrom\b|sender|reply.?to|return.?path", re.IGNORECASE)

_VERDICTS = {
    Meaning.CREDENTIALS: (Outcome.NOT_ACCEPTED, Reason.AUTHENTICATION, Scope.PROVIDER),
    Meaning.ALLOWANCE: (Outcome.NOT_ACCEPTED, Reason.THROTTLED, Scope.PROVIDER),
    Meaning.SENDER: (Outcome.NOT_ACCEPTED, Reason.CONTENT, Scope.PROVIDER),
    Meaning.RECIPIENT: (Outcome.REJECTED, Reason.BAD_RECIPIENT, Scope.MESSAGE),
    Meaning.CONTENT: (Outcome.REJECTED, Reason.CONTENT, Scope.MESSAGE),
    Meaning.TROUBLE: (Outcome.NOT_ACCEPTED, Reason.CONNECTION, Scope.PROVIDER),
}


def meaning_of(answer: Answer, kind: EspKind) -> Meaning | None:
    """Return what an error answer speaks of; None if it leaves in doubt whether mail was taken."""
    for code in answer.codes:
        known = kind.codes.get(code)
        if known is not None:
            return Meaning.SENDER if _is_about_sender(known, answer) else known
    if _is_in_doubt(answer, kind):
        return None
    status = answer.status
    if _ALLOWANCE_WORDS.search(answer.text) or status in _ALLOWANCE:
        return Meaning.ALLOWANCE
    if status in _CREDENTIALS or status in _CONTENT:
        return _worded(answer)
    # Redirects, unknown paths and methods say that the API is elsewhere.
    return Meaning.CONTENT if status == _TOO_LARGE else Meaning.TROUBLE


def _is_in_doubt(answer: Answer, kind: EspKind) -> bool:
    status = answer.status
    if status == _CONFLICT:
        # An earlier try with this key is under way or done.
        return kind.capabilities.repeat is not Repeat.NONE
    is_success = status // 100 in {1, 2} and _GREETING not in answer.text
    return is_success or status in _IN_DOUBT


def _worded(answer: Answer) -> Meaning:
    if _SENDER_WORDS.search(answer.text):
        return Meaning.SENDER
    if answer.status in _CREDENTIALS:
        return Meaning.CREDENTIALS
    text = answer.text
    is_about_theirs = _ADDRESS_WORDS.search(text) and not _OUR_ADDRESS_WORDS.search(text)
    is_recipient = _RECIPIENT_WORDS.search(text) or is_about_theirs
    return Meaning.RECIPIENT if is_recipient else Meaning.CONTENT


def _is_about_sender(known: Meaning, answer: Answer) -> bool:
    return known is Meaning.CONTENT and bool(_SENDER_WORDS.search(answer.text))


def verdict_on(answer: Answer, kind: EspKind) -> Verdict:
    """Return what an error answer means for the mail."""
    meaning = meaning_of(answer, kind)
    reply = Reply(answer.status, text=answer.text)
    if meaning is None:
        return Verdict(Outcome.UNKNOWN, Reason.LOST_AFTER_DATA, reply=reply)
    outcome, reason, scope = _VERDICTS[meaning]
    return Verdict(outcome, reason, scope, reply, answer.retry_after_seconds)


def refusal_of(answer: Answer, kind: EspKind) -> Verdict:
    """Return what an error answer to a harmless question means for the account."""
    meaning = meaning_of(answer, kind)
    known = meaning if meaning in {Meaning.CREDENTIALS, Meaning.ALLOWANCE} else Meaning.TROUBLE
    outcome, reason, scope = _VERDICTS[known]
    reply = Reply(answer.status, text=answer.text)
    return Verdict(outcome, reason, scope, reply, answer.retry_after_seconds)


def verdicts_on(
    answer: Answer, kind: EspKind, recipients: Collection[str]
) -> list[tuple[str, Verdict]]:
    """Return what an error answer means for each recipient of the call.

    Most APIs refuse a whole call for one bad address. Those that the answer names are rejected and
    the others put off, to be sent without them; if it names none, nobody's address is to blame.
    """
    verdict = verdict_on(answer, kind)
    if verdict.reason is not Reason.BAD_RECIPIENT or len(recipients) == 1:
        return [(address, verdict) for address in recipients]
    named = named_in(answer.text, recipients)
    reason = Reason.OTHER if named else Reason.CONTENT
    outcome = Outcome.NOT_ACCEPTED if named else Outcome.REJECTED
    others = Verdict(outcome, reason, reply=verdict.reply)
    return [(address, verdict if address in named else others) for address in recipients]


def without_answer(stage: Stage, text: str) -> Verdict:
    """Return what it means that no answer came."""
    if stage is Stage.SENT:
        return Verdict(Outcome.UNKNOWN, Reason.LOST_AFTER_DATA, reply=Reply(text=text))
    return Verdict(
        Outcome.NOT_ACCEPTED,
        Reason.CONNECTION,
        Scope.PROVIDER,
        Reply(text=text),
        is_offered=stage is not Stage.UNSENT,
    )


def of_status(status: str | None, answer: Answer, kind: EspKind) -> Verdict:
    """Return what anymail's status of one recipient means."""
    is_refused = answer.status >= 400  # noqa: PLR2004 - client and server errors
    if status == "failed" and is_refused:
        return verdict_on(answer, kind)
    if status in _STATUSES and status not in kind.vague_statuses:
        outcome, reason, words = _STATUSES[status]
    elif is_refused:
        # The call was refused for others' sake.
        outcome, reason, words = Outcome.NOT_ACCEPTED, Reason.OTHER, ""
    else:
        outcome, reason = Outcome.UNKNOWN, Reason.LOST_AFTER_DATA
        words = "the provider did not say what became of it"
    return Verdict(outcome, reason, reply=Reply(answer.status, text=answer.text or words))


_STATUSES = {
    "sent": (Outcome.ACCEPTED, Reason.NONE, ""),
    "queued": (Outcome.ACCEPTED, Reason.NONE, ""),
    "invalid": (Outcome.REJECTED, Reason.BAD_RECIPIENT, "the provider calls the address invalid"),
    "rejected": (Outcome.REJECTED, Reason.BAD_RECIPIENT, "the provider does not send to it"),
    "failed": (Outcome.NOT_ACCEPTED, Reason.OTHER, "the provider could not take it"),
}
