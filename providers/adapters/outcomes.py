"""From one verdict per recipient to the one `SendResult` of a mail, the same for every adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.bounces import classify
from providers.ports import Outcome, Reason, RecipientResult, Reply, Scope, SendResult

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_REPLY = Reply()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one answer, or the lack of one, means for those it concerns."""

    outcome: Outcome
    reason: Reason = Reason.NONE
    scope: Scope = Scope.MESSAGE
    reply: Reply = NO_REPLY
    retry_after_seconds: float | None = None
    #: See `SendResult`.
    is_offered: bool = True

    def as_result(self, *, dialogue: str = "") -> SendResult:
        """Return the result of a mail whose recipients all share this verdict."""
        return SendResult(
            outcome=self.outcome,
            reason=self.reason,
            scope=self.scope,
            reply=self.reply,
            retry_after_seconds=self.retry_after_seconds,
            dialogue=dialogue,
            is_offered=self.is_offered,
        )


def combine(
    verdicts: Sequence[tuple[str, Verdict]], *, remote_id: str = "", dialogue: str = ""
) -> SendResult:
    """Return the result of a mail from its (address, verdict) pairs, at least one.

    The leading verdict, in this order, speaks for the mail: accepted, unknown, not accepted by the
    provider, not accepted for now, rejected. `recipients` names those not accepted if some were; it
    names everyone if nobody was accepted and outcomes or reasons differ, or what rejections say of
    the address; else it is empty.
    """
    lead = min((verdict for _, verdict in verdicts), key=_rank)
    if lead.outcome is Outcome.ACCEPTED:
        listed = [(a, v) for a, v in verdicts if v.outcome is not Outcome.ACCEPTED]
    elif all(_facts(v) == _facts(lead) for _, v in verdicts):
        listed = []
    else:
        listed = list(verdicts)
    return SendResult(
        outcome=lead.outcome,
        reason=lead.reason,
        scope=lead.scope,
        reply=lead.reply,
        recipients=tuple(RecipientResult(a, v.outcome, v.reason, v.reply) for a, v in listed),
        remote_id=remote_id,
        retry_after_seconds=lead.retry_after_seconds,
        dialogue=dialogue,
        is_offered=lead.is_offered,
    )


def _facts(verdict: Verdict) -> tuple[object, ...]:
    """Return what is the same of verdicts that one stands for."""
    if verdict.outcome is not Outcome.REJECTED:
        return (verdict.outcome, verdict.reason)
    reply = verdict.reply
    bounce = classify(reply.code, reply.enhanced_code, reply.text, is_permanent=True)
    return (verdict.outcome, verdict.reason, bounce.is_hard)


def _rank(verdict: Verdict) -> int:
    if verdict.outcome is Outcome.NOT_ACCEPTED:
        return 2 if verdict.scope is Scope.PROVIDER else 3
    return {Outcome.ACCEPTED: 0, Outcome.UNKNOWN: 1}.get(verdict.outcome, 4)
