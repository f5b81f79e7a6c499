"""DMARC (RFC 7489): what receivers do with mail that is neither aligned by SPF nor by DKIM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from verification.domains.results import Check, Findings, Record, State, shortened, tags_of

if TYPE_CHECKING:
    from verification.domains.results import LookUp

_POLICIES = ("none", "quarantine", "reject")
#: Names asked on the way up, at most (draft-ietf-dmarc-dmarcbis, DNS Tree Walk).
_MAX_STEPS = 8
_FULL = 100


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy that counts for a domain."""

    #: Where it is published: the domain, or one above it.
    at: str
    records: tuple[str, ...]
    is_unknown: bool = False
    detail: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """Return the record's tags; none unless there is exactly one record."""
        return tags_of(self.records[0]) if len(self.records) == 1 else {}


def find_policy(domain: str, look_up: LookUp) -> Policy:
    """Return the domain's own policy, else that of the nearest domain above which has one.

    Walks up the tree instead of asking a list of public suffixes: those publish none, or say so
    (`psd=y`), and then do not count.
    """
    labels = domain.split(".")
    for name in _way_up(labels):
        answer = look_up(f"_dmarc.{name}", "TXT")
        if not answer.is_known:
            return Policy(name, (), is_unknown=True, detail=answer.detail)
        records = tuple(text for text in answer.records if _is_dmarc(text))
        if records and (name == domain or tags_of(records[0]).get("psd", "").lower() != "y"):
            return Policy(name, records)
    return Policy("", ())


def check_dmarc(domain: str, look_up: LookUp, *, return_path: str = "") -> Check:
    """Tell whether a policy is published, what it asks for, and whether reports arrive."""
    policy = find_policy(domain, look_up)
    findings = Findings()
    if policy.is_unknown:
        findings.add(State.UNKNOWN, policy.detail)
    elif not policy.records:
        findings.add(State.FAIL, "There is no DMARC record: large providers refuse bulk mail.")
    elif len(policy.records) > 1:
        findings.add(State.FAIL, f"There are {len(policy.records)} records; none of them counts.")
    else:
        _judge(policy, domain, findings)
        _judge_alignment(policy.tags, domain, return_path, findings)
        _judge_reports(policy, look_up, findings)
    if not findings.items:
        findings.add(State.PASS, "A policy is published and enforced.")
    own = policy.at == domain
    return Check(
        "dmarc",
        "DMARC",
        findings.state,
        findings.notes,
        _to_publish(domain, policy) if not policy.is_unknown else None,
        shortened(policy.records if own else (f"{policy.at}: {r}" for r in policy.records)),
    )


def is_aligned(inner: str, domain: str, *, is_strict: bool = False) -> bool:
    """Tell whether a domain of SPF or DKIM is aligned with that of the From.

    Relaxed alignment asks for one organization; without a list of public suffixes, one domain lying
    below the other, or both below one parent of two labels or more, stand for that.
    """
    if is_strict or inner == domain:
        return inner == domain
    if inner.endswith(f".{domain}") or domain.endswith(f".{inner}"):
        return inner.count(".") > 0 and domain.count(".") > 0
    mine, theirs = inner.split(".")[-2:], domain.split(".")[-2:]
    # Two labels of which the last has two letters may be a public suffix such as co.uk.
    return mine == theirs and len(mine[-1]) > len("uk")


def _way_up(labels: list[str]) -> list[str]:
    names = [".".join(labels[index:]) for index in range(len(labels))]
    if len(names) > _MAX_STEPS:
        names = [names[0], *names[-(_MAX_STEPS - 1) :]]
    # A single label is nobody's organization.
    return [name for name in names if "." in name]


def _is_dmarc(text: str) -> bool:
    version, _, _ = text.partition(";")
    return "".join(version.split()) == "v=DMARC1"


def _judge(policy: Policy, domain: str, findings: Findings) -> None:
    tags = policy.tags
    asked = tags.get("p", "").lower()
    if policy.at != domain:
        asked = tags.get("sp", asked).lower()
    if asked not in _POLICIES:
        findings.add(State.FAIL, "The record names no policy: p=none, quarantine or reject.")
    elif asked == "none":
        findings.add(State.WARN, "p=none only watches: forged mail is still delivered.")
    share = tags.get("pct", str(_FULL))
    if asked != "none" and (not share.isdigit() or int(share) < _FULL):
        findings.add(State.WARN, f"pct={share[:5]}: the policy is not applied to all mail.")


def _judge_alignment(
    tags: dict[str, str], domain: str, return_path: str, findings: Findings
) -> None:
    if not return_path:
        return
    is_strict = tags.get("aspf", "r").lower() == "s"
    if not is_aligned(return_path, domain, is_strict=is_strict):
        how = "aspf=s wants the very domain" if is_strict else "it belongs to another domain"
        findings.add(State.WARN, f"SPF of the return path {return_path} does not count: {how}.")


def _judge_reports(policy: Policy, look_up: LookUp, findings: Findings) -> None:
    """See that somebody gets reports, and that who gets them has agreed (RFC 7489 §7.1)."""
    uris = [uri.strip() for uri in policy.tags.get("rua", "").split(",") if uri.strip()]
    if not uris:
        findings.add(State.WARN, "No rua=: nobody hears of failures.")
    for uri in uris[:3]:
        scheme, _, rest = uri.partition(":")
        receiver = rest.partition("!")[0].rpartition("@")[2].lower()
        if scheme.lower() != "mailto" or not receiver:
            findings.add(State.WARN, f"rua={uri[:100]} is no mailto: address.")
            continue
        if is_aligned(receiver, policy.at):
            continue
        answer = look_up(f"{policy.at}._report._dmarc.{receiver}", "TXT")
        if answer.is_known and not any(_is_dmarc(text) for text in answer.records):
            findings.add(State.WARN, f"{receiver} has not agreed to get reports.")


def _to_publish(domain: str, policy: Policy) -> Record:
    """Return the record as it should be: what is there, repaired, or a first one."""
    if policy.records and policy.at == domain and _is_sound(policy):
        return Record(f"_dmarc.{domain}", "TXT", policy.records[0])
    tags = policy.tags if policy.at == domain else {}
    asked = tags.get("p", "").lower()
    mended = {
        "v": "DMARC1",
        "p": asked if asked in _POLICIES[1:] else "quarantine",
        "rua": tags.get("rua") or f"mailto:postmaster@{domain}",
    }
    kept = {name: value for name, value in tags.items() if name not in mended}
    value = "; ".join(f"{name}={value}" for name, value in {**mended, **kept}.items())
    return Record(f"_dmarc.{domain}", "TXT", value)


def _is_sound(policy: Policy) -> bool:
    return policy.tags.get("p", "").lower() in _POLICIES[1:] and "rua" in policy.tags
