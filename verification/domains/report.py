"""All checks of a domain, and which providers' mail they leave aligned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from verification.dns import Answer, Status
from verification.domains.conventions import CONVENTIONS, Key, conventional_keys
from verification.domains.dkim import check_key
from verification.domains.dmarc import check_dmarc, is_aligned
from verification.domains.hosts import check_mail_exchange, check_return_path
from verification.domains.results import State, worst
from verification.domains.spf import Wanted, check_spf

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from verification.domains.results import Check, LookUp

_GOOD = frozenset({State.PASS, State.WARN})


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

    @property
    def state(self) -> State:
        """Return the gravest state."""
        return worst(check.state for check in self.checks)


def examine(plan: Plan, look_up: LookUp) -> Report:
    """Ask the DNS everything about a domain. The number of questions is bounded by the plan."""
    wanted = wanted_in_spf(plan)
    own_envelope = not plan.return_path_domain or plan.return_path_domain == plan.domain
    needs_spf = any(entry.is_required for entry in wanted) or (
        own_envelope and (not plan.providers or "smtp" in plan.providers)
    )
    checks = [check_spf(plan.domain, wanted, look_up, is_needed=needs_spf)]
    checks += _key_checks(plan, look_up)
    checks.append(check_dmarc(plan.domain, look_up, return_path=plan.return_path_domain))
    checks.append(check_mail_exchange(plan.domain, look_up))
    if not own_envelope:
        checks += check_return_path(
            plan.return_path_domain, plan.return_path_target, wanted, look_up
        )
    aligned, undecided = _alignment(plan, checks)
    return Report(tuple(checks), aligned, undecided)


def planned(plan: Plan) -> tuple[Check, ...]:
    """Return the checks to come, with what there is to publish on an empty field; asks nobody."""
    report = examine(plan, lambda _name, _kind: Answer(Status.ABSENT))
    return tuple(
        replace(check, state=State.UNKNOWN, notes=("Not checked yet.",)) for check in report.checks
    )


def is_from_aligned(from_domain: str, aligned: Collection[str]) -> bool:
    """Tell whether a From is covered by one of the domains: it is the domain, or lies below it."""
    return any(from_domain == name or from_domain.endswith(f".{name}") for name in aligned)


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
    own = {key.selector for key in plan.keys}
    found = [check_key(plan.domain, key, look_up) for key in plan.keys]
    for kind in plan.providers:
        found += [
            check_key(plan.domain, key, look_up, provider=kind)
            for key in conventional_keys(kind, plan.domain)
            if key.selector not in own
        ]
    return found


def _alignment(plan: Plan, checks: Sequence[Check]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the providers that are aligned, and those of which that is not known.

    DKIM aligns a provider by its own keys, or by pasted ones where convention knows none. SPF
    aligns what comes back to an aligned return path.
    """
    bounces = [check.state for check in checks if check.kind.startswith("return_path")]
    by_spf = (
        is_aligned(plan.return_path_domain, plan.domain)
        if bounces and all(state in _GOOD for state in bounces)
        else False
    )
    spf = next(check.state for check in checks if check.kind == "spf")
    aligned, undecided = set(), set()
    for kind in plan.providers:
        convention = CONVENTIONS.get(kind)
        states = [
            check.state for check in checks if check.kind == "dkim" and check.provider == kind
        ] or [check.state for check in checks if check.kind == "dkim" and not check.provider]
        own_envelope = not bounces and convention is not None and convention.needs_spf
        if (own_envelope and spf in _GOOD) or by_spf or (states and set(states) <= _GOOD):
            aligned.add(kind)
        elif State.UNKNOWN in {*states, *bounces, *([spf] if own_envelope else [])}:
            undecided.add(kind)
    return frozenset(aligned), frozenset(undecided)
