"""Which providers' mail passes DMARC (RFC 7489 §3.1), by what the checks of a domain have found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from verification.domains.results import State, worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from verification.domains.dmarc import Policy

#: Mail of an SMTP account bears its own From as envelope.
SMTP = "smtp"
_GOOD = frozenset({State.PASS, State.WARN})


@dataclass(frozen=True, slots=True)
class Alignment:
    """Whether mail passes: pass, fail, or unknown where the DNS did not tell."""

    #: From the domain itself.
    here: State
    #: From domains below it.
    below: State


@dataclass(frozen=True, slots=True)
class Envelope:
    """What was found of the domain that stands in the envelope of a provider's mail."""

    states: Sequence[State]
    #: Another name than the From's domain.
    is_other: bool = False
    #: It belongs to the same organization.
    is_ours: bool = True


def alignment_at(
    kind: str, *, keys: Sequence[State], envelope: Envelope | None, policy: Policy
) -> Alignment:
    """Return what becomes of a provider's mail: by its DKIM keys, or by SPF of its envelope.

    Strict modes want the very domain. Without `envelope` the provider's own domain stands there.
    """
    ways = [_by(keys, policy, "adkim")]
    if envelope is not None and envelope.is_other:
        ways.append(_by_return_path(envelope.states, policy, is_ours=envelope.is_ours))
    elif envelope is not None:
        way = _by(envelope.states, policy, "aspf")
        # A From below is its own envelope there, and has an SPF record of its own.
        ways.append(replace(way, below=State.FAIL) if kind == SMTP else way)
    return Alignment(_best(way.here for way in ways), _best(way.below for way in ways))


def _by(states: Sequence[State], policy: Policy, mode: str) -> Alignment:
    """Return what the domain's own name in a signature or envelope is good for."""
    here = _all_of(states)
    return Alignment(here, _all_of([here, _reaches_below(policy, mode)]))


def _by_return_path(states: Sequence[State], policy: Policy, *, is_ours: bool) -> Alignment:
    """Return what an envelope of another name is good for: in strict mode nothing."""
    ours = State.PASS if is_ours else State.FAIL
    here = _all_of([*states, ours, _is_relaxed(policy, "aspf")])
    return Alignment(here, _all_of([here, _reaches_below(policy, "aspf")]))


def _is_relaxed(policy: Policy, mode: str) -> State:
    if policy.is_unknown:
        return State.UNKNOWN
    return State.FAIL if policy.tags.get(mode, "r").lower() == "s" else State.PASS


def _reaches_below(policy: Policy, mode: str) -> State:
    """Tell whether what lies below belongs to the domain: to a public suffix nothing does."""
    is_suffix = policy.tags.get("psd", "").lower() == "y"
    return State.FAIL if is_suffix else _is_relaxed(policy, mode)


def _all_of(states: Sequence[State]) -> State:
    """Return whether all are good; of nothing at all none is."""
    found = worst(states) if states else State.FAIL
    return State.PASS if found in _GOOD else found


def _best(states: Iterable[State]) -> State:
    found = set(states)
    return next(each for each in (State.PASS, State.UNKNOWN, State.FAIL) if each in found)
