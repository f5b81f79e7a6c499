"""A decision with its explanation, as it is stored, shown and put into words."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from providers.routing.facts import Strategy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Skip(StrEnum):
    """Why an account was passed over."""

    NOT_PINNED = "another account is pinned"
    NOT_YOURS = "belongs to somebody else"
    NOT_A_TARGET = "not a target of the rule"
    INACTIVE = "switched off"
    SUPPOSED_DOWN = "supposed to be down"
    FROM_DOMAIN = "may not send for this From domain"
    UNALIGNED = "its From domains must be aligned (SPF or DKIM)"
    SIZE = "takes no mail of this size"
    ATTACHMENTS = "takes no attachments"
    RECIPIENTS = "its limit is lower than the number of recipients"
    JUST_FAILED = "just failed for this message"
    BREAKER = "circuit breaker open"
    QUOTA = "quota used up"
    PAUSED = "at its rate for now"
    THROTTLED = "slowed down for this recipient domain"


#: Reasons that pass with time or by an operator's hand.
PASSING = frozenset(
    {
        Skip.INACTIVE,
        Skip.SUPPOSED_DOWN,
        Skip.JUST_FAILED,
        Skip.BREAKER,
        Skip.QUOTA,
        Skip.PAUSED,
        Skip.THROTTLED,
    }
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One account in a decision."""

    provider_id: UUID
    name: str
    skipped: Skip | None
    #: What the strategy compared, in its own unit: price per thousand, percent, milliseconds,
    #: points or place; None where nothing was compared.
    score: float | None = None
    #: The score in words.
    note: str = ""
    #: What is missing, where the reason alone does not tell.
    detail: str = ""

    @property
    def why(self) -> str:
        """Return in words why it was passed over; empty if it was not."""
        return self.detail or (self.skipped.value if self.skipped else "")


@dataclass(frozen=True, slots=True)
class RuleRef:
    """The rule that decided."""

    rule_id: UUID
    name: str
    strategy: Strategy


@dataclass(frozen=True)
class Decision:
    """The chosen account, or None with `retry_at` for when one may be open again.

    `is_hopeless` means that waiting does not help: no account exists that may ever take the mail.
    Equal explanations are stored once, so all that stands in them must be coarse: figures are
    stepped (see `scores`), and neither times nor what is left of a quota are told.
    """

    provider_id: UUID | None
    reason: str
    #: Every account the message's owner may know of, in the order tried.
    candidates: tuple[Candidate, ...]
    retry_at: datetime | None = None
    is_hopeless: bool = False
    rule: RuleRef | None = None

    @property
    def awaited_id(self) -> UUID | None:
        """Return the chosen account, or that which would be once what closes it has passed."""
        if self.provider_id is not None:
            return self.provider_id
        # What is switched off may stay so.
        passing = PASSING - {Skip.INACTIVE}
        return next((each.provider_id for each in self.candidates if each.skipped in passing), None)

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as stored and shown."""
        rule = self.rule
        return {
            "provider": str(self.provider_id) if self.provider_id else None,
            "reason": self.reason,
            "rule": {"id": str(rule.rule_id), "name": rule.name} if rule else None,
            "strategy": rule.strategy.value if rule else None,
            "candidates": [
                {
                    "provider": str(candidate.provider_id),
                    "name": candidate.name,
                    "skipped": candidate.skipped.value if candidate.skipped else None,
                    "detail": candidate.detail,
                    "score": candidate.score,
                    "note": candidate.note,
                }
                for candidate in self.candidates
            ],
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Decision:
        """Return the decision that a stored explanation tells of, without its waiting time."""
        rule = body.get("rule")
        return cls(
            provider_id=UUID(body["provider"]) if body["provider"] else None,
            reason=body["reason"],
            candidates=tuple(
                Candidate(
                    UUID(item["provider"]),
                    item["name"],
                    Skip(item["skipped"]) if item["skipped"] else None,
                    item.get("score"),
                    item.get("note", ""),
                    item.get("detail", ""),
                )
                for item in body["candidates"]
            ),
            rule=RuleRef(UUID(rule["id"]), rule["name"], Strategy(body["strategy"]))
            if rule
            else None,
        )

    @cached_property
    def digest(self) -> UUID:
        """Return the id under which equal explanations are stored once."""
        body = orjson.dumps(self.as_json(), option=orjson.OPT_SORT_KEYS)
        return UUID(bytes=hashlib.sha256(body).digest()[:16])

    def in_words(self) -> str:
        """Return the decision in a sentence or two for people."""
        skipped = [
            f"{candidate.name} ({candidate.why})"
            for candidate in self.candidates
            if candidate.skipped not in (None, Skip.NOT_A_TARGET, Skip.NOT_PINNED)
        ]
        words = self._verdict()
        if skipped:
            words += f" Passed over: {', '.join(skipped)}."
        return words

    def _verdict(self) -> str:
        chosen = next((c for c in self.candidates if c.provider_id == self.provider_id), None)
        if chosen is None:
            return f"No account takes it now: {self.reason}."
        note = f" ({chosen.note})" if chosen.note else ""
        return f"{chosen.name} is chosen: {self.reason}{note}."
