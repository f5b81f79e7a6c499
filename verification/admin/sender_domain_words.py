"""What the pages of sender domains say: what a check is about, what to do, who is aligned."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.html import format_html

from verification.domains.conventions import CONVENTIONS
from verification.domains.report import NOT_CHECKED
from verification.tokens.shown import shown_domain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.utils.safestring import SafeString

    from verification.models import SenderDomain

#: What a pasted record is about, by kind of check.
_EXPLAINED = {
    "spf": "Names the servers that may send with this domain.",
    "dkim": "The key with which receivers check signatures.",
    "dmarc": "Tells receivers what to do with mail that fails both.",
    "mx": "Where replies go.",
    "return_path": "Where bounces go.",
    "return_path_spf": "Names the servers that may send with the return path.",
}
_WANTING = frozenset({"fail", "unknown"})


class Advice(NamedTuple):
    """What to do now, above the checks."""

    tone: str
    icon: str
    text: str


def label(kind: str) -> str:
    """Return a kind of provider as people call it."""
    return CONVENTIONS[kind].label if kind in CONVENTIONS else kind


def labels(kinds: Iterable[str]) -> str:
    """Return kinds of providers as people call them, in a list."""
    return ", ".join(map(label, kinds))


def in_letters(domain: str) -> str:
    """Return a domain as its owner writes it, empty if that is how it stands in the DNS."""
    written = shown_domain(domain)
    return "" if written == domain else written


def explained(row: SenderDomain) -> list[dict[str, Any]]:
    """Return a domain's checks with what they are about, and what to do where no record is known.

    A record that is published already is not asked for.
    """
    return [
        {
            **check,
            "explained": _EXPLAINED.get(check["kind"], ""),
            "sender": label(check["provider"]) if check["provider"] else "",
            "to_publish": _to_publish(check),
            "to_do": _to_do(row, check),
        }
        for check in row.checks
    ]


def is_checked(row: SenderDomain) -> bool:
    """Tell whether the checks shown were made: after a change they are still to come."""
    return any(check["notes"] != [NOT_CHECKED] for check in row.checks)


def advice_for(row: SenderDomain) -> Advice:
    """Return what to do now."""
    states = Counter(check["state"] for check in row.checks)
    total = len(row.checks)
    if not is_checked(row):
        text = "Publish the records below where the DNS of the domain is kept, then check."
        return Advice("", "schedule", f"{NOT_CHECKED} {text}")
    if states["fail"]:
        verb = "fails" if states["fail"] == 1 else "fail"
        text = f"{states['fail']} of {total} checks {verb}. Mend what is marked red, then check."
        return Advice(
            "is-danger", "cancel", f"{text} New records may take an hour to be seen everywhere."
        )
    if states["unknown"]:
        text = f"The DNS did not answer {states['unknown']} of {total} checks: made again in a"
        return Advice("", "help", f"{text} quarter of an hour. What was aligned still counts.")
    if states["warn"]:
        return Advice("is-warning", "warning", "It works. What is marked yellow could be better.")
    return Advice("is-success", "check_circle", "All is as it should be.")


def pastes(row: SenderDomain) -> list[SafeString]:
    """Return what the providers' own pages show and the form wants."""
    return [
        format_html("<strong>{}:</strong> {}", label(kind), CONVENTIONS[kind].paste)
        for kind in row.providers
        if kind in CONVENTIONS and CONVENTIONS[kind].paste
    ]


def _to_publish(check: Mapping[str, Any]) -> Mapping[str, str] | None:
    record: Mapping[str, str] | None = check["record"]
    return record if record and record["value"] not in check["found"] else None


def _to_do(row: SenderDomain, check: Mapping[str, Any]) -> str:
    """Return what to do where the very record is not known to us; empty elsewhere."""
    if check["record"] or check["state"] not in _WANTING:
        return ""
    whose = label(check["provider"]) if check["provider"] else "your provider"
    return {
        "dkim": f"Publish the key that {whose} shows for your account. With its value entered here "
        "(Edit) it is compared, too.",
        "mx": f"Publish an MX record that names the server which takes mail for {row.domain}.",
        "return_path": f"Publish for {row.return_path_domain} what your provider shows: a CNAME, or"
        " MX and SPF records. With its target entered here (Edit) a CNAME is compared, too.",
    }.get(check["kind"], "")
