"""Where the Liquid of a source stands, found in linear time and without parsing it.

Liquid's own lexer takes quadratic time for sources such as `{{{{{{…`, so every source passes here
first: what is unclosed, or too long to be meant, never reaches it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from templates_app.engine.errors import TemplateSyntaxProblem, place
from templates_app.engine.limits import (
    MAX_CONSTRUCT_CHARS,
    MAX_CONSTRUCTS,
    MAX_LIQUID_CHARS,
    MAX_SOURCE_CHARS,
    MAX_SPACES,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_OPEN = re.compile(r"\{\{|\{%")
_NAME = re.compile(r"\{%-?\s*(#|\w*)")
#: What is written in them is no Liquid.
_VERBATIM = ("raw", "doc")
_END_VERBATIM = {name: re.compile(rf"\{{%-?\s*end{name}\s*-?%\}}") for name in _VERBATIM}
_LONG_SPACE = re.compile(rf"\s{{{MAX_SPACES}}}")


class Construct(NamedTuple):
    """One `{{ … }}` or `{% … %}`; `{% raw %}` and `{% comment %}` with all up to their ends."""

    start: int
    #: Exclusive.
    end: int
    #: Of the tag; empty for an output, `raw`, `doc`, `comment` or `#` for what has no effect.
    name: str
    #: What stands between delimiters and, for a tag, after its name.
    body: str

    @property
    def is_output(self) -> bool:
        """True for `{{ … }}`."""
        return not self.name


def scan(source: str) -> list[Construct]:
    """Return the constructs of a source, in order. Raises `TemplateSyntaxProblem`."""
    if len(source) > MAX_SOURCE_CHARS:
        raise TemplateSyntaxProblem(1, 1, f"a template has at most {MAX_SOURCE_CHARS:,} characters")
    found: list[Construct] = []
    liquid_chars = 0
    comment_start, comment_depth = 0, 0
    position = 0
    while opening := _OPEN.search(source, position):
        one = _construct(source, opening.start())
        position = one.end
        if one.name == "comment":
            comment_start = comment_start if comment_depth else one.start
            comment_depth += 1
        elif one.name == "endcomment" and comment_depth:
            comment_depth -= 1
            if not comment_depth:
                found.append(Construct(comment_start, one.end, "comment", ""))
        elif not comment_depth:
            found.append(one)
            liquid_chars += 0 if one.name in _VERBATIM else one.end - one.start
            _check_amount(source, one, len(found), liquid_chars)
    if comment_depth:
        raise _problem(source, comment_start, "`{% comment %}` is never closed")
    return found


def liquid_chars(constructs: Iterable[Construct]) -> int:
    """Return how many characters stand in outputs and tags, which is what compiling costs."""
    return sum(one.end - one.start for one in constructs if one.name not in _VERBATIM)


def _check_amount(source: str, one: Construct, count: int, chars: int) -> None:
    if count > MAX_CONSTRUCTS:
        raise _problem(source, one.start, f"more than {MAX_CONSTRUCTS:,} outputs and tags")
    if chars > MAX_LIQUID_CHARS:
        words = f"outputs and tags hold more than {MAX_LIQUID_CHARS:,} characters"
        raise _problem(source, one.start, words)


def _construct(source: str, start: int) -> Construct:
    """Return the construct that begins at `start`."""
    is_output = source[start + 1] == "{"
    closing = "}}" if is_output else "%}"
    end = source.find(closing, start + 2, start + MAX_CONSTRUCT_CHARS)
    if end < 0:
        kind = "an output" if is_output else "a tag"
        words = f"expected '{closing}': {kind} is never closed or longer than"
        raise _problem(source, start, f"{words} {MAX_CONSTRUCT_CHARS:,} characters")
    if _LONG_SPACE.search(source, start, end):
        raise _problem(source, start, f"more than {MAX_SPACES} spaces in a row inside a tag")
    end += 2
    if is_output:
        return Construct(start, end, "", source[start + 2 : end - 2].strip("-").strip())
    named = _NAME.match(source, start)
    name = named[1] if named else ""
    if not named or not name:
        raise _problem(source, start, "missing tag name or closing delimiter")
    if name in _VERBATIM:
        ending = _END_VERBATIM[name].search(source, end)
        if ending is None:
            raise _problem(source, start, f"`{{% {name} %}}` is never closed")
        return Construct(start, ending.end(), name, "")
    body = source[named.end() : end - 2]
    return Construct(start, end, name, body.removesuffix("-").strip())


def _problem(source: str, index: int, message: str) -> TemplateSyntaxProblem:
    return TemplateSyntaxProblem(*place(source, index), message)
