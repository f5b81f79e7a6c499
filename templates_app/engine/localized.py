"""Filters that write dates, numbers, money and plurals as the language of the mail does."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from babel import dates
from liquid.exceptions import FilterArgumentError
from markupsafe import Markup, escape

from templates_app.engine.figures import money_style, number_style, percent_style
from templates_app.engine.limits import MAX_DATE_CHARS, MAX_NUMBER
from templates_app.engine.locales import babel_locale, language_of, own_digits
from templates_app.engine.moments import moment_of
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
    moment = moment_of(value, now=context.now, zone=tz)
    if layout in _STYLES:
        return _written_date(moment.date(), str(layout), context.locale)
    if len(layout) > MAX_DATE_CHARS or _PADDED_DIRECTIVE.search(layout):
        raise FilterArgumentError("the date format is too long or pads", token=None)
    formatted = _by_directives(str(layout), moment, context.locale)
    return Markup(formatted) if isinstance(layout, Markup) else formatted  # noqa: S704 - the author's own text


def _time(
    context: SandboxContext, value: object, style: object = "short", *, tz: object = None
) -> str:
    """Write the time of day."""
    moment = moment_of(value, now=context.now, zone=tz)
    zone = moment.tzinfo or UTC
    text = dates.format_time(moment, _style(style), tzinfo=zone, locale=_locale(context))
    return text.translate(own_digits(context.locale))


def _datetime(
    context: SandboxContext, value: object, style: object = "medium", *, tz: object = None
) -> str:
    """Write date and time."""
    moment = moment_of(value, now=context.now, zone=tz)
    zone = moment.tzinfo or UTC
    text = dates.format_datetime(moment, _style(style), tzinfo=zone, locale=_locale(context))
    return text.translate(own_digits(context.locale))


def _number(context: SandboxContext, value: object, decimals: object = None) -> str:
    """Write a number with the language's separators, with as many decimals as asked or needed."""
    places = None if decimals is None else _count(decimals)
    return _written_number(_plain(value), context.locale, places)


def _money(context: SandboxContext, value: object, currency: object) -> str:
    """Write an amount of a currency (ISO 4217), such as `'EUR'`."""
    return _written_money(_plain(value), context.locale, str(as_text(currency)))


def _percent(context: SandboxContext, value: object, decimals: object = 0) -> str:
    """Write a fraction of 1 as per cent."""
    return percent_style(context.locale, _count(decimals)).write(_decimal(value).scaleb(2))


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
    return dates.format_date(day, style, locale=babel_locale(tag)).translate(own_digits(tag))


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


def _by_directives(layout: str, moment: datetime, tag: str) -> str:
    """Write a date by `strftime`, with the words of the language, and its digits beside them.

    Without words it is as often a part of an address: its digits stay 0 to 9.
    """
    if "%" not in layout or language_of(tag) in {"", "en"}:
        return moment.strftime(layout)
    has_words = False

    def word(found: re.Match[str]) -> str:
        nonlocal has_words
        pattern = _WORDS.get(found[1])
        if pattern is None:
            return found[0]
        has_words = True
        text: str = dates.format_datetime(moment, pattern, locale=babel_locale(tag))
        return text.replace("%", "%%")

    text = moment.strftime(_WORD_DIRECTIVE.sub(word, layout))
    return text.translate(own_digits(tag)) if has_words else text


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
