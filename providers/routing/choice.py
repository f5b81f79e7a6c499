"""From facts, accounts and the one rule that counts to a decision."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate
from typing import TYPE_CHECKING

from providers.routing.decision import PASSING, Candidate, Decision, RuleRef, Skip
from providers.routing.domains import is_among
from providers.routing.facts import URGENT, Strategy
from providers.routing.scores import score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from providers.routing.facts import MessageFacts, ProviderState, Rule
    from providers.routing.scores import Score

_REASONS = {
    Strategy.FIXED_ORDER: "first open target",
    Strategy.CHEAPEST: "cheapest open target",
    Strategy.MOST_RELIABLE: "most reliable open target",
    Strategy.FASTEST: "fastest open target",
    Strategy.BALANCED: "best score among the open targets",
    Strategy.WEIGHTED_SPLIT: "its share of the split",
}
_WORD_BITS = 64
#: Accounts named in a sentence.
_MAX_NAMES = 3


@dataclass(frozen=True, slots=True)
class _Place:
    """An account in the order in which it is tried."""

    state: ProviderState
    candidate: Candidate


class Plan:
    """All decisions for messages of one kind; only a weighted split has more than one.

    A message's id is a point on the line of all targets' weights, so that it always goes the same
    way. If that target is closed, a second point of the same id falls among the open ones: mail of
    the others stays where it was.
    """

    def __init__(
        self,
        default: Decision,
        shares: Sequence[tuple[int, Decision | None]] = (),
    ) -> None:
        self._default = default
        self._all = _Line(shares)
        self._open = _Line([share for share in shares if share[1] is not None])

    def pick(self, message_id: UUID | None) -> Decision:
        """Return the decision for one message; without an id, that of the largest share."""
        if message_id is None or not self._open.total:
            return self._default
        digest = blake2b(message_id.bytes, digest_size=_WORD_BITS // 4).digest()
        half = len(digest) // 2
        return self._all.at(digest[:half]) or self._open.at(digest[half:]) or self._default


class _Line:
    """Decisions side by side, each as long as its weight; None for a target that is closed."""

    __slots__ = ("_decisions", "_ends", "total")

    def __init__(self, shares: Sequence[tuple[int, Decision | None]]) -> None:
        weighty = [(weight, decision) for weight, decision in shares if weight]
        self._ends = list(accumulate(weight for weight, _ in weighty))
        self._decisions = [decision for _, decision in weighty]
        self.total = self._ends[-1] if self._ends else 0

    def at(self, octets: bytes) -> Decision | None:
        """Return what lies at a point, given as 64 bits from 0 to nearly 1."""
        point = int.from_bytes(octets, "big") * self.total >> _WORD_BITS
        return self._decisions[bisect_right(self._ends, point)]


def make_plan(
    facts: MessageFacts,
    *,
    states: Iterable[ProviderState],
    rule: Rule | None,
    now: datetime,
) -> Plan:
    """Return the decisions for messages with these facts; their ids are not looked at.

    `rule` is the one that counts for them; a pinned account goes before any.
    """
    # Other people's accounts stay out of the explanation that this message's owner may read.
    visible = [
        state
        for state in states
        if state.owner_id in (None, facts.owner_id) or state.provider_id == facts.pinned_provider_id
    ]
    usual = sorted(visible, key=lambda state: _usual_order(state, facts))
    if rule is None or facts.pinned_provider_id is not None:
        places = [_Place(state, _candidate(state, facts, now)) for state in usual]
        return Plan(_again(places, facts, None) or _decision(places, facts, None))
    targets = _ranked(rule, visible)
    named = {target.provider_id for target in rule.targets}
    places = [_Place(state, _candidate(state, facts, now, found)) for state, found in targets]
    places += [
        _Place(state, _other(state, facts, now, rule))
        for state in usual
        if state.provider_id not in named
    ]
    again = _again(places, facts, rule)
    if again is not None:
        return Plan(again)
    decision = _decision(places, facts, rule)
    if rule.strategy is Strategy.WEIGHTED_SPLIT:
        return _split(rule, places, decision)
    return Plan(decision)


def _usual_order(state: ProviderState, facts: MessageFacts) -> tuple[bool, bool, int, UUID]:
    """Without a rule: the account whose From it is, then the owner's own, then by position."""
    return (
        state.from_email.lower() != facts.from_email.lower(),
        state.owner_id != facts.owner_id,
        state.position,
        state.provider_id,
    )


