"""SPF (RFC 7208): who may send with a domain in the envelope."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from verification.dns import Status
from verification.domains.results import Check, Findings, Record, State, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verification.domains.results import LookUp

#: RFC 7208 §4.6.4: beyond, receivers give up and the record counts for nothing.
MAX_LOOKUPS = 10
MAX_VOIDS = 2
#: Where the count of a runaway record stops.
_STOP = 25
_VERSION = "v=spf1"
_TERM = re.compile(
    r"(?P<qualifier>[+?~-]?)(?P<name>all|include|a|mx|ptr|ip4|ip6|exists)(?P<rest>(?:[:/].*)?)\Z"
    r"|(?P<modifier>redirect|exp|[A-Za-z][A-Za-z0-9_.-]*)=(?P<value>.*)\Z",
    re.IGNORECASE,
)
_ASKS = frozenset({"include", "a", "mx", "ptr", "exists"})
_WITH_TARGET = frozenset({"include", "ip4", "ip6", "exists"})
_NEW_END = "~all"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A name that the record has to include: one of several spellings, the current one first."""

    names: tuple[str, ...]
    is_required: bool
    #: Who wants it.
    label: str


@dataclass(frozen=True, slots=True)
class Term:
    """One mechanism or modifier."""

    text: str
    name: str
    qualifier: str
    target: str


@dataclass(slots=True)
class _Walk:
    """A record followed through everything it includes."""

    look_up: LookUp
    lookups: int = 0
    voids: int = 0
    includes: set[str] = field(default_factory=set)
    is_unknown: bool = False
    faults: list[str] = field(default_factory=list)

    def follow(self, terms: Sequence[Term], path: tuple[str, ...]) -> None:
        """Count what a receiver would have to ask."""
        has_all = any(term.name == "all" for term in terms)
        for term in terms:
            if self.lookups > _STOP:
                return
            if term.name in _ASKS:
                self.lookups += 1
            if term.name == "include" or (term.name == "redirect" and not has_all):
                self.lookups += term.name == "redirect"
                self._enter(term, path)

    def _enter(self, term: Term, path: tuple[str, ...]) -> None:
        name = term.target.lower().rstrip(".")
        self.includes.add(name)
        if "%" in name:
            return  # a macro: known only when a mail comes in
        if name in path:
            self.faults.append(f"{term.text} leads in a circle.")
            return
        answer = self.look_up(name, "TXT")
        if not answer.is_known:
            self.is_unknown = True
            return
        records = spf_records(answer.records)
        if answer.status is not Status.FOUND:
            self.voids += 1
        if len(records) != 1:
            count = "no" if not records else "more than one"
            self.faults.append(f"{term.text} leads to a name with {count} SPF record.")
            return
        terms, bad = parse(records[0])
        self.faults += [f"{name} holds {text!r}, which is no SPF term." for text in bad[:3]]
        self.follow(terms, (*path, name))


def spf_records(texts: Sequence[str]) -> list[str]:
    """Return those of a name's TXT records that are SPF."""
    return [
        text for text in texts if text.lower() == _VERSION or text.lower().startswith("v=spf1 ")
    ]


def parse(record: str) -> tuple[list[Term], list[str]]:
    """Return a record's terms, and what in it is none."""
    terms: list[Term] = []
    bad: list[str] = []
    for text in record.split()[1:]:
        match = _TERM.match(text)
        if match is None:
            bad.append(text)
        elif match["modifier"]:
            terms.append(Term(text, match["modifier"].lower(), "", match["value"]))
        else:
            name, target = match["name"].lower(), match["rest"].removeprefix(":")
            if name in _WITH_TARGET and not target:
                bad.append(text)
                continue
            terms.append(Term(text, name, match["qualifier"] or "+", target))
    return terms, bad


