"""Filters that write dates, numbers, money and plurals as the language of the mail does."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import dates, numbers
from dateutil import parser as date_parser  # type: ignore[import-untyped]  # ships no types
from liquid.exceptions import FilterArgumentError
from markupsafe import Markup, escape

from templates_app.engine.figures import money_style, number_style
from templates_app.engine.limits import MAX_DATE_CHARS, MAX_NUMBER
from templates_app.engine.locales import babel_locale, language_of
from templates_app.engine.values import as_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from babel import Locale

    from templates_app.engine.context import SandboxContext

_STYLES = ("short", "medium", "long", "full")
_MAX_DECIMALS = 10
_CACHED_DATES = 1024
_CACHED_FIGURES = 8192
_PADDED_DIRECTIVE = re.compile(r"%[-_0^#]*\d")
#: Directives with words in them, and what babel calls them.
_WORDS = {"a": "EEE", "A": "EEEE", "b": "MMM", "B": "MMMM", "h": "MMM", "p": "a"}
_WORD_DIRECTIVE = re.compile("%([aAbBhp%])")
_CURRENCY = re.compile("[A-Z]{3}")


def _date(
    context: SandboxContext, value: object, pattern: object = "%Y-%m-%d", *, tz: object = None
) -> str:
    """Write a date by a style (`'long'`) or by `strftime` with names in the mail's language."""
    layout = as_text(pattern)
    moment = _moment(context, value, tz)
    if moment is None:
        return as_text(value)
    if layout in _STYLES:
        return _written_date(moment.date(), str(layout), context.locale)
    if len(layout) > MAX_DATE_CHARS or _PADDED_DIRECTIVE.search(layout):
        raise FilterArgumentError("the date format is too long or pads", token=None)
    formatted = moment.strftime(_with_words(layout, moment, context))
    return Markup(formatted) if isinstance(layout, Markup) else formatted  # noqa: S704 - the author's own text


def _time(
    context: SandboxContext, value: object, style: object = "short", *, tz: object = None
) -> str:
    """Write the time of day."""
    moment = _moment(context, value, tz)
    if moment is None:
        return as_text(value)
    zone = moment.tzinfo or UTC
    return dates.format_time(moment, _style(style), tzinfo=zone, locale=_locale(context))


def _datetime(
    context: SandboxContext, value: object, style: object = "medium", *, tz: object = None
) -> str:
    """Write date and time."""
    moment = _moment(context, value, tz)
    if moment is None:
        return as_text(value)
    zone = moment.tzinfo or UTC
    return dates.format_datetime(moment, _style(style), tzinfo=zone, locale=_locale(context))


def _number(context: SandboxContext, value: object, decimals: object = None) -> str:
    """Write a number with the language's separators, with as many decimals as asked or needed."""
    places = None if decimals is None else _count(decimals)
    return _written_number(_plain(value), context.locale, places)


def _money(context: SandboxContext, value: object, currency: object) -> str:
    """Write an amount of a currency (ISO 4217), such as `'EUR'`."""
    return _written_money(_plain(value), context.locale, str(as_text(currency)))


def _percent(context: SandboxContext, value: object, decimals: object = 0) -> str:
    """Write a fraction of 1 as per cent."""
    places = _count(decimals)
    pattern = "#,##0" + ("." + "0" * places if places else "") + "%"
    text: str = numbers.format_percent(_decimal(value), format=pattern, locale=_locale(context))
    return text


def _plural(context: SandboxContext, value: object, *args: object, **forms: object) -> str:
    """Choose the form of a number: `{{ n | plural: one: '# day', other: '# days' }}`.

    `#` becomes the number. Which forms there are depends on the language: `zero`, `one`, `two`,
    `few`, `many` and `other`, which must be given.
    """
    if args or "other" not in forms:
        raise FilterArgumentError("plural needs `other: '…'`, and names its forms", token=None)
    number = _decimal(value)
    chosen = _plural_form(number, context.locale)
    if number == 0 and "zero" in forms:
        chosen = "zero"
    form = as_text(forms.get(chosen, forms["other"]))
    shown = _number(context, value)
    if isinstance(form, Markup):
        return Markup(form.replace("#", escape(shown)))  # noqa: S704 - the author's own text
    return form.replace("#", shown)


