"""The filters of the sandbox: liquid's own behind bounds, a few replaced, the risky ones left out.

Left out are `safe`, `escapejs` and `base64_*`: nothing may switch off escaping, and a mail has no
use for scripts. Every filter but `default` refuses a missing variable as value or argument, where
some of liquid's would take it for 0 or for an empty text.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import DecimalException
from typing import TYPE_CHECKING, Any

from liquid.builtin.filters import array, math, misc, string
from liquid.exceptions import FilterArgumentError, LiquidError
from liquid.filter import with_environment
from markupsafe import Markup

from templates_app.engine import localized
from templates_app.engine.context import SandboxContext, require_defined
from templates_app.engine.errors import LimitReachedError
from templates_app.engine.limits import (
    CHARS_PER_WORK,
    ITEMS_PER_WORK,
    LOCALIZED_WORK,
    MAX_DATE_CHARS,
    MAX_ITEMS,
    MAX_LOCALIZED_CHARS,
    MAX_NUMBER,
    MAX_TEXT_CHARS,
    MAX_UNIQUE_ITEMS,
)
from templates_app.engine.values import as_text, check_weight

if TYPE_CHECKING:
    from liquid import Environment

Filter = Callable[..., Any]

#: What a filter of strange arguments may raise beside liquid's own errors.
FILTER_ERRORS = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)


def _replace(value: str, old: object, new: object = "") -> str:
    return _replaced(value, as_text(old), as_text(new), -1)


def _replace_first(value: str, old: object, new: object = "") -> str:
    return _replaced(value, as_text(old), as_text(new), 1)


def _replaced(value: str, old: str, new: str, count: int) -> str:
    hits = min(value.count(old), count) if count >= 0 else value.count(old)
    if len(value) + hits * len(new) > MAX_TEXT_CHARS:
        raise LimitReachedError("`replace` makes the text too long")
    return value.replace(old, new, count)


@with_environment
def _strip_html(value: str, *, environment: Environment) -> str:
    # The parser is quadratic for long runs of "<".
    if value.count("<") > MAX_ITEMS:
        raise LimitReachedError("`strip_html` meets too many tags")
    stripped: str = string.strip_html(value, environment=environment)
    return stripped


def _split(value: str, separator: object) -> list[str]:
    separator = as_text(separator)
    parts = len(value) if not separator else value.count(separator) + 1
    if separator == " ":
        parts = len(value.split(None, MAX_ITEMS + 1))
    if parts > MAX_ITEMS:
        raise LimitReachedError("`split` makes too many parts")
    result: list[str] = string.split(value, separator)
    return result


@with_environment
def _join(value: object, separator: object = " ", *, environment: Environment) -> str:
    separator = as_text(separator)
    parts = value if isinstance(value, (list, tuple, range)) else [value]
    items = [as_text(item) for item in parts]
    if sum(map(len, items)) + len(separator) * len(items) > MAX_TEXT_CHARS:
        raise LimitReachedError("`join` makes the text too long")
    joined: str = array.join(items, separator, environment=environment)
    return joined


def _uniq(context: SandboxContext, value: object, *args: object, **options: object) -> object:
    if isinstance(value, (list, tuple)):
        if len(value) > MAX_UNIQUE_ITEMS:
            raise LimitReachedError(f"`uniq` takes at most {MAX_UNIQUE_ITEMS:,} items")
        # It compares all pairs.
        context.spend(len(value) ** 2 // CHARS_PER_WORK)
    return _guarded_uniq(context, value, *args, **options)


def _concat(value: object, other: object) -> list[object]:
    if not isinstance(other, (list, tuple, range)):
        raise FilterArgumentError(f"expected an array, found {type(other).__name__}", token=None)
    result: list[object] = array.concat(value, list(other))
    return result


_TEXT_FILTERS: dict[str, Filter] = {
    "append": string.append,
    "capitalize": string.capitalize,
    "downcase": string.downcase,
    "escape": string.escape,
    "escape_once": string.escape_once,
    "lstrip": string.lstrip,
    "newline_to_br": string.newline_to_br,
    "prepend": string.prepend,
    "remove": string.remove,
    "remove_first": string.remove_first,
    "remove_last": string.remove_last,
    "replace": _replace,
    "replace_first": _replace_first,
    "replace_last": string.replace_last,
    "rstrip": string.rstrip,
    "split": _split,
    "squish": string.squish,
    "strip": string.strip,
    "strip_html": _strip_html,
    "strip_newlines": string.strip_newlines,
    "truncate": string.truncate,
    "truncatewords": string.truncatewords,
    "upcase": string.upcase,
    "url_decode": string.url_decode,
    "url_encode": string.url_encode,
}
_NUMBER_FILTERS: dict[str, Filter] = {
    "abs": math.abs_,
    "at_least": math.at_least,
    "at_most": math.at_most,
    "ceil": math.ceil,
    "divided_by": math.divided_by,
    "floor": math.floor,
    "minus": math.minus,
    "modulo": math.modulo,
    "plus": math.plus,
    "round": math.round_,
    "times": math.times,
}
_LIST_FILTERS: dict[str, Filter] = {
    "compact": array.compact,
    "concat": _concat,
    "find": array.find,
    "find_index": array.find_index,
    "first": array.first,
    "has": array.has,
    "join": _join,
    "last": array.last,
    "map": array.map_,
    "reject": array.reject,
    "reverse": array.reverse,
    "size": misc.size,
    "slice": string.slice_,
    "sort": array.sort,
    "sort_natural": array.sort_natural,
    "sum": array.sum_,
    "where": array.where,
}


def install(environment: Environment) -> None:
    """Replace all filters of the environment by the sandbox's.

    Ours take the context as first argument: `SandboxContext.filter` binds it.
    """
    environment.filters.clear()
    for filters, guard in (
        (_TEXT_FILTERS, _guard_text),
        (_NUMBER_FILTERS, _guard_number),
        (_LIST_FILTERS, _guard_list),
    ):
        for name, function in filters.items():
            environment.add_filter(name, _contained(guard(_bound(function, environment))))
    environment.add_filter("default", _contained(_default))
    environment.add_filter("uniq", _contained(_uniq))
    for name, function in localized.FILTERS.items():
        environment.add_filter(name, _guard_localized(function))


def _default(context: SandboxContext, value: object, *args: object, **options: object) -> object:
    del context
    return misc.default(value, *args, **options)


def _bound(function: Filter, environment: Environment) -> Filter:
    """Give a filter the environment now, not on every call."""
    if not getattr(function, "with_environment", False):
        return function

    def bound(value: object, *args: object, **options: object) -> object:
        return function(value, *args, environment=environment, **options)

    return bound


def _contained(function: Filter) -> Filter:
    """Turn what Python raises for strange values into liquid's error."""

    def contained(
        context: SandboxContext, value: object, *args: object, **options: object
    ) -> object:
        context.spend(1)
        try:
            return function(context, value, *args, **options)
        except LiquidError:
            raise
        except FILTER_ERRORS as error:
            raise FilterArgumentError(_words(error), token=None) from error

    return contained


