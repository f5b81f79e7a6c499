"""What validating an address costs: CPU per core, against email-validator alone.

    .venv/bin/python -m bench.validate [--addresses 50000] [--domains 5000] [--rounds 5]

`library` is email-validator without DNS, `syntax` our parser, `examine` syntax, lists, role, typo
and duplicate key, `judge` the verdict on top, `pack` making a result small for the database. Each
in addresses per CPU second; `typos` with every domain new. Needs no server. Prints JSON lines.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from email_validator import validate_email

from bench.measure import report
from mailservice.core.addresses import parse_email
from verification.validation import DomainLists, MailRoute, MailRouteKind, examine, judge
from verification.validation.packed import pack
from verification.validation.typos import likely_domain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.measure import Figures

#: The library is slow enough to be measured on fewer addresses.
_LIBRARY_SHARE = 5


def _rate(work: Callable[[str], object], given: Sequence[str]) -> float:
    start = time.process_time()
    for each in given:
        work(each)
    return len(given) / (time.process_time() - start)


def measure(addresses: int, domains: int) -> Figures:
    """Return the figures of one round."""
    large = ("gmail.com", "yahoo.com", "hotmail.com", "web.de")
    # Half at large providers, half spread over many small ones.
    given = [
        f"user.{number}@{large[number % 4] if number % 2 else f'shop-{number % domains}.example'}"
        for number in range(addresses)
    ]
    few = given[: max(1, addresses // _LIBRARY_SHARE)]
    lists = DomainLists()
    route = MailRoute(MailRouteKind.MX)
    likely_domain.cache_clear()

    def library(email: str) -> object:
        return validate_email(email, check_deliverability=False, strict=True, test_environment=True)

    figures = {
        "library_per_s": _rate(library, few),
        "syntax_per_s": _rate(parse_email, given),
        "examine_per_s": _rate(lambda email: examine(email, lists), given),
        "judge_per_s": _rate(lambda email: judge(examine(email, lists), route), given),
        "pack_per_s": _rate(lambda email: pack(judge(examine(email, lists), route)), given),
        "typos_per_s": _rate(likely_domain, [f"shop{number}.com" for number in range(2000)]),
    }
    figures["judge_to_library"] = figures["judge_per_s"] / figures["library_per_s"]
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--addresses", type=int, default=50_000)
    parser.add_argument("--domains", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    report("validate", [measure(given.addresses, given.domains) for _ in range(given.rounds)])


if __name__ == "__main__":
    main()