def check_spf(
    domain: str, wanted: Sequence[Wanted], look_up: LookUp, *, is_needed: bool, kind: str = "spf"
) -> Check:
    """Tell whether a domain's SPF record is sound and includes what it has to.

    `is_needed` says whether mail goes out with this domain in its envelope.
    """
    title = "SPF" if kind == "spf" else "SPF of the return path"
    answer = look_up(domain, "TXT")
    findings = Findings()
    if not answer.is_known:
        findings.add(State.UNKNOWN, answer.detail)
        return Check(kind, title, State.UNKNOWN, findings.notes)
    records = spf_records(answer.records)
    if not records:
        state = State.FAIL if is_needed else State.WARN
        findings.add(state, "There is no SPF record.")
        missing: Sequence[Wanted] = wanted
    elif len(records) > 1:
        findings.add(
            State.FAIL,
            f"There are {len(records)} SPF records; receivers then heed none. Merge them.",
        )
        missing = _missing(wanted, _walk(records, domain, look_up).includes)
    else:
        missing = _check_one(records[0], domain, wanted, look_up, findings)
    to_publish = Record(domain, "TXT", suggestion(records, missing))
    if not findings.items:
        findings.add(State.PASS, "The record is sound.")
    return Check(kind, title, findings.state, findings.notes, to_publish, shortened(records))


def suggestion(records: Sequence[str], missing: Sequence[Wanted]) -> str:
    """Return one record that says what these say and includes what is missing."""
    terms = [term for record in records for term in parse(record)[0]]
    kept = list(dict.fromkeys(term.text for term in terms if term.name not in {"all", "redirect"}))
    ends = [
        term.text
        for term in terms
        if term.name == "redirect" or (term.name == "all" and term.qualifier in "~-")
    ]
    kept += [f"include:{entry.names[0]}" for entry in missing]
    if not kept and not ends:
        kept = ["mx"]
    return " ".join([_VERSION, *kept, ends[0] if ends else _NEW_END])


def _walk(records: Sequence[str], domain: str, look_up: LookUp) -> _Walk:
    walk = _Walk(look_up)
    for record in records:
        walk.follow(parse(record)[0], (domain,))
    return walk


def _check_one(
    record: str, domain: str, wanted: Sequence[Wanted], look_up: LookUp, findings: Findings
) -> list[Wanted]:
    terms, bad = parse(record)
    for text in bad[:3]:
        findings.add(State.FAIL, f"{text!r} is no SPF term: receivers stop at it.")
    _check_end(terms, findings)
    if any(term.name == "ptr" for term in terms):
        findings.add(State.WARN, "ptr is slow and no longer to be used (RFC 7208 §5.5).")
    walk = _walk([record], domain, look_up)
    _check_walk(walk, findings)
    missing = _missing(wanted, walk.includes)
    for entry in missing:
        if walk.is_unknown:
            findings.add(
                State.UNKNOWN, f"Whether {entry.names[0]} is included could not be found out."
            )
        else:
            state = State.FAIL if entry.is_required else State.WARN
            findings.add(state, f"include:{entry.names[0]} is missing ({entry.label}).")
    return [] if walk.is_unknown else missing


def _check_walk(walk: _Walk, findings: Findings) -> None:
    if walk.lookups > MAX_LOOKUPS:
        count = f"more than {_STOP}" if walk.lookups > _STOP else str(walk.lookups)
        findings.add(
            State.FAIL,
            f"It takes {count} look-ups; receivers give up after {MAX_LOOKUPS}.",
        )
    if walk.voids > MAX_VOIDS:
        findings.add(State.FAIL, f"{walk.voids} of its names do not exist; {MAX_VOIDS} may.")
    for fault in walk.faults[:5]:
        findings.add(State.FAIL, fault)
    if walk.is_unknown:
        findings.add(State.UNKNOWN, "Some of its names did not answer.")


def _check_end(terms: Sequence[Term], findings: Findings) -> None:
    """Judge what becomes of everybody else."""
    ends = [term for term in terms if term.name == "all"]
    if not ends:
        if not any(term.name == "redirect" for term in terms):
            findings.add(State.WARN, "It does not say what becomes of others: end it with ~all.")
        return
    if ends[0].qualifier == "+":
        findings.add(State.FAIL, "+all lets everybody send as this domain.")
    elif ends[0].qualifier == "?":
        findings.add(State.WARN, "?all protects nothing: use ~all or -all.")
    if terms.index(ends[0]) < max(
        (index for index, term in enumerate(terms) if term.name in {*_ASKS, "ip4", "ip6"}),
        default=-1,
    ):
        findings.add(State.FAIL, "What follows all is never looked at: move it to the end.")


def _missing(wanted: Sequence[Wanted], includes: set[str]) -> list[Wanted]:
    return [entry for entry in wanted if not includes.intersection(entry.names)]
