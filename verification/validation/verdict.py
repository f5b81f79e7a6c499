"""From what is known of an address to a verdict with its reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verification.validation.results import (
    MESSAGES,
    NOT_CHECKED,
    MailRoute,
    MailRouteKind,
    ProbeAnswer,
    Reason,
    ReasonCode,
    Result,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verification.validation.examine import Examined

__all__ = ["Verdict", "judge", "unchecked"]

_STOCK = {code: Reason(code, message) for code, message in MESSAGES.items()}

_WEIGHT = {
    ReasonCode.SYNTAX: Verdict.INVALID,
    ReasonCode.NO_DOMAIN: Verdict.INVALID,
    ReasonCode.NULL_MX: Verdict.INVALID,
    ReasonCode.NO_MAIL_HOST: Verdict.INVALID,
    ReasonCode.MAILBOX_REFUSED: Verdict.INVALID,
    ReasonCode.DNS_UNKNOWN: Verdict.UNKNOWN,
    ReasonCode.NOT_CHECKED: Verdict.UNKNOWN,
}
#: The gravest of the reasons decides. A domain that nobody could look up stays risky if it is.
_GRAVITY = (Verdict.INVALID, Verdict.RISKY, Verdict.UNKNOWN)

_OF_ROUTE = {
    MailRouteKind.NO_DOMAIN: ReasonCode.NO_DOMAIN,
    MailRouteKind.NULL_MX: ReasonCode.NULL_MX,
    MailRouteKind.NOWHERE: ReasonCode.NO_MAIL_HOST,
    MailRouteKind.ADDRESS: ReasonCode.NO_MX,
    MailRouteKind.UNKNOWN: ReasonCode.DNS_UNKNOWN,
    MailRouteKind.NOT_CHECKED: ReasonCode.DNS_UNKNOWN,
}
_OF_PROBE = {
    ProbeAnswer.REJECTED: ReasonCode.MAILBOX_REFUSED,
    ProbeAnswer.CATCH_ALL: ReasonCode.CATCH_ALL,
}


def judge(
    examined: Examined, route: MailRoute, probe: ProbeAnswer = ProbeAnswer.NOT_CHECKED
) -> Result:
    """Return the verdict on an examined address whose domain takes its mail by `route`."""
    if not examined.normalized:
        return _no_address(examined)
    reasons = tuple(_STOCK[code] for code in _codes(examined, route, probe))
    return Result(
        email=examined.email,
        normalized=examined.normalized,
        verdict=_gravest(reasons) if reasons else Verdict.VALID,
        reasons=reasons,
        route=route.kind,
        is_disposable=examined.is_disposable,
        is_role=examined.is_role,
        is_free=examined.is_free,
        suggestion=examined.suggestion,
        probe=probe,
        duplicate_key=examined.duplicate_key,
    )


def unchecked(email: str) -> Result:
    """Return the answer about an address that could not be looked at at all."""
    reason = _STOCK[ReasonCode.NOT_CHECKED]
    return Result(email, "", Verdict.UNKNOWN, (reason,), MailRouteKind.NOT_CHECKED)


def _no_address(examined: Examined) -> Result:
    reason = Reason(ReasonCode.SYNTAX, examined.fault)
    return Result(examined.email, "", Verdict.INVALID, (reason,), NOT_CHECKED.kind)


def _codes(examined: Examined, route: MailRoute, probe: ProbeAnswer) -> Iterator[ReasonCode]:
    if route.kind in _OF_ROUTE:
        yield _OF_ROUTE[route.kind]
    if probe in _OF_PROBE:
        yield _OF_PROBE[probe]
    if examined.is_disposable:
        yield ReasonCode.DISPOSABLE
    if examined.suggestion:
        yield ReasonCode.TYPO
    if examined.is_role:
        yield ReasonCode.ROLE
    if examined.is_special_use:
        yield ReasonCode.SPECIAL_USE


def _gravest(reasons: tuple[Reason, ...]) -> Verdict:
    weights = {_WEIGHT.get(reason.code, Verdict.RISKY) for reason in reasons}
    return next(verdict for verdict in _GRAVITY if verdict in weights)
