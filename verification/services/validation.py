"""Addresses checked: the lists, the domains' mail routes, and on request their mail servers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from verification.mail_routes import mail_routes
from verification.selectors.validation import domain_lists
from verification.services.probing import probe_all
from verification.validation import Result, examine, judge
from verification.validation.results import NOT_CHECKED, MailRouteKind, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verification.validation import Examined, MailRoute

#: What a caller in the middle of a request waits for DNS.
BUDGET_SECONDS = 1.0


def validate_many(
    addresses: Sequence[str],
    *,
    budget_seconds: float = BUDGET_SECONDS,
    concurrency: int = 32,
    does_probe: bool = False,
) -> list[Result]:
    """Return a result for each address, in order; whatever the texts hold, none is an error.

    Domains that are not known within the budget, all together, are `unknown`; with 0 only what is
    remembered counts. `does_probe` asks mail servers about mailboxes in what the budget has left:
    the caller makes sure that this is allowed.
    """
    ends_at = time.monotonic() + budget_seconds
    lists = domain_lists()
    examined = [examine(address, lists) for address in addresses]
    domains = dict.fromkeys(each.domain for each in examined if each.normalized)
    routes = mail_routes(domains, budget_seconds=budget_seconds, concurrency=concurrency)
    results = [judge(each, routes.get(each.domain, NOT_CHECKED)) for each in examined]
    return _probed(examined, results, routes, ends_at) if does_probe else results


def _probed(
    examined: Sequence[Examined],
    results: Sequence[Result],
    routes: dict[str, MailRoute],
    ends_at: float,
) -> list[Result]:
    """Return the results refined by what mail servers say, where that can change anything."""
    asked = {
        each.normalized: routes[each.domain].hosts
        for each, result in zip(examined, results, strict=True)
        if result.verdict in {Verdict.VALID, Verdict.RISKY} and result.route is MailRouteKind.MX
    }
    answers = probe_all(asked, ends_at=ends_at)
    return [
        judge(each, routes[each.domain], answers[each.normalized])
        if each.normalized in answers
        else result
        for each, result in zip(examined, results, strict=True)
    ]
