"""What a misspelt domain was probably meant to be."""

from __future__ import annotations

from functools import lru_cache

from rapidfuzz.distance import DamerauLevenshtein

from verification.validation.names import LARGE_DOMAINS

#: Slips over the whole domain: changed, missing, extra or swapped characters.
MAX_DISTANCE = 2
#: Names up to this length are one letter from too many honest ones: there only the end may differ.
_SHORT = 3
#: Four letters (live, mail) allow a swap, longer ones one slip, and from here on two.
_LONG = 7
_FOUR = 4

_SPLIT = tuple((domain, *domain.split(".", 1)) for domain in LARGE_DOMAINS)
_LARGE = frozenset(LARGE_DOMAINS)


@lru_cache(maxsize=50_000)
def likely_domain(domain: str) -> str:
    """Return the large provider's domain that was probably meant, empty if none is.

    `domain` is in lower case. Ask only about domains that are not known to be what they say. Of
    several equally close ones the larger provider's counts.
    """
    name, _, end = domain.partition(".")
    if not end or domain in _LARGE:
        return ""
    best, best_distance = "", MAX_DISTANCE + 1
    for large, large_name, large_end in _SPLIT:
        if abs(len(large) - len(domain)) > MAX_DISTANCE:
            continue
        distance = DamerauLevenshtein.distance(domain, large, score_cutoff=best_distance - 1)
        if distance >= best_distance or not _is_slip(name, large_name):
            continue
        if name == large_name and not _is_slip_of_end(end, large_end):
            continue
        best, best_distance = large, distance
    return best


def _is_slip(name: str, meant: str) -> bool:
    """Tell whether the first label is near enough for its length."""
    if name == meant:
        return True
    if len(meant) <= _SHORT:
        return False
    distance = DamerauLevenshtein.distance(name, meant)
    if sorted(name) == sorted(meant) and distance == 1:
        return True
    # People seldom miss the first letter, and honest names often differ in it.
    is_near = distance <= (MAX_DISTANCE if len(meant) >= _LONG else 1)
    return len(meant) > _FOUR and name[:1] == meant[:1] and is_near


def _is_slip_of_end(end: str, meant: str) -> bool:
    """Tell whether the end is a slip and not another country: `gmx.fr` is not `gmx.de`."""
    country, meant_country = end.rpartition(".")[2], meant.rpartition(".")[2]
    return country == meant_country or not len(country) == len(meant_country) == len("xx")
