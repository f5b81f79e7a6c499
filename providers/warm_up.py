"""Warm-up plans: how many mails a day a new account may send until it is known.

A plan is `{"starts_on": "2026-03-01", "daily": [50, 100, 200]}`: a limit for its first day and for
each that follows, in the account's time zone.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What a plan may hold.
MAX_DAYS = 366
MAX_MAILS = 2_147_483_647


def warm_up_limit(plan: Mapping[str, Any] | None, day: date) -> int | None:
    """Return how many mails a warm-up plan allows on a (local) day; None if it does not bind.

    It binds from its first day on until its list is used up.
    """
    if plan is None:
        return None
    place = (day - date.fromisoformat(plan["starts_on"])).days
    daily: Sequence[int] = plan["daily"]
    return daily[place] if 0 <= place < len(daily) else None


def check_warm_up(plan: object) -> None:
    """Raise `ValueError`, with what is wrong in words, unless `warm_up_limit` can read the plan."""
    if not isinstance(plan, dict) or plan.keys() != {"starts_on", "daily"}:
        raise ValueError('Use {"starts_on": "2026-03-01", "daily": [50, 100, 200]}.')
    try:
        is_plain = date.fromisoformat(plan["starts_on"]).isoformat() == plan["starts_on"]
    except (TypeError, ValueError):
        is_plain = False
    if not is_plain:
        raise ValueError("starts_on must be a date such as 2026-03-01.")
    daily = plan["daily"]
    if not isinstance(daily, list) or not 1 <= len(daily) <= MAX_DAYS:
        raise ValueError(f"daily must list the mails of 1 to {MAX_DAYS} days.")
    if any(type(count) is not int or not 0 <= count <= MAX_MAILS for count in daily):
        raise ValueError(f"daily must hold whole numbers from 0 to {MAX_MAILS}.")