def _ranked(rule: Rule, states: Iterable[ProviderState]) -> list[tuple[ProviderState, Score]]:
    """Return the rule's targets, the best first; equals in the rule's order."""
    by_id = {state.provider_id: state for state in states}
    targets = [by_id[each.provider_id] for each in rule.targets if each.provider_id in by_id]
    scored = list(zip(targets, score(rule, targets), strict=True))
    return sorted(scored, key=lambda pair: pair[1].order)


def _candidate(
    state: ProviderState, facts: MessageFacts, now: datetime, found: Score | None = None
) -> Candidate:
    skip = _skip(state, facts, now)
    return Candidate(
        state.provider_id,
        state.name,
        skip,
        found.shown if found else None,
        found.note if found else "",
        f"{_unaligned(facts)} at this account: see Sender domains"
        if skip is Skip.UNALIGNED
        else "",
    )


def _other(state: ProviderState, facts: MessageFacts, now: datetime, rule: Rule) -> Candidate:
    if rule.is_exclusive:
        return Candidate(state.provider_id, state.name, Skip.NOT_A_TARGET)
    return replace(_candidate(state, facts, now), note="not a target, used if all are closed")


_Check = tuple[Skip, "Callable[[ProviderState, MessageFacts, datetime], bool]"]
#: In this order: what never changes for this mail first.
_CHECKS: tuple[_Check, ...] = (
    (
        Skip.NOT_PINNED,
        lambda state, facts, _: facts.pinned_provider_id not in (None, state.provider_id),
    ),
    (Skip.NOT_YOURS, lambda state, facts, _: state.owner_id not in (None, facts.owner_id)),
    (Skip.INACTIVE, lambda state, _facts, _: not state.is_active),
    (
        Skip.FROM_DOMAIN,
        lambda state, facts, _: bool(
            state.from_domains
            and facts.from_email
            and not is_among(facts.sender_domain, state.from_domains)
        ),
    ),
    (
        Skip.UNALIGNED,
        lambda state, facts, _: bool(
            state.aligned is not None
            and facts.from_email
            and not state.aligned.covers(facts.sender_domain, facts.owner_id)
        ),
    ),
    (
        Skip.SIZE,
        lambda state, facts, _: (
            state.max_message_bytes is not None and facts.size_bytes > state.max_message_bytes
        ),
    ),
    (
        Skip.ATTACHMENTS,
        lambda state, facts, _: facts.has_attachments and not state.takes_attachments,
    ),
    (
        Skip.RECIPIENTS,
        lambda state, facts, _: (
            state.recipient_limits is not None
            and facts.recipient_count > _recipient_limit(state, facts)
        ),
    ),
    (Skip.SUPPOSED_DOWN, lambda state, _facts, _: state.is_supposed_down),
    (Skip.JUST_FAILED, lambda state, facts, _: state.provider_id in facts.excluded),
    (
        Skip.BREAKER,
        lambda state, _, now: state.breaker_until is not None and state.breaker_until > now,
    ),
    (Skip.QUOTA, lambda state, facts, _: _is_used_up(state, facts)),
    (
        Skip.PAUSED,
        lambda state, _, now: state.paused_until is not None and state.paused_until > now,
    ),
    (
        Skip.THROTTLED,
        lambda state, facts, now: (
            bool(state.throttled)
            and not facts.is_test
            and any(moment > now for moment in _throttles(state, facts))
        ),
    ),
)


def _skip(state: ProviderState, facts: MessageFacts, now: datetime) -> Skip | None:
    return next((skip for skip, is_met in _CHECKS if is_met(state, facts, now)), None)


def _is_used_up(state: ProviderState, facts: MessageFacts) -> bool:
    kept = 0 if facts.priority == URGENT else state.kept_for_urgent
    return state.remaining is not None and state.remaining - kept < facts.recipient_count


def _recipient_limit(state: ProviderState, facts: MessageFacts) -> int:
    return state.recipient_limits[facts.priority != URGENT] if state.recipient_limits else 0


def _throttles(state: ProviderState, facts: MessageFacts) -> list[datetime]:
    return [
        state.throttled[domain] for domain in facts.recipient_domains if domain in state.throttled
    ]


def _decision(places: Sequence[_Place], facts: MessageFacts, rule: Rule | None) -> Decision:
    candidates = tuple(place.candidate for place in places)
    for place in places:
        if place.candidate.skipped is None:
            reason = _reason(place, facts, rule)
            return Decision(place.state.provider_id, reason, candidates, rule=_ref(rule))
    return _no_choice(places, facts, rule)


