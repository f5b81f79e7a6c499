"""What liquid and Python say of a fault, in the words of an author."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS = {
    "str": "a text",
    "Markup": "a text",
    "int": "a number",
    "float": "a number",
    "Decimal": "a number",
    "bool": "true or false",
    "NoneType": "nothing",
    "dict": "an object",
    "list": "a list",
    "tuple": "a list",
    "range": "a range",
}
_WHOLE_NUMBER = "a whole number is needed"

#: The groups of a pattern that stand in braces with `!k` are types, told as kinds of values.
_RULES: tuple[tuple[str, str], ...] = (
    (r"_?(\w+?)_?\(\) got an unexpected keyword argument '(\w+)'", "`{0}` takes no argument '{1}'"),
    (r"_?(\w+?)_?\(\) missing .*", "`{0}` needs more arguments"),
    (r"_?(\w+?)_?\(\) takes .* given", "`{0}` takes fewer arguments"),
    (
        r"'<' and '>' are not supported between '(\w+)' and '(\w+)'",
        "'<' and '>' compare two numbers or two texts, not {0!k} and {1!k}",
    ),
    (
        r"'in' and 'contains' are not supported between '(\w+)' and '\w+'",
        "'contains' looks into a text or a list, not into {0!k}",
    ),
    (r"'<' not supported between .* '(\w+)' and '(\w+)'", "{0!k} and {1!k} cannot be sorted"),
    (r"'(\w+)' object is not subscriptable", "{0!k} has no fields"),
    (r"unhashable type: '(\w+)'", "{0!k} cannot be looked for"),
    (r"a value of type _Null cannot be printed", "`map` asks for a field that an item lacks"),
    (r"a value of type (Blank|Empty) .*", "`blank` and `empty` are to compare with, not to print"),
    (r"a value of type ForLoop .*", "`forloop` cannot be printed, print one of its fields"),
    (r"can't read property '(.{0,60}).*'(?: of .*)?", "an item has no field '{0}'"),
    (r"string index out of range", "an item has no such field"),
    (r"can't map sequence", "`map` needs a list of objects"),
    (r"can't sort sequence", "values of different kinds cannot be sorted"),
    (r"(?:\w+ )?expected an array, found (\w+)", "a list is needed, not {0!k}"),
    (r"(?:\w+ )?expected an integer\b.*, found (\w+)", _WHOLE_NUMBER + ", not {0!k}"),
    (r"int\(\) argument must be .* not '(\w+)'", _WHOLE_NUMBER + ", not {0!k}"),
    (r"invalid literal for int\(\) .*", _WHOLE_NUMBER),
    (
        r"expected an identifier, found (?:float|integer)",
        "an item of a list is written in brackets, such as items[0]",
    ),
    (r"expected an identifier, found a path .*", "expected a name without dots"),
    (r"expected an identifier, found StringLiteral", "expected a name without quotes"),
    (r"expected (?:an identifier|word), found (.*)", "expected a name, found {0}"),
    (r"expected a primitive expression, found (.*)", "expected a value, found {0}"),
    (r"missing or unexpected path segment", "expected a name or a number in the brackets"),
)
_KIND_OF_GROUP = re.compile(r"\{(\d)!k\}")


def _teller(words: str) -> Callable[[re.Match[str]], str]:
    kinds = {int(number) for number in _KIND_OF_GROUP.findall(words)}
    plain = words.replace("!k}", "}")

    def tell(found: re.Match[str]) -> str:
        groups = [
            _KINDS.get(group, "such a value") if number in kinds else group
            for number, group in enumerate(found.groups())
        ]
        return plain.format(*groups)

    return tell


_TELLERS = tuple((re.compile(pattern, re.DOTALL), _teller(words)) for pattern, words in _RULES)


def plainly(message: str) -> str:
    """Return what a message means, or the message itself if it needs no other words."""
    for pattern, tell in _TELLERS:
        found = pattern.fullmatch(message)
        if found is not None:
            return tell(found)
    return message
