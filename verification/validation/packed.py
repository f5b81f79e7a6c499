"""Results as small lists: a million of them stay small in the database.

What a code tells is not kept in words: the sentences of reasons are put back when read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from verification.validation.results import (
    MESSAGES,
    MailRouteKind,
    ProbeAnswer,
    Reason,
    ReasonCode,
    Result,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_DISPOSABLE, _ROLE, _FREE = 1, 2, 4


def pack(result: Result) -> list[Any]:
    """Return a result as a list of plain values, without the address as given."""
    flags = _DISPOSABLE * result.is_disposable + _ROLE * result.is_role + _FREE * result.is_free
    reasons = [
        each.code.value if each.message == MESSAGES[each.code] else [each.code.value, each.message]
        for each in result.reasons
    ]
    return [
        result.verdict.value,
        result.normalized,
        result.route.value,
        flags,
        reasons,
        result.suggestion,
        result.probe.value,
        "" if result.duplicate_key == result.normalized else result.duplicate_key,
    ]


def unpack(email: str, packed: Sequence[Any]) -> Result:
    """Return the result of `email` that `pack` made small."""
    verdict, normalized, route, flags, reasons, suggestion, probe, duplicate_key = packed
    return Result(
        email=email,
        normalized=normalized,
        verdict=Verdict(verdict),
        reasons=tuple(_reason(each) for each in reasons),
        route=MailRouteKind(route),
        is_disposable=bool(flags & _DISPOSABLE),
        is_role=bool(flags & _ROLE),
        is_free=bool(flags & _FREE),
        suggestion=suggestion,
        probe=ProbeAnswer(probe),
        duplicate_key=duplicate_key or normalized,
    )


def _reason(packed: str | list[str]) -> Reason:
    if isinstance(packed, str):
        code = ReasonCode(packed)
        return Reason(code, MESSAGES[code])
    return Reason(ReasonCode(packed[0]), packed[1])