# What stands in the HTML part stands in the text part again, and prices recur from mail to mail.
@lru_cache(maxsize=_CACHED_FIGURES)
def _written_number(value: str, tag: str, places: int | None) -> str:
    return number_style(tag, places).write(_decimal(value))


@lru_cache(maxsize=_CACHED_FIGURES)
def _written_money(value: str, tag: str, currency: str) -> str:
    code = currency.upper()
    if not _CURRENCY.fullmatch(code):
        raise FilterArgumentError("a currency has three letters, such as 'EUR'", token=None)
    return money_style(tag, code).write(_decimal(value))


@lru_cache(maxsize=_CACHED_DATES)
def _written_date(day: date, style: Any, tag: str) -> str:
    return dates.format_date(day, style, locale=babel_locale(tag))


@lru_cache(maxsize=_CACHED_DATES)
def _plural_form(number: Decimal, tag: str) -> str:
    return babel_locale(tag).plural_form(number)


def _locale(context: SandboxContext) -> Locale:
    return babel_locale(context.locale)


def _style(value: object) -> Any:
    style = as_text(value)
    if style not in _STYLES:
        raise FilterArgumentError(f"a style is one of {', '.join(_STYLES)}", token=None)
    return style


def _with_words(layout: str, moment: datetime, context: SandboxContext) -> str:
    """Replace directives that stand for English words by the words of the mail's language."""
    if "%" not in layout or language_of(context.locale) in {"", "en"}:
        return layout

    def word(found: re.Match[str]) -> str:
        pattern = _WORDS.get(found[1])
        if pattern is None:
            return found[0]
        text: str = dates.format_datetime(moment, pattern, locale=_locale(context))
        return text.replace("%", "%%")

    return _WORD_DIRECTIVE.sub(word, layout)


def _moment(context: SandboxContext, value: object, zone: object) -> datetime | None:
    """Return the date a value stands for, in the zone asked for, or None if it is none."""
    text = as_text(value)
    if len(text) > MAX_DATE_CHARS:
        raise FilterArgumentError("the date is too long", token=None)
    moment = context.now if text in {"now", "today"} else _read(value, text, context.now)
    if moment is None or zone is None:
        return moment
    name = str(as_text(zone))
    try:
        wanted = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise FilterArgumentError(f"there is no time zone {name!r}", token=None) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(wanted)


def _read(value: object, text: str, now: datetime) -> datetime | None:
    if type(value) is int or text.isdecimal():
        return datetime.fromtimestamp(int(text), UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        # Parts that are not given come from the mail's date, never from the clock.
        start_of_year = datetime.combine(date(now.year, 1, 1), time.min)
        parsed: datetime = date_parser.parse(text, default=start_of_year)
    except (OverflowError, ValueError):
        return None
    return parsed


def _plain(value: object) -> str:
    return value if type(value) is str else str(as_text(value))


def _decimal(value: object) -> Decimal:
    text = _plain(value)
    if len(text) > MAX_DATE_CHARS:
        raise FilterArgumentError("the number is too long", token=None)
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise FilterArgumentError("that is no number", token=None) from None
    if not number.is_finite() or abs(number) > MAX_NUMBER:
        raise FilterArgumentError("the number is too large", token=None)
    return number


def _count(decimals: object) -> int:
    if type(decimals) is not int or not 0 <= decimals <= _MAX_DECIMALS:
        raise FilterArgumentError(f"decimals lie between 0 and {_MAX_DECIMALS}", token=None)
    return decimals


FILTERS: dict[str, Callable[..., str]] = {
    "date": _date,
    "datetime": _datetime,
    "money": _money,
    "number": _number,
    "percent": _percent,
    "plural": _plural,
    "time": _time,
}
