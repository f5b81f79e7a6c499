"""All checks of a domain, and which providers' mail they leave aligned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from verification.dns import Answer, Status
from verification.domains.alignment import SMTP, Envelope, alignment_at
from verification.domains.conventions import CONVENTIONS, Key, conventional_keys
from verification.domains.dkim import check_key
from verification.domains.dmarc import check_dmarc, find_policy, is_aligned
from verification.domains.hosts import check_mail_exchange, check_return_path
from verification.domains.results import State, worst
from verification.domains.spf import Wanted, check_spf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from verification.domains.results import Check, LookUp

#: The note of a check to come.
NOT_CHECKED = "Not checked yet."


@dataclass(frozen=True, slots=True)
class Plan:
    """What a domain is meant to look like."""

    domain: str
    #: Kinds of providers that send for it.
    providers: tuple[str, ...] = ()
    #: Further names that SPF has to include.
    spf_includes: tuple[str, ...] = ()
    #: Keys of our own and those handed out per account.
    keys: tuple[Key, ...] = ()
    return_path_domain: str = ""
    return_path_target: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What the DNS says of it."""

    checks: tuple[Check, ...]
    #: Kinds of providers whose mail passes DMARC by what was found.
    aligned: frozenset[str]
    #: Kinds about which that could not be found out.
    undecided: frozenset[str]
    #: Kinds whose mail passes from domains below, too.
    aligned_below: frozenset[str] = frozenset()
    #: Kinds about which that could not be found out.
    undecided_below: frozenset[str] = frozenset()

    @property
    def state(self) -> State:
        """Return the gravest state."""
        return worst(check.state for check in self.checks)


def examine(plan: Plan, look_up: LookUp) -> Report:
    """Ask the DNS everything about a domain. The number of questions is bounded by the plan."""
    wanted = wanted_in_spf(plan)
    own_envelope = not plan.return_path_domain or plan.return_path_domain == plan.domain
    needs_spf = any(entry.is_required for entry in wanted) or (
        own_envelope and (not plan.providers or SMTP in plan.providers)
    )
    checks = [check_spf(plan.domain, wanted, look_up, is_needed=needs_spf)]
    checks += _key_checks(plan, look_up)
    checks.append(check_dmarc(plan.domain, look_up, return_path=plan.return_path_domain))
    checks.append(check_mail_exchange(plan.domain, look_up))
    if not own_envelope:
        checks += check_return_path(
            plan.return_path_domain, plan.return_path_target, wanted, look_up
        )
    return _with_alignment(plan, checks, look_up)


def planned(plan: Plan) -> tuple[Check, ...]:
    """Return the checks to come, with what there is to publish on an empty field; asks nobody."""
    report = examine(plan, lambda _name, _kind: Answer(Status.ABSENT))
    return tuple(
        replace(check, state=State.UNKNOWN, notes=(NOT_CHECKED,)) for check in report.checks
    )


def wanted_in_spf(plan: Plan) -> list[Wanted]:
    """Return what the SPF record has to include."""
    wanted = [
        Wanted(convention.spf, convention.needs_spf, convention.label)
        for kind in plan.providers
        if (convention := CONVENTIONS.get(kind)) is not None and convention.spf
    ]
    named = {name for entry in wanted for name in entry.names}
    own = [name for name in plan.spf_includes if name not in named]
    return [*wanted, *(Wanted((name,), is_required=True, label="named by you") for name in own)]


def _key_checks(plan: Plan, look_up: LookUp) -> list[Check]:
    """Check the keys entered, then those that providers want by convention.

    A key entered under a conventional selector is that provider's.
    """
    usual = {
        key.selector: key for kind in plan.providers for key in conventional_keys(kind, plan.domain)
    }
    entered = {
        key.selector: replace(key, provider=usual[key.selector].provider)
        if not key.provider and key.selector in usual
        else key
        for key in plan.keys
    }
    found = [
        check_key(plan.domain, key, look_up, provider=key.provider)
        for key in {
            **entered,
            **{name: usual[name] for name in usual if name not in entered},
        }.values()
    ]
    sharing = _without_keys(plan, found)
    if len(sharing) <= 1:
        return found
    return [check if check.provider else _with_doubt(check) for check in found]


def _without_keys(plan: Plan, key_checks: Sequence[Check]) -> list[str]:
    """Return the providers of which no key is known to be theirs."""
    named = {check.provider for check in key_checks}
    return [kind for kind in plan.providers if kind not in named]


def _with_doubt(check: Check) -> Check:
    note = "Several providers may sign with it: say whose it is, or it aligns none."
    if check.state is State.PASS:
        return replace(check, state=State.WARN, notes=(note,))
    return replace(check, notes=(*check.notes, note))


def _with_alignment(plan: Plan, checks: Sequence[Check], look_up: LookUp) -> Report:
    """Return the report, with what becomes of each provider's mail."""
    policy = find_policy(plan.domain, look_up)
    keys = [check for check in checks if check.kind == "dkim"]
    sharing = _without_keys(plan, keys)
    found = {}
    for kind in plan.providers:
        # Whose a key is must be sure: another's signs nothing here.
        owner = "" if sharing == [kind] else kind
        found[kind] = alignment_at(
            kind,
            keys=[check.state for check in keys if check.provider == owner],
            envelope=_envelope_of(kind, plan, look_up),
            policy=policy,
        )
    here = {kind: each.here for kind, each in found.items()}
    below = {kind: each.below for kind, each in found.items()}
    return Report(
        tuple(checks),
        aligned=_in_state(State.PASS, here),
        undecided=_in_state(State.UNKNOWN, here),
        aligned_below=_in_state(State.PASS, below),
        undecided_below=_in_state(State.UNKNOWN, below),
    )


def _in_state(state: State, found: Mapping[str, State]) -> frozenset[str]:
    return frozenset(kind for kind, each in found.items() if each is state)


def _envelope_of(kind: str, plan: Plan, look_up: LookUp) -> Envelope | None:
    """Return what stands behind the envelope of a provider's mail; None for a domain of its own.

    What other providers lack in the SPF record is nothing to this one.
    """
    convention = CONVENTIONS[kind]
    own = () if convention.spf else plan.spf_includes
    wanted = wanted_in_spf(replace(plan, providers=(kind,), spf_includes=own))
    wanted = [replace(entry, is_required=True) for entry in wanted]
    path = plan.return_path_domain or plan.domain
    if path != plan.domain:
        checks = check_return_path(path, plan.return_path_target, wanted, look_up)
        states = [check.state for check in checks]
        return Envelope(states, is_other=True, is_ours=is_aligned(path, plan.domain))
    if not convention.needs_spf:
        return None
    return Envelope([check_spf(path, wanted, look_up, is_needed=True).state])
