"""Calendar months, each known by its first day."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, timedelta

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])\Z")
#: Months that can be asked for.
FIRST, LAST = date(2000, 1, 1), date(2199, 12, 1)


def month_of(day: date) -> date:
    """Return the month of a day."""
    return day.replace(day=1)


def next_month(month: date) -> date:
    """Return the month after one."""
    return (month.replace(day=1) + timedelta(days=31)).replace(day=1)


def previous_month(month: date) -> date:
    """Return the month before one."""
    return (month.replace(day=1) - timedelta(days=1)).replace(day=1)


def last_day(month: date) -> date:
    """Return the last day of a month."""
    return month.replace(day=monthrange(month.year, month.month)[1])


def days_of(month: date) -> list[date]:
    """Return all days of a month."""
    return [month.replace(day=number) for number in range(1, last_day(month).day + 1)]


def months_between(since: date, until: date) -> list[date]:
    """Return the months whose first day lies from `since` to `until`, both included."""
    month = since if since.day == 1 else next_month(since)
    found = []
    while month <= until:
        found.append(month)
        month = next_month(month)
    return found


def parse_month(text: str) -> date:
    """Return the month of `2026-03`. Raises `ValueError` in words."""
    found = _MONTH.match(text.strip())
    month = date(int(found[1]), int(found[2]), 1) if found and found[1] != "0000" else None
    if month is None or not FIRST <= month <= LAST:
        raise ValueError("Give a month such as 2026-03.")
    return month