def _words(error: Exception) -> str:
    if isinstance(error, DecimalException):  # its own words are a list of classes
        return "the number is too large or none"
    if isinstance(error, KeyError):
        return f"an item has no field '{error.args[0]}'"
    return str(error)


def _guard_text(function: Filter) -> Filter:
    def guarded(context: SandboxContext, value: object, *args: object, **options: object) -> object:
        chars = 0
        for argument in (*args, *options.values()):
            chars += len(as_text(argument))
        text = as_text(value)
        context.spend((chars + len(text)) // CHARS_PER_WORK)
        result = function(text, *args, **options)
        if isinstance(result, str):
            if len(result) > MAX_TEXT_CHARS:
                raise LimitReachedError("a filter makes the text too long")
            context.spend(len(result) // CHARS_PER_WORK)
        return result

    return guarded


def _guard_number(function: Filter) -> Filter:
    def guarded(_: SandboxContext, value: object, *args: object, **options: object) -> object:
        for part in (value, *args, *options.values()):
            require_defined(part)
            if isinstance(part, str) and len(part) > MAX_DATE_CHARS:
                raise LimitReachedError("a number has too many digits")
        result = function(value, *args, **options)
        if abs(result) > MAX_NUMBER:
            raise LimitReachedError("a number is too large")
        return result

    return guarded


def _guard_list(function: Filter) -> Filter:
    def guarded(context: SandboxContext, value: object, *args: object, **options: object) -> object:
        for part in (value, *args, *options.values()):
            require_defined(part)
            items, chars = check_weight(part)
            context.spend(items // ITEMS_PER_WORK + chars // CHARS_PER_WORK)
        result = function(value, *args, **options)
        if isinstance(result, list):
            if len(result) > MAX_ITEMS:
                raise LimitReachedError("a filter makes the list too long")
            context.spend(len(result) // ITEMS_PER_WORK)
        return result

    return guarded


def _guard_localized(function: Filter) -> Filter:
    def guarded(context: SandboxContext, value: object, *args: object, **options: object) -> object:
        # What babel does is dearer than a filter on short text.
        context.spend(LOCALIZED_WORK)
        for part in (value, *args, *options.values()) if options else (value, *args):
            if type(part) is str or type(part) is Markup:
                if len(part) > MAX_LOCALIZED_CHARS:
                    raise LimitReachedError("a date, number or format is too long")
            else:
                require_defined(part)
        try:
            return function(context, value, *args, **options)
        except LiquidError:
            raise
        except FILTER_ERRORS as error:
            raise FilterArgumentError(_words(error), token=None) from error

    return guarded


_guarded_uniq = _guard_list(array.uniq)
