"""Where a domain takes its mail, and where its bounces go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verification.dns import Status
from verification.domains.results import Check, Findings, Record, State, shortened
from verification.domains.spf import check_spf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verification.dns import Answer
    from verification.domains.results import LookUp
    from verification.domains.spf import Wanted

_NULL_MX = " ."


def check_mail_exchange(domain: str, look_up: LookUp) -> Check:
    """Tell whether the domain takes mail: some receivers refuse mail nobody could answer."""
    findings = Findings()
    answer = look_up(domain, "MX")
    if not answer.is_known:
        findings.add(State.UNKNOWN, answer.detail)
    elif answer.status is Status.ABSENT:
        findings.add(State.FAIL, "There is no such domain.")
    elif answer.status is Status.EMPTY:
        _check_address(domain, look_up, findings)
    elif any(record.endswith(_NULL_MX) for record in answer.records):
        findings.add(State.WARN, "The null MX says that it takes no mail: replies bounce.")
    if not findings.items:
        findings.add(State.PASS, "It takes mail.")
    return Check("mx", "MX", findings.state, findings.notes, None, shortened(answer.records))


def check_return_path(
    name: str, target: str, wanted: Sequence[Wanted], look_up: LookUp
) -> list[Check]:
    """Tell whether bounces sent to the return path arrive: by alias, or by MX and SPF of its own.

    With an alias all else is its target's affair.
    """
    record = Record(name, "CNAME", target) if target else None
    alias = look_up(name, "CNAME")
    if not alias.is_known:
        return [_result(State.UNKNOWN, alias.detail, record, ())]
    if alias.status is Status.FOUND or target:
        return [_check_alias(alias, target, record)]
    exchange = look_up(name, "MX")
    if not exchange.is_known:
        return [_result(State.UNKNOWN, exchange.detail, None, ())]
    if exchange.status is not Status.FOUND:
        note = "It has neither CNAME nor MX: bounces get lost."
        return [_result(State.FAIL, note, None, ())]
    return [
        _result(State.PASS, "Bounces have somewhere to go.", None, exchange.records),
        check_spf(name, wanted, look_up, is_needed=True, kind="return_path_spf"),
    ]


def _check_alias(alias: Answer, target: str, record: Record | None) -> Check:
    if alias.status is not Status.FOUND:
        return _result(State.FAIL, "There is no CNAME record.", record, ())
    if target and target.lower().rstrip(".") not in alias.records:
        note = f"The CNAME leads to {alias.records[0]}, not to {target}."
        return _result(State.FAIL, note, record, alias.records)
    return _result(State.PASS, "The CNAME leads to the provider.", record, alias.records)


def _check_address(domain: str, look_up: LookUp, findings: Findings) -> None:
    answers = [look_up(domain, kind) for kind in ("A", "AAAA")]
    if any(answer.status is Status.FOUND for answer in answers):
        findings.add(State.WARN, "There is no MX; mail goes to the domain's own address.")
    elif not all(answer.is_known for answer in answers):
        findings.add(State.UNKNOWN, "There is no MX, and its address did not answer.")
    else:
        findings.add(State.FAIL, "It takes no mail: there is neither MX nor address.")


def _result(state: State, note: str, record: Record | None, found: Sequence[str]) -> Check:
    return Check("return_path", "Return path", state, (note,), record, shortened(found))
