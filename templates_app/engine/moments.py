"""Dates and times as authors and programs write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil import parser  # type: ignore[import-untyped]  # ships no types
from liquid.exceptions import FilterArgumentError

from templates_app.engine.limits import MAX_DATE_CHARS
from templates_app.engine.values import as_text

_NOW = ("now", "today")
#: Digits alone: a year, a day, a day with its time (ISO 8601 basic form), or seconds since 1970.
_YEAR_DIGITS, _DAY_DIGITS, _MOMENT_DIGITS = 4, 8, (12, 14)


def moment_of(value: object, *, now: datetime, zone: object) -> datetime:
    """Return the moment a value stands for, in a time zone if one is asked for.

    Numbers are seconds since 1970. A time without a zone is taken as UTC; a day without a time is
    that day everywhere. `now` is what `now` means, and gives what a value leaves out. Raises
    `FilterArgumentError` for what is no date, and for a zone that does not exist.
    """
    wanted = None if zone is None else _zone(str(as_text(zone)))
    moment, has_time = _read(value, now)
    if wanted is None or not has_time:
        return moment
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(wanted)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise FilterArgumentError(f"there is no time zone {name!r}", token=None) from None


def _read(value: object, now: datetime) -> tuple[datetime, bool]:
    """Return what a value says, and whether it says a time of day."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _after_1970(value), True
    if not isinstance(value, str):
        raise _no_date()
    text = str(value).strip()
    if len(text) > MAX_DATE_CHARS:
        raise FilterArgumentError("the date is too long", token=None)
    if text in _NOW:
        return now, True
    if text.isascii() and text.isdigit():
        return _of_digits(text)
    try:
        return datetime.combine(date.fromisoformat(text), time.min), False
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text), True
    except ValueError:
        return _in_words(text, now)


def _of_digits(text: str) -> tuple[datetime, bool]:
    day = f"{text}0101" if len(text) == _YEAR_DIGITS else text[:_DAY_DIGITS]
    is_moment = len(text) in _MOMENT_DIGITS
    if len(text) > _DAY_DIGITS and not is_moment:
        return _after_1970(int(text)), True
    try:
        return datetime.fromisoformat(f"{day}T{text[_DAY_DIGITS:] or '00'}"), is_moment
    except ValueError:
        raise _no_date() from None


def _after_1970(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        message = "a date that is a number is in seconds since 1970, this one is too large"
        raise FilterArgumentError(message, token=None) from None


def _in_words(text: str, now: datetime) -> tuple[datetime, bool]:
    """Read `May 4, 2026` and its like."""
    if _is_number(text):
        raise _no_date()
    # Parts that are not given come from the mail's date, never from the clock.
    start_of_year = datetime.combine(date(now.year, 1, 1), time.min)
    try:
        moment: datetime = parser.parse(text, default=start_of_year)
        at_one: datetime = parser.parse(text, default=start_of_year.replace(hour=1))
    except (OverflowError, ValueError):
        raise _no_date() from None
    return moment, moment.hour == at_one.hour


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _no_date() -> FilterArgumentError:
    return FilterArgumentError("that is no date", token=None)