def _again(places: Sequence[_Place], facts: MessageFacts, rule: Rule | None) -> Decision | None:
    """Return the account that may have this mail already, if there is one and it is open."""
    if facts.doubtful_provider_id is None or facts.pinned_provider_id is not None:
        return None
    for place in places:
        if place.state.provider_id == facts.doubtful_provider_id and not place.candidate.skipped:
            candidates = tuple(place.candidate for place in places)
            reason = "it may have this mail already, and knows it again at best"
            return Decision(place.state.provider_id, reason, candidates, rule=_ref(rule))
    return None


def _ref(rule: Rule | None) -> RuleRef | None:
    return RuleRef(rule.rule_id, rule.name, rule.strategy) if rule else None


def _reason(place: _Place, facts: MessageFacts, rule: Rule | None) -> str:
    if facts.pinned_provider_id is not None:
        return "pinned by the sender"
    if rule is not None:
        if place.candidate.score is not None:
            return f"{_REASONS[rule.strategy]} of the rule “{rule.name}”"
        return f"every target of the rule “{rule.name}” is closed, so the usual order counts"
    if place.state.from_email and place.state.from_email.lower() == facts.from_email.lower():
        return "its From address is the mail's"
    return "first open account in order"


def _split(rule: Rule, places: Sequence[_Place], decision: Decision) -> Plan:
    """Return a plan with a decision for each open target; `decision` if none is."""
    weights = {target.provider_id: target.weight for target in rule.targets}
    shares: list[tuple[int, Decision | None]] = []
    for place in places:
        weight = weights.get(place.state.provider_id, 0)
        is_open = weight and place.candidate.skipped is None
        drawn = replace(decision, provider_id=place.state.provider_id) if is_open else None
        shares.append((weight, drawn))
    largest = max(
        (share for share in shares if share[1] is not None),
        key=lambda share: share[0],
        default=(0, None),
    )
    return Plan(largest[1] or decision, shares)


def _no_choice(places: Sequence[_Place], facts: MessageFacts, rule: Rule | None) -> Decision:
    candidates = tuple(place.candidate for place in places)
    reasons = {candidate.skipped for candidate in candidates}
    known = [moment for place in places for moment in _reopens(place, facts)]
    is_hopeless = not reasons & PASSING
    if is_hopeless:
        reason = "no account may take this mail"
        reason += (
            _too_many_recipients(places, facts)
            or _where_unaligned(candidates, facts)
            or _each_why(candidates)
        )
    elif Skip.QUOTA in reasons:
        reason = "every open account has used up its quota"
        if facts.recipient_count > 1:
            reason = "no open account has enough of its quota left for all recipients"
    elif Skip.THROTTLED in reasons:
        reason = "every open account is slowed down for this recipient domain"
    else:
        reason = "every account that may take this mail is closed for now"
    if rule is not None:
        reason += f", by the rule “{rule.name}”"
    retry_at = min(known) if known else None
    return Decision(None, reason, candidates, retry_at, is_hopeless, _ref(rule))


def _too_many_recipients(places: Sequence[_Place], facts: MessageFacts) -> str:
    limits = [
        _recipient_limit(place.state, facts)
        for place in places
        if place.candidate.skipped is Skip.RECIPIENTS
    ]
    return f": it has more recipients than the highest limit, {max(limits):,}" if limits else ""


def _unaligned(facts: MessageFacts) -> str:
    return f"{facts.sender_domain} is not aligned (SPF or DKIM)"


def _where_unaligned(candidates: Sequence[Candidate], facts: MessageFacts) -> str:
    """Return what to mend if alignment alone is wanting somewhere; empty if it is not."""
    names = [each.name for each in candidates if each.skipped is Skip.UNALIGNED]
    more = len(names) - _MAX_NAMES
    named = ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f": {_unaligned(facts)} at {named}" if names else ""


def _each_why(candidates: Sequence[Candidate]) -> str:
    """Return what keeps each of the first accounts from taking it; empty if there is none."""
    untold = {Skip.NOT_PINNED, Skip.NOT_A_TARGET, Skip.NOT_YOURS}
    told = [each for each in candidates if each.skipped not in untold]
    named = [f"{each.name} ({each.why})" for each in told[:_MAX_NAMES]]
    more = len(told) - len(named)
    return f": {', '.join(named)}" + (f" and {more} more" if more else "") if named else ""


def _reopens(place: _Place, facts: MessageFacts) -> list[datetime]:
    """Return when the account may be open again, if that is known."""
    state = place.state
    skipped = place.candidate.skipped
    if skipped is Skip.THROTTLED:
        return [max(_throttles(state, facts))]
    moments = {
        Skip.QUOTA: state.resets_at,
        Skip.PAUSED: state.paused_until,
        Skip.BREAKER: state.breaker_until,
    }
    moment = moments.get(skipped) if skipped else None
    return [moment] if moment is not None else []
