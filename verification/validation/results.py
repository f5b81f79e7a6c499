"""The words in which an answer about an address is given."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What to do with an address."""

    #: Nothing speaks against it.
    VALID = "valid"
    #: Mail may arrive, and there is a reason to look twice.
    RISKY = "risky"
    #: Mail cannot arrive.
    INVALID = "invalid"
    #: The domain could not be looked up; nothing else speaks against it.
    UNKNOWN = "unknown"


class MailRouteKind(StrEnum):
    """Where a domain takes its mail (RFC 5321 §5.1)."""

    #: At the hosts of its MX records.
    MX = "mx"
    #: It has no MX record; its own address stands in (the implicit MX).
    ADDRESS = "address"
    #: It says that it takes none (RFC 7505).
    NULL_MX = "null"
    #: It exists and has neither.
    NOWHERE = "none"
    #: It does not exist (NXDOMAIN).
    NO_DOMAIN = "no_domain"
    #: No answer, in time or at all.
    UNKNOWN = "unknown"
    #: Nobody asked: the syntax is wrong already.
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True)
class MailRoute:
    """Where a domain takes its mail; `hosts` by preference, best first."""

    kind: MailRouteKind
    hosts: tuple[str, ...] = ()


NOT_CHECKED = MailRoute(MailRouteKind.NOT_CHECKED)
UNKNOWN_ROUTE = MailRoute(MailRouteKind.UNKNOWN)


class ProbeAnswer(StrEnum):
    """What the domain's mail server said about the mailbox."""

    #: Not asked: the usual case.
    NOT_CHECKED = "not_checked"
    #: It takes mail for this mailbox, and refuses it for one that cannot exist.
    ACCEPTED = "accepted"
    #: There is no such mailbox.
    REJECTED = "rejected"
    #: It takes mail for any mailbox, so its answer says nothing.
    CATCH_ALL = "catch_all"
    #: No clear answer: greylisting, a block, a rate limit, silence.
    UNKNOWN = "unknown"


class ReasonCode(StrEnum):
    """Why a verdict is not `valid`."""

    SYNTAX = "syntax"
    NO_DOMAIN = "no_domain"
    NULL_MX = "null_mx"
    NO_MAIL_HOST = "no_mail_host"
    MAILBOX_REFUSED = "mailbox_refused"
    DISPOSABLE = "disposable"
    ROLE = "role"
    TYPO = "typo"
    SPECIAL_USE = "special_use"
    NO_MX = "no_mx"
    CATCH_ALL = "catch_all"
    DNS_UNKNOWN = "dns_unknown"
    NOT_CHECKED = "not_checked"


MESSAGES = {
    ReasonCode.SYNTAX: "This is no e-mail address.",
    ReasonCode.NO_DOMAIN: "The domain does not exist.",
    ReasonCode.NULL_MX: "The domain says that it takes no mail (null MX).",
    ReasonCode.NO_MAIL_HOST: "The domain has neither a mail server nor an address.",
    ReasonCode.MAILBOX_REFUSED: "The domain's mail server says that there is no such mailbox.",
    ReasonCode.DISPOSABLE: "The domain gives out addresses to be thrown away.",
    ReasonCode.ROLE: "The address stands for a function, not for a person.",
    ReasonCode.TYPO: "The domain looks like a misspelling of a large provider's.",
    ReasonCode.SPECIAL_USE: "The domain is reserved for private use, tests or examples.",
    ReasonCode.NO_MX: "The domain names no mail server; mail would go to its own address.",
    ReasonCode.CATCH_ALL: "The domain takes mail for any mailbox, whether it exists or not.",
    ReasonCode.DNS_UNKNOWN: "The domain could not be looked up.",
    ReasonCode.NOT_CHECKED: "The address could not be checked.",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a verdict, in a stable code and in a sentence."""

    code: ReasonCode
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """The answer about one address."""

    #: As given, cut to a readable length.
    email: str
    #: The form to send to, empty if there is none.
    normalized: str
    verdict: Verdict
    reasons: tuple[Reason, ...]
    route: MailRouteKind
    is_disposable: bool = False
    is_role: bool = False
    is_free: bool = False
    #: The address that was probably meant, empty if none suggests itself.
    suggestion: str = ""
    probe: ProbeAnswer = ProbeAnswer.NOT_CHECKED
    #: The same for addresses that reach the same mailbox; a hint, never to be sent to.
    duplicate_key: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the answer as the API gives it; flags are null where nothing was looked at."""
        is_address = bool(self.normalized)
        return {
            "email": self.email,
            "normalized": self.normalized or None,
            "verdict": self.verdict.value,
            "checks": {
                "syntax": "valid" if is_address else "invalid",
                "domain": _DOMAIN.get(self.route, "exists"),
                "mx": _MX.get(self.route, self.route.value),
                "disposable": self.is_disposable if is_address else None,
                "role": self.is_role if is_address else None,
                "free": self.is_free if is_address else None,
                "suggestion": bool(self.suggestion) if is_address else None,
                "smtp": self.probe.value,
            },
            "reasons": [
                {"code": each.code.value, "message": each.message} for each in self.reasons
            ],
            "suggestion": self.suggestion or None,
            "duplicate_key": self.duplicate_key or None,
        }


_DOMAIN = {
    MailRouteKind.NO_DOMAIN: "missing",
    MailRouteKind.UNKNOWN: "unknown",
    MailRouteKind.NOT_CHECKED: "not_checked",
}
_MX = {MailRouteKind.NO_DOMAIN: "none"}
