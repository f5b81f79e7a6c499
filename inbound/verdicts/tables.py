"""What is known of programs and networks, read from the tables beside this module."""

from __future__ import annotations

import csv
import re
from bisect import bisect_right
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER = Path(__file__).parent
#: From so many leading bits on, addresses count as one place: a household or an office.
_V4_PLACE, _V6_PLACE = 24, 48


@lru_cache(maxsize=4_096)
def reason_of_agent(agent: str) -> str:
    """Return what a User-Agent gives away; empty if that is nothing."""
    text = agent.lower()
    return next((reason for pattern, reason in _agents() if pattern.search(text)), "")


@lru_cache(maxsize=4_096)
def reason_of_address(address: str) -> str:
    """Return what a client's address gives away; empty if that is nothing."""
    parsed = _parsed(address)
    if parsed is None:
        return ""
    starts, ends, reasons = _networks()[parsed.version]
    place = bisect_right(starts, int(parsed)) - 1
    return reasons[place] if place >= 0 and int(parsed) <= ends[place] else ""


@lru_cache(maxsize=4_096)
def place_of(address: str) -> str:
    """Return the network that an address lies in; empty if it is none."""
    parsed = _parsed(address)
    if parsed is None:
        return ""
    bits = _V4_PLACE if parsed.version == 4 else _V6_PLACE  # noqa: PLR2004 - of the protocol
    return str(ip_network(f"{parsed}/{bits}", strict=False))


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


@lru_cache(maxsize=1)
def _agents() -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(row["pattern"]), row["reason"]) for row in _rows("agents.csv")]


@lru_cache(maxsize=1)
def _networks() -> dict[int, tuple[list[int], list[int], list[str]]]:
    """Return first and last addresses and reasons by IP version; of nested networks the inner."""
    found = {}
    rows = [(ip_network(row["network"]), row["reason"]) for row in _rows("networks.csv")]
    for version in (4, 6):
        spans: list[tuple[int, int, str]] = []
        mine = [(each, reason) for each, reason in rows if each.version == version]
        # An inner one begins with its outer one or behind it, and is shorter.
        for each, reason in sorted(mine, key=lambda row: (int(row[0][0]), row[0].prefixlen)):
            first, last = int(each[0]), int(each[-1])
            if spans and spans[-1][1] >= last:
                outer_first, outer_last, outer = spans.pop()
                spans += [(outer_first, first - 1, outer)] if outer_first < first else []
                spans.append((first, last, reason))
                spans += [(last + 1, outer_last, outer)] if last < outer_last else []
            else:
                spans.append((first, last, reason))
        found[version] = (
            [span[0] for span in spans],
            [span[1] for span in spans],
            [span[2] for span in spans],
        )
    return found


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (_FOLDER / name).open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))
