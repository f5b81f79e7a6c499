"""The choice of a provider for one message: a pure function of facts and a snapshot.

`choose` explains itself: the decision names every account that was looked at and why it was passed
over, so that a message's page and `routing/explain` can answer "why that one?".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """What the choice may depend on."""

    owner_id: UUID
    email_type: str
    from_email: str
    #: The account the sender asked for, if any: no other is then used.
    pinned_provider_id: UUID | None = None
    #: Accounts that just refused this message for their own reasons.
    excluded: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class ProviderState:
    """One account as the choice sees it."""

    provider_id: UUID
    name: str
    owner_id: UUID | None
    is_active: bool
    from_email: str
    position: int
    #: Mails the quotas still allow; None without limits.
    remaining: int | None
    #: When an exhausted quota opens again.
    resets_at: datetime | None = None
    #: The account wants to be left alone until then (connection refused, 421, 429).
    paused_until: datetime | None = None


class Skip(StrEnum):
    """Why an account was passed over."""

    NOT_PINNED = "another account is pinned"
    NOT_YOURS = "belongs to somebody else"
    INACTIVE = "switched off"
    JUST_FAILED = "just failed for this message"
    QUOTA = "quota used up"
    PAUSED = "paused after a failure"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One account in a decision."""

    provider_id: UUID
    name: str
    skipped: Skip | None


@dataclass(frozen=True)
class Decision:
    """The chosen account, or None with `retry_at` for when one may be open again.

    `is_hopeless` means that waiting does not help: no account exists that may ever take the mail.
    """

    provider_id: UUID | None
    reason: str
    candidates: tuple[Candidate, ...]
    retry_at: datetime | None = None
    is_hopeless: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as stored and shown."""
        return {
            "provider": str(self.provider_id) if self.provider_id else None,
            "reason": self.reason,
            "candidates": [
                {
                    "provider": str(candidate.provider_id),
                    "name": candidate.name,
                    "skipped": candidate.skipped.value if candidate.skipped else None,
                }
                for candidate in self.candidates
            ],
        }

    @cached_property
    def digest(self) -> UUID:
        """Return the id under which equal explanations are stored once."""
        body = orjson.dumps(self.as_json(), option=orjson.OPT_SORT_KEYS)
        return UUID(bytes=hashlib.sha256(body).digest()[:16])


@dataclass(frozen=True)
class Snapshot:
    """All accounts at one moment, in the order in which they are tried."""

    taken_at: datetime
    providers: Sequence[ProviderState]
    _decisions: dict[MessageFacts, Decision] = field(
        default_factory=dict, repr=False, compare=False
    )

    @cached_property
    def by_id(self) -> Mapping[UUID, ProviderState]:
        """Return the accounts by their ids."""
        return {state.provider_id: state for state in self.providers}

    def decide(self, facts: MessageFacts) -> Decision:
        """Return `choose(facts, self)`, remembered: a campaign asks the same a million times."""
        decision = self._decisions.get(facts)
        if decision is None:
            decision = self._decisions[facts] = choose(facts, self)
        return decision


def choose(facts: MessageFacts, snapshot: Snapshot) -> Decision:
    """Choose the account for a message: pinned, else whose From it is, else by position."""
    ordered = sorted(
        snapshot.providers,
        key=lambda state: (
            state.from_email.lower() != facts.from_email.lower(),
            state.owner_id != facts.owner_id,
            state.position,
            state.provider_id,
        ),
    )
    candidates = [
        (state, Candidate(state.provider_id, state.name, _skip(state, facts, snapshot.taken_at)))
        for state in ordered
        # Other people's accounts stay out of the explanation that this message's owner may read.
        if state.owner_id in (None, facts.owner_id) or state.provider_id == facts.pinned_provider_id
    ]
    names = tuple(candidate for _, candidate in candidates)
    for state, candidate in candidates:
        if candidate.skipped is None:
            return Decision(state.provider_id, _reason(state, facts), names)
    return _no_choice(candidates, names)


def _skip(  # noqa: PLR0911 - one per reason
    state: ProviderState, facts: MessageFacts, now: datetime
) -> Skip | None:
    if facts.pinned_provider_id not in (None, state.provider_id):
        return Skip.NOT_PINNED
    if state.owner_id not in (None, facts.owner_id):
        return Skip.NOT_YOURS
    if not state.is_active:
        return Skip.INACTIVE
    if state.provider_id in facts.excluded:
        return Skip.JUST_FAILED
    if state.remaining is not None and state.remaining <= 0:
        return Skip.QUOTA
    if state.paused_until is not None and state.paused_until > now:
        return Skip.PAUSED
    return None


def _reason(state: ProviderState, facts: MessageFacts) -> str:
    if facts.pinned_provider_id is not None:
        return "pinned by the sender"
    if state.from_email and state.from_email.lower() == facts.from_email.lower():
        return "its From address is the mail's"
    return "first open account in order"


def _no_choice(
    candidates: Sequence[tuple[ProviderState, Candidate]], names: tuple[Candidate, ...]
) -> Decision:
    waits = [
        state.resets_at if candidate.skipped is Skip.QUOTA else state.paused_until
        for state, candidate in candidates
        if candidate.skipped in (Skip.QUOTA, Skip.PAUSED)
    ]
    known = [moment for moment in waits if moment is not None]
    reasons = {candidate.skipped for _, candidate in candidates}
    is_hopeless = not reasons & {Skip.QUOTA, Skip.PAUSED, Skip.JUST_FAILED, Skip.INACTIVE}
    if is_hopeless:
        reason = "no account may take this mail"
    elif Skip.QUOTA in reasons:
        reason = "every open account has used up its quota"
    else:
        reason = "every account that may take this mail is closed for now"
    return Decision(None, reason, names, min(known) if known else None, is_hopeless)
